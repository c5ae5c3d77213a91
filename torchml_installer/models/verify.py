"""``model verify``: checks a portable model's physics; ``torchml_driver.verify`` does the work."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torchml_installer.models import engine, report


@dataclass(frozen=True)
class Check:
    """The result of one check from ``torchml_driver.verify``.

    deviation: the largest found; tolerance: the largest accepted; both in ``unit``. serious:
    whether results are wrong if it fails.
    """

    name: str
    passed: bool
    deviation: float
    tolerance: float
    unit: str
    explanation: str
    serious: bool = True


@dataclass(frozen=True)
class Verified:
    """All checks; for a report also ``about`` and ``curves``, as the driver's modules of these
    names have them, and the file that it was written to."""

    checks: list[Check]
    about: dict[str, Any] = field(default_factory=dict)
    curves: dict[str, Any] = field(default_factory=dict)
    html: Path | None = None

    def as_json(self) -> Any:
        """The checks; with a report, schema 1: an object with what is in the report."""
        checks = [vars(check) for check in self.checks]
        if self.html is None:
            return checks
        return {
            "schema": 1,
            "html": str(self.html),
            "about": self.about,
            "checks": checks,
            "curves": self.curves,
        }


def verify(folder: Path, html: Path | None = None) -> Verified:
    """Checks the model in a portable-model folder. html: the file for a report.

    Raises what ``engine.answer`` and ``report.place_for`` raise.
    """
    title = "checking the model's physics"
    if html is None:
        found = engine.answer("verify", folder, title=title)
        return Verified([Check(**check) for check in found])
    with report.place_for(html) as write:
        found = engine.answer("verify", folder, {"report": report.command()}, title=title)
        write(found["html"])
    checks = [Check(**check) for check in found["checks"]]
    return Verified(checks, found["about"], found["curves"], html)
