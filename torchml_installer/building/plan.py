"""The resolved description of a build, which all of its steps read.

A plan is made once, from the user's options. Only remedies change it, by copying: the build uses
the latest copy, and no variable of this process is set.
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
    """A build that is about to start, or that ``doctor`` examines.

    Input. tools: what was found; places: where the user says they are.
    environment: variables for the programs it runs, in addition to those of this process.
    variables: CMake variables set by remedies; they override the project's own.

    Output. names: of the drivers. collection: the KIM collection to install into.
    graph: supports staged graphs. mpi: asks MPI itself for a process's rank.
    python: builds the Python module; None: if the user's Python can.
    settings: further CMake variables of the project.
    roots: optional libraries that the user named: environment variable → folder.

    Procedure. folder: build folder; None: the usual one. jobs: number of compilers at once.
    verbose: show the output of programs.

    others: findings that are known already.
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
        """The plan for what ``doctor`` found: a driver with default options."""
        return cls(survey.toolchain, others=survey.others)

    def finding(self, name: str) -> Finding:
        """An optional finding, one of ``detect.DETECTORS``; searched for now if necessary."""
        for found in self.others:
            if found.name == name:
                return found
        return DETECTORS[name]()

    def variable(self, name: str) -> str:
        """An environment variable as the build's programs see it, "" if it is unset."""
        return self.environment.get(name, os.environ.get(name, ""))

    def with_places(self, places: Places | None = None) -> BuildPlan:
        """The build after searching for the tools again, in other places or in the same."""
        places = places or self.places
        return dataclasses.replace(self, places=places, tools=toolchain(places), others=())

    def with_compiler(self, cxx: Path) -> BuildPlan:
        """The build with another C++ compiler."""
        return self.with_places(dataclasses.replace(self.places, cxx=str(cxx)))

    def with_variables(self, variables: Mapping[str, str]) -> BuildPlan:
        """The build with additional CMake variables."""
        return dataclasses.replace(self, variables={**self.variables, **variables})

    def with_environment(self, variables: Mapping[str, str]) -> BuildPlan:
        """The build with additional environment variables for its programs."""
        return dataclasses.replace(self, environment={**self.environment, **variables})

    @property
    def fix_log(self) -> Path:
        """The log of programs that a remedy runs."""
        return (self.folder or cache_folder() / "logs") / "fix.log"


def checked_jobs(jobs: int | None) -> int:
    """The requested number of compilers at once, or one per core. Raises BadOptionError."""
    if jobs is not None and jobs < 1:
        raise BadOptionError(
            f"--jobs must be at least 1, not {jobs}.", "Leave it out to use all cores."
        )
    return jobs or available_cores()
