"""The descriptor file (``*.dat``) of a model on descriptors: what kind of descriptor it describes.

Numbers and names are checked by the driver, which names the wrong line when the model is loaded.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from torchml_installer.errors import BadParameterFileError, ModelFileMissingError
from torchml_installer.models import value_lines
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
    lines = [words for words in map(value_lines.words, text.split("\n")) if words]
    if len(lines) < 2:
        raise BadParameterFileError(
            f"The descriptor file {path} describes no descriptor.",
            "Give the *.dat file that KLIFF or libdescriptor wrote.",
        )
    for first, *others in lines[1:]:
        if re.fullmatch("[gG][1-5]", first):
            return "SymmetryFunctions"
        is_flag = first.lower() in ("true", "false")
        if not others and not is_flag and value_lines.number(first) is None:
            return "SOAP"
    return "Bispectrum"


def summary(path: Path) -> dict[str, Any]:
    """kind; functions: of symmetry functions, how many of each type; cutoff: the largest one of
    two species, in Å, None if none is named.

    Raises what ``kind`` raises.
    """
    found = kind(path)
    text = path.read_text(encoding="utf-8", errors="replace")
    lines = [value_lines.words(line) for line in text.split("\n")]
    functions: dict[str, int] = {}
    for words in lines:
        if words and re.fullmatch("[gG][1-5]", words[0]):
            # The one without parameters names no number of them.
            rows = value_lines.whole_number(words[1]) if len(words) > 1 else None
            name = words[0].lower()
            functions[name] = functions.get(name, 0) + (1 if rows is None else rows)
    cutoffs = [
        cutoff
        for words in lines
        if len(words) == 3 and set(words[:2]) <= set(SYMBOLS)
        if (cutoff := value_lines.number(words[2])) is not None
    ]
    return {"kind": found, "functions": functions, "cutoff": max(cutoffs, default=None)}
