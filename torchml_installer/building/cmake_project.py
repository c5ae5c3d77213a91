"""Configures, builds and installs any CMake project."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torchml_installer.building.configure_loop import LoopWatch
from torchml_installer.building.plan import BuildPlan
from torchml_installer.detect.cmake import behind
from torchml_installer.detect.compiler import c_compiler_beside
from torchml_installer.support.process import FEWER_JOBS, run_logged


@dataclass(frozen=True)
class CMakeProject:
    """A source folder, its build folder and the log of every command."""

    plan: BuildPlan
    source: Path
    build: Path
    log: Path

    def configure(self, title: str, variables: Mapping[str, str | Path]) -> None:
        """Raises BuildFailedError (with the project's own message) or DiskFullError."""
        run_logged(
            self.configure_command(variables),
            title=title,
            log=self.log,
            environment=self.environment(),
            verbose=self.plan.verbose,
            watch=self._watch(),
        )

    def compile(self, title: str, jobs: int, without_memory: str = FEWER_JOBS) -> None:
        """Raises BuildFailedError with the compiler's first error, or DiskFullError.

        without_memory: the remedy if memory runs out.
        """
        run_logged(
            self.compile_command(jobs),
            title=title,
            log=self.log,
            environment=self.environment(),
            verbose=self.plan.verbose,
            watch=self._watch(),
            without_memory=without_memory,
        )

    def install(self, title: str, component: str | None = None) -> None:
        """Installs the whole project, or one component, to its configured prefix."""
        run_logged(
            self.install_command(component),
            title=title,
            log=self.log,
            environment=self.environment(),
            verbose=self.plan.verbose,
        )

    def configure_command(self, variables: Mapping[str, str | Path]) -> list[str]:
        """The words of the command that ``configure`` runs."""
        tool = self.plan.tools.build_tool
        return [
            str(self.program),
            *("-S", str(self.source), "-B", str(self.build), "-G", tool.generator),
            f"-DCMAKE_MAKE_PROGRAM={tool.where}",
            *(f"-D{name}={value}" for name, value in self._compilers().items()),
            *(f"-D{name}={value}" for name, value in {**variables, **self.plan.variables}.items()),
        ]

    def compile_command(self, jobs: int) -> list[str]:
        """The words of the command that ``compile`` runs."""
        return [str(self.program), "--build", str(self.build), "--parallel", str(jobs)]

    def install_command(self, component: str | None = None) -> list[str]:
        """The words of the command that ``install`` runs."""
        only = () if component is None else ("--component", component)
        return [str(self.program), "--install", str(self.build), *only]

    @property
    def program(self) -> Path:
        """CMake. Raises AssertionError where there is none."""
        assert self.plan.tools.cmake.where is not None, "Toolchain.require() comes first"
        return behind(self.plan.tools.cmake.where)

    def _compilers(self) -> dict[str, Path]:
        """KIM's CMake packages select the compiler that built KIM, which may not exist here (conda)
        or be too old. KIM's own variables override it."""
        cxx = self.plan.tools.compiler.where
        if cxx is None:
            return {}
        chosen = {"CMAKE_CXX_COMPILER": cxx, "KIM_API_CMAKE_CXX_COMPILER": cxx}
        if (c_compiler := c_compiler_beside(cxx)) is not None:
            chosen |= {"CMAKE_C_COMPILER": c_compiler, "KIM_API_CMAKE_C_COMPILER": c_compiler}
        return chosen

    def _watch(self) -> Callable[[str], None]:
        return LoopWatch((self.source, self.build)).see

    def environment(self) -> dict[str, str]:
        """The plan's variables, and KIM's prefix in CMAKE_PREFIX_PATH, which takes several prefixes
        with any characters."""
        environment = dict(self.plan.environment)
        if (prefix := self.plan.tools.kim.where) is not None:
            paths = filter(None, (str(prefix), self.plan.variable("CMAKE_PREFIX_PATH")))
            environment["CMAKE_PREFIX_PATH"] = os.pathsep.join(paths)
            environment["KIM_API_CMAKE_PREFIX_DIR"] = str(prefix)
        return environment
