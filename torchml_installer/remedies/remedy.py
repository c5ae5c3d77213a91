"""What a remedy is: the one interface of all modules of this package."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from torchml_installer.detect import DETECTORS, Places, Survey, Toolchain, toolchain
from torchml_installer.detect.record import Finding
from torchml_installer.errors import TorchMLError
from torchml_installer.support.kim_items import Collection
from torchml_installer.support.paths import cache_folder


@dataclass(frozen=True)
class Change:
    """What a fix makes different in the build to come; None and empty: nothing.

    said: what was done, a sentence for the user.
    places: where to look again for tools and libraries. variables: of CMake. environment: of this
    process while it builds, and so of all programs that it runs.
    """

    said: str
    places: Places | None = None
    collection: Collection | None = None
    mpi: bool | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Context:
    """A build that is about to start, or that ``doctor`` imagines.

    folder: where it works, None: the usual one. mpi: it asks for MPI itself.
    others: what else was looked for already.
    """

    tools: Toolchain
    places: Places = field(default_factory=Places)
    collection: Collection = Collection.USER
    mpi: bool = False
    folder: Path | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    others: tuple[Finding, ...] = ()

    @classmethod
    def of(cls, survey: Survey, places: Places | None = None) -> Context:
        """What ``doctor`` found: as for a driver with no further options."""
        return cls(survey.toolchain, places or Places(), others=survey.others)

    def finding(self, name: str) -> Finding:
        """Something optional, one of ``detect.DETECTORS``; looked for now if it was not yet."""
        for found in self.others:
            if found.name == name:
                return found
        return DETECTORS[name]()

    def changed(self, change: Change) -> Context:
        """The build with a change; tools are looked for again, a fix may have installed some."""
        places = change.places or self.places
        return dataclasses.replace(
            self,
            tools=toolchain(places),
            places=places,
            collection=change.collection or self.collection,
            mpi=self.mpi if change.mpi is None else change.mpi,
            variables={**self.variables, **change.variables},
            others=(),
        )

    @property
    def log(self) -> Path:
        """Where a fix that runs programs writes what they print."""
        return (self.folder or cache_folder() / "logs") / "fix.log"


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
    def before_build(self, context: Context) -> Symptom | None:
        """Whether it is here; quick, and without changing anything."""

    def in_log(self, text: str, context: Context) -> Symptom | None:
        """Whether it made a build fail. text: all that the build printed, and its error."""
        return None

    @abstractmethod
    def fix(self, context: Context) -> Change:
        """Repairs it, or raises what hinders. Called only when allowed."""
