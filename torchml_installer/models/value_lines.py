"""Lines and numbers of files with one value per line: parameter files and descriptor files.

Reads them exactly as the driver does (driver_src/src/base/value_lines.cpp). Python's ``split``,
``strip``, ``int`` and ``float`` would accept more: digits of other scripts, ``4_0`` and Unicode's
spaces.
"""

from __future__ import annotations

import math
import re

_SPACES = " \t\r\f\v"
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_WHOLE_NUMBER = re.compile(r"(-?)0*(\d+)", re.ASCII)
#: The driver stores whole numbers in an int.
_LARGEST = 2**31 - 1


def value(line: str) -> str:
    """The line without its comment and surrounding spaces; empty if it has no value."""
    return line.partition("#")[0].strip(_SPACES)


def words(line: str) -> list[str]:
    """The words of a line, without its comment."""
    return [word for word in re.split(f"[{_SPACES}]", value(line)) if word]


def number(word: str) -> float | None:
    """A finite number, or None."""
    if _NUMBER.fullmatch(word) is None:
        return None
    read = float(word)
    return read if math.isfinite(read) else None


def whole_number(word: str) -> int | None:
    """A whole number, or None."""
    found = _WHOLE_NUMBER.fullmatch(word)
    if found is None or len(found[2]) > len(str(_LARGEST)):
        return None
    read = int(found[1] + found[2])
    return read if -_LARGEST - 1 <= read <= _LARGEST else None
