"""What a build uses, resolved: the one description that all of its steps read.

A plan is made once, from what the user asked for. Only remedies change it, by copies, and whoever
builds takes the latest one: nothing is handed back, and no variable of this process is set.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from torchml_installer.detect import DETECTORS, Places, Survey, Toolchain, toolchain
from torchml_installer.detect.record import Finding
from torchml_installer.errors import BadOptionError
from torchml_installer.support.kim_items import Collection
from torchml_installer.support.names import DEFAULT_DRIVER_NAME
from torchml_installer.support.paths import cache_folder
from torchml_installer.support.process import available_cores


@dataclass(frozen=True)
class BuildPlan:
    """A build that is about to start, or that ``doctor`` imagines.

    What it uses. tools: what was found; places: where the user says they are.
    environment: variables of the programs that it runs, beside those of this process.
    variables: of CMake, set by remedies; they win over a project's own.

    What it makes. names: of the drivers. collection: of KIM, that they go into.
    graph: runs models that want staged graphs. mpi: asks MPI itself for a process's rank.
    python: makes the Python module; None: if the user's Python has what that takes.
    settings: further CMake variables of the project.
    roots: of optional libraries: variable of the environment → folder that the user named.

    How it works. folder: where; None: the usual one. jobs: how many compilers at once.
    verbose: shows what programs print.

    others: what else was looked for already.
    """

    tools: Toolchain
    places: Places = field(default_factory=Places)
    environment: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    names: tuple[str, ...] = (DEFAULT_DRIVER_NAME,)
    collection: Collection = Collection.USER
    graph: bool = True
    mpi: bool = False
    python: bool | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    roots: Mapping[str, Path] = field(default_factory=dict)
    folder: Path | None = None
    jobs: int = field(default_factory=available_cores)
    verbose: bool = False
    others: tuple[Finding, ...] = ()

    @classmethod
    def of(cls, survey: Survey) -> BuildPlan:
        """What ``doctor`` found: as for a driver with no further options."""
        return cls(survey.toolchain, others=survey.others)

    def finding(self, name: str) -> Finding:
        """Something optional, one of ``detect.DETECTORS``; looked for now if it was not yet."""
        for found in self.others:
            if found.name == name:
                return found
        return DETECTORS[name]()

    def variable(self, name: str) -> str:
        """A variable of the environment as the programs of the build see it, "" if it is unset."""
        return self.environment.get(name, os.environ.get(name, ""))

    def with_places(self, places: Places | None = None) -> BuildPlan:
        """The build with tools that were looked for anew, in other places or in the same."""
        places = places or self.places
        return dataclasses.replace(self, places=places, tools=toolchain(places), others=())

    def with_compiler(self, cxx: Path) -> BuildPlan:
        """The build with another C++ compiler."""
        return self.with_places(dataclasses.replace(self.places, cxx=str(cxx)))

    def with_variables(self, variables: Mapping[str, str]) -> BuildPlan:
        """The build with further variables of CMake."""
        return dataclasses.replace(self, variables={**self.variables, **variables})

    def with_environment(self, variables: Mapping[str, str]) -> BuildPlan:
        """The build with further variables for the programs that it runs."""
        return dataclasses.replace(self, environment={**self.environment, **variables})

    @property
    def fix_log(self) -> Path:
        """Where a remedy that runs programs writes what they print."""
        return (self.folder or cache_folder() / "logs") / "fix.log"


def checked_jobs(jobs: int | None) -> int:
    """How many compilers at once: as asked for, or one for each core. Raises BadOptionError."""
    if jobs is not None and jobs < 1:
        raise BadOptionError(
            f"--jobs has to be at least 1, not {jobs}.", "Leave it out to use all cores."
        )
    return jobs or available_cores()
