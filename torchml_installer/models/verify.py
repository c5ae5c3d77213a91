"""``model verify``: checks a portable model's physics; ``torchml_driver.verify`` does the work."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torchml_installer.models import engine


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


def verify(folder: Path) -> list[Check]:
    """Checks the model in a portable-model folder. Raises what ``engine.answer`` raises."""
    found = engine.answer("verify", folder, title="checking the model's physics")
    return [Check(**check) for check in found]
