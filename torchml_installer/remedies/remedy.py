"""The interface of all remedies in this package."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torchml_installer.building.plan import BuildPlan
from torchml_installer.errors import TorchMLError


@dataclass(frozen=True)
class Repair:
    """The result of a repair.

    said: what has changed, a sentence for the user. plan: the build to run next.
    """

    said: str
    plan: BuildPlan


@dataclass(frozen=True)
class Symptom:
    """A known problem that was recognised.

    explanation: what is wrong, and its consequences.
    repair: what ``fix`` does, a verb phrase ("build with ..."); "" if it cannot do anything.
    command: the words of an equivalent command, if there is one.
    error: ends the build unless it is repaired; None if the build may succeed all the same.
    """

    explanation: str
    repair: str = ""
    command: tuple[str, ...] = ()
    error: TorchMLError | None = None


class Remedy(ABC):
    """One known problem. ``name``: its stable name in the JSON output."""

    name: ClassVar[str]

    @abstractmethod
    def before_build(self, plan: BuildPlan) -> Symptom | None:
        """Recognises it before a build: quickly, and without changing anything."""

    def in_log(self, text: str, plan: BuildPlan) -> Symptom | None:
        """Recognises it after a failed build. text: the output of the build, and its error."""
        return None

    @abstractmethod
    def fix(self, plan: BuildPlan) -> Repair:
        """Repairs it, or raises an error. Called only with permission."""
