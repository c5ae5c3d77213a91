"""A compiler with a newer libstdc++ than simulators load: conda's compiler with the system's
KIM-API, or a compiler module whose library is not on the loader's path."""

from __future__ import annotations

import re
from pathlib import Path

from torchml_installer.building.plan import BuildPlan
from torchml_installer.detect import cxx_library
from torchml_installer.errors import KnownProblemError
from torchml_installer.remedies.other_compilers import others
from torchml_installer.remedies.remedy import Remedy, Repair, Symptom

#: Messages of the loader, and of the linker if conda's C library is older than the system's.
_IN_LOG = re.compile(
    r"version [`'](?:GLIBCXX|CXXABI)_[\d.]+' not found|undefined reference to [`'].*@GLIBC_[\d.]+'"
)


class NewerCxxLibrary(Remedy):
    name = "newer-cxx-library"

    def before_build(self, plan: BuildPlan) -> Symptom | None:
        cxx = plan.tools.compiler.where
        if cxx is None or any(item.problem for item in plan.tools.findings()):
            return None
        return None if suits(cxx, plan) else self._symptom(plan, "")

    def in_log(self, text: str, plan: BuildPlan) -> Symptom | None:
        match = _IN_LOG.search(text)
        return self._symptom(plan, f" ({match[0]})") if match else None

    def fix(self, plan: BuildPlan) -> Repair:
        other = _other_compiler(plan)
        if other is None:
            raise KnownProblemError(_message(plan), _ADVICE)
        return Repair(f"the build uses the compiler {other}.", plan.with_compiler(other))

    def _symptom(self, plan: BuildPlan, seen: str) -> Symptom:
        other = _other_compiler(plan)
        # Before the build it is only a risk: not every program uses the new symbols.
        return Symptom(
            f"{_message(plan)}{seen} {_ADVICE}", repair=f"build with {other}" if other else ""
        )


_ADVICE = (
    "Use KIM-API, simulator and compiler from the same place: all from the system, or all from one "
    "conda environment."
)


def suits(cxx: Path, plan: BuildPlan) -> bool:
    """Whether the compiler's programs run with the libstdc++ that simulators load."""
    own = cxx_library.of_compiler(cxx)
    loaded = cxx_library.at_run_time(plan.tools.kim.where)
    if own is None or loaded is None or own.resolve() == loaded.resolve():
        return True
    return cxx_library.newest_symbols(own) <= cxx_library.newest_symbols(loaded)


def _message(plan: BuildPlan) -> str:
    cxx, kim = plan.tools.compiler, plan.tools.kim
    own = cxx.where and cxx_library.of_compiler(cxx.where)
    loaded = cxx_library.at_run_time(kim.where)
    return (
        f"The compiler {cxx.where} links with {own}, but simulators with the KIM-API in "
        f"{kim.where} load {loaded}, which is older. It may lack symbols that the driver needs."
    )


def _other_compiler(plan: BuildPlan) -> Path | None:
    """The first other compiler that suits."""
    return next((program for program in others(plan) if suits(program, plan)), None)
