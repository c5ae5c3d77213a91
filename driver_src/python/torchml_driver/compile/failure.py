"""Failures of compiling, and the places in the model that cause them."""

from __future__ import annotations

import linecache
import sys
import traceback
from pathlib import Path
from types import TracebackType

from .._requests import RefusedError


class ModelError(RefusedError):
    """A failure of the request or the model; ``kind``: a key of FAILURES in torchml-install's
    models/compile.py."""


def one_line(error: BaseException) -> str:
    """The first line of a message, which says what happened; torch adds pages."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def sentence(text: str) -> str:
    """A text with a full stop, unless it already ends like a sentence."""
    return text if text.endswith((".", "?", "!")) else f"{text}."


def place_in_model(error: BaseException) -> str:
    """ "FILE, line N: `code`" of the model's own code that led to an error; "" if unknown."""
    noted: str = getattr(error, "torchml_place", "")
    return noted or place_in(_frames(error.__traceback__))


def note_place(error: BaseException, place: str) -> None:
    """Notes where an error happened in TorchScript, which no frame of Python shows."""
    if place and not hasattr(error, "torchml_place"):
        error.torchml_place = place  # type: ignore[attr-defined]


def place_in(frames: list[tuple[str, int]]) -> str:
    """The same for the innermost frame (file, line) outside torch, this package and Python
    itself."""
    for file, line in reversed(frames):
        if _is_of_the_model(file):
            code = linecache.getline(file, line).strip()
            return f"{file}, line {line}: `{code}`"
    return ""


def _frames(trace: TracebackType | None) -> list[tuple[str, int]]:
    return [(frame.filename, frame.lineno or 0) for frame in traceback.extract_tb(trace)]


def _is_of_the_model(file: str) -> bool:
    path = Path(file)
    if not path.is_file():  # generated code
        return False
    ours = Path(__file__).resolve().parents[1]
    standard = Path(linecache.__file__).resolve().parent
    installed = {"torch", "numpy", "sympy", "functorch"}
    resolved = path.resolve()
    if ours in resolved.parents:
        return False
    torch = sys.modules.get("torch")
    if torch is not None and Path(str(torch.__file__)).resolve().parent in resolved.parents:
        return False
    if "site-packages" in resolved.parts:
        return not installed & set(resolved.parts)
    return standard not in resolved.parents and sys.prefix not in str(resolved)
