"""What a remedy is: the one interface of all modules of this package."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torchml_installer.building.plan import BuildPlan
from torchml_installer.errors import TorchMLError


@dataclass(frozen=True)
class Repair:
    """What a remedy makes of a build.

    said: what is different, a sentence for the user. plan: the build to come.
    """

    said: str
    plan: BuildPlan


@dataclass(frozen=True)
class Symptom:
    """A known problem that was recognised.

    explanation: what it is, and why it hurts.
    repair: what ``fix`` does, a clause in the imperative; "": there is nothing it can do.
    command: the same as words to type, if it is a command.
    error: what ends the build unless it is repaired; None: it may go well, or hurt later.
    """

    explanation: str
    repair: str = ""
    command: tuple[str, ...] = ()
    error: TorchMLError | None = None


class Remedy(ABC):
    """One known problem. ``name``: a stable word for it, in the JSON output."""

    name: ClassVar[str]

    @abstractmethod
    def before_build(self, plan: BuildPlan) -> Symptom | None:
        """Whether it is here; quick, and without changing anything."""

    def in_log(self, text: str, plan: BuildPlan) -> Symptom | None:
        """Whether it made a build fail. text: all that the build printed, and its error."""
        return None

    @abstractmethod
    def fix(self, plan: BuildPlan) -> Repair:
        """Repairs it, or raises what hinders. Called only when allowed."""
