"""Lines and numbers of the files with a value a line: parameter files and descriptor files.

They are read as the driver reads them (driver_src/src/base/value_lines.cpp), so that both accept
and refuse the same: Python's own ``split``, ``strip``, ``int`` and ``float`` take more, such as
the digits of other scripts, ``4_0`` and blanks that only Unicode has.
"""

from __future__ import annotations

import math
import re

_BLANKS = " \t\r\f\v"
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_WHOLE_NUMBER = re.compile(r"(-?)0*(\d+)", re.ASCII)
#: The driver keeps whole numbers in an int.
_LARGEST = 2**31 - 1


def value(line: str) -> str:
    """The line without its comment and the blanks around; empty if it carries no value."""
    return line.partition("#")[0].strip(_BLANKS)


def words(line: str) -> list[str]:
    """The words of a line, without its comment."""
    return [word for word in re.split(f"[{_BLANKS}]", value(line)) if word]


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
