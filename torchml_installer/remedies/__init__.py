"""Known installation problems: one module each, which recognises, explains and repairs it.

A module offers ``recognise(survey)`` (is it here?), ``explain(survey)`` (what it is, and why it
hurts) and ``apply(survey, log)`` (repair it, or raise). A new problem is a new module and a line in
``KNOWN``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from torchml_installer.detect import Survey
from torchml_installer.remedies import cmake_too_old, old_cxx_abi


class Remedy(Protocol):
    """What a module of this package offers."""

    NAME: str
    COMMAND: tuple[str, ...]

    def recognise(self, survey: Survey) -> bool: ...

    def explain(self, survey: Survey) -> str: ...

    def apply(self, survey: Survey, log: Path) -> None: ...


KNOWN: tuple[Remedy, ...] = (old_cxx_abi, cmake_too_old)


def recognised(survey: Survey) -> tuple[Remedy, ...]:
    """The known problems that this machine has."""
    return tuple(remedy for remedy in KNOWN if remedy.recognise(survey))
