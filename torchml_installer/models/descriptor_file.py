"""Recognises the kind of descriptor in a descriptor file (``*.dat``).

The driver checks the numbers and names when it loads the model, and reports the invalid line.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from torchml_installer.errors import BadParameterFileError, ModelFileMissingError
from torchml_installer.models import parameter_file, value_lines
from torchml_installer.support.elements import SYMBOLS


def kind(path: Path) -> str:
    """``SymmetryFunctions``, ``Bispectrum`` or ``SOAP``, as parameter files name them.

    Recognises the contents as the driver does: only symmetry functions have lines ``g1`` to ``g5``,
    and only SOAP has, besides the cutoff type and flags, a line with a single word: its radial
    basis.

    Raises ModelFileMissingError, BadParameterFileError.
    """
    return _kind(_lines(path))


def _lines(path: Path) -> list[list[str]]:
    """The words of each line that is not empty. Raises what ``kind`` raises."""
    hint = "Name the *.dat file that KLIFF or libdescriptor wrote."
    text = parameter_file.read_text(path, "descriptor file", hint, ModelFileMissingError)
    lines = [words for words in map(value_lines.words, text.split("\n")) if words]
    if len(lines) < 2:
        raise BadParameterFileError(
            f"The descriptor file {path} does not describe a descriptor.", hint
        )
    return lines


def _kind(lines: list[list[str]]) -> str:
    for first, *others in lines[1:]:
        if re.fullmatch("[gG][1-5]", first):
            return "SymmetryFunctions"
        is_flag = first.lower() in ("true", "false")
        if not others and not is_flag and value_lines.number(first) is None:
            return "SOAP"
    return "Bispectrum"


def summary(path: Path) -> dict[str, Any]:
    """kind; functions: the number of symmetry functions of each type; cutoff: the largest one
    between two species in Å, None if the file has none.

    Raises what ``kind`` raises.
    """
    lines = _lines(path)
    functions: dict[str, int] = {}
    for words in lines:
        if re.fullmatch("[gG][1-5]", words[0]):
            # g1 has no parameters, and no count of them on its line.
            rows = value_lines.whole_number(words[1]) if len(words) > 1 else None
            name = words[0].lower()
            functions[name] = functions.get(name, 0) + (1 if rows is None else rows)
    cutoffs = [
        cutoff
        for words in lines
        if len(words) == 3 and set(words[:2]) <= set(SYMBOLS)
        if (cutoff := value_lines.number(words[2])) is not None
    ]
    return {"kind": _kind(lines), "functions": functions, "cutoff": max(cutoffs, default=None)}
