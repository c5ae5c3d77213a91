"""The descriptor file (``*.dat``) of a model on descriptors: what kind of descriptor it describes.

Numbers and names are checked by the driver, which names the wrong line when the model is loaded.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from torchml_installer.errors import BadParameterFileError, ModelFileMissingError
from torchml_installer.support import files
from torchml_installer.support.elements import SYMBOLS

#: Descriptor files are a few hundred short lines.
_LONGEST = 1 << 20


def kind(path: Path) -> str:
    """``SymmetryFunctions``, ``Bispectrum`` or ``SOAP``, as parameter files name them.

    Told from the contents, as the driver does it: only symmetry functions have lines ``g1`` to
    ``g5``, and only SOAP has a word on a line of its own, its radial basis, besides the cutoff type
    and flags.

    Raises ModelFileMissingError, BadParameterFileError.
    """
    try:
        data = files.beginning(path, _LONGEST + 1)
    except OSError as error:
        raise ModelFileMissingError(
            f"The descriptor file {path} cannot be read: {error.strerror}.",
            "Check the path and its permissions.",
        ) from error
    if len(data) > _LONGEST or any(byte < 32 and byte not in b"\t\n\v\f\r" for byte in data):
        raise BadParameterFileError(
            f"The descriptor file {path} is not a text file.",
            "Give the *.dat file that KLIFF or libdescriptor wrote.",
        )
    text = data.decode("utf-8", errors="replace")
    values = [line.partition("#")[0].split() for line in text.split("\n")]
    lines = [words for words in values if words]
    if len(lines) < 2:
        raise BadParameterFileError(
            f"The descriptor file {path} describes no descriptor.",
            "Give the *.dat file that KLIFF or libdescriptor wrote.",
        )
    if any(re.fullmatch("[gG][1-5]", words[0]) for words in lines):
        return "SymmetryFunctions"
    lone = [words[0].lower() for words in lines[1:] if len(words) == 1]
    if any(not _is_number(word) and word not in ("true", "false") for word in lone):
        return "SOAP"
    return "Bispectrum"


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def summary(path: Path) -> dict[str, Any]:
    """kind; functions: of symmetry functions, how many of each type; cutoff: the largest one of
    two species, in Å, None if none is named.

    Raises what ``kind`` raises.
    """
    found = kind(path)
    text = path.read_text(encoding="utf-8", errors="replace")
    lines = [line.partition("#")[0].split() for line in text.split("\n")]
    functions: dict[str, int] = {}
    for words in lines:
        if words and re.fullmatch("[gG][1-5]", words[0]):
            # The one without parameters names no number of them.
            rows = int(words[1]) if len(words) > 1 and words[1].isdigit() else 1
            functions[words[0].lower()] = functions.get(words[0].lower(), 0) + rows
    cutoffs = [
        float(words[2])
        for words in lines
        if len(words) == 3 and set(words[:2]) <= set(SYMBOLS) and _is_number(words[2])
    ]
    return {"kind": found, "functions": functions, "cutoff": max(cutoffs, default=None)}
