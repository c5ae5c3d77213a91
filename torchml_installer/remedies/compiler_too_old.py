"""A compiler that does not support torch's C++ standard, as on long-term-support systems."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from torchml_installer.building.plan import BuildPlan
from torchml_installer.detect import probe
from torchml_installer.errors import CompilerTooOldError, KnownProblemError
from torchml_installer.remedies.other_compilers import others
from torchml_installer.remedies.remedy import Remedy, Repair, Symptom

#: Messages of torch's headers, gcc, clang and CMake.
_IN_LOG = re.compile(
    r"C\+\+\d\d or later compatible compiler is required"
    r"|unrecognized command[- ]line option .-std=(?:c|gnu)\+\+\d\w"
    r"|invalid value '(?:c|gnu)\+\+\d\w' in '-std="
    r"|requires the language dialect \"CXX\d\d\""
)


class CompilerTooOld(Remedy):
    name = "compiler-too-old"

    def before_build(self, plan: BuildPlan) -> Symptom | None:
        problem = plan.tools.compiler.problem
        if not isinstance(problem, CompilerTooOldError):
            return None
        return dataclasses.replace(self._symptom(plan), error=problem)

    def in_log(self, text: str, plan: BuildPlan) -> Symptom | None:
        return self._symptom(plan) if _IN_LOG.search(text) else None

    def fix(self, plan: BuildPlan) -> Repair:
        other = _other_compiler(plan)
        if other is None:
            raise KnownProblemError(self._symptom(plan).explanation, _ADVICE)
        return Repair(f"the build uses the compiler {other}.", plan.with_compiler(other))

    def _symptom(self, plan: BuildPlan) -> Symptom:
        other = _other_compiler(plan)
        return Symptom(
            f"Torch's headers need C++{plan.tools.torch.cxx_standard}, which the compiler "
            f"{plan.tools.compiler.where} does not support. You can install a newer compiler "
            "beside it: its programs run with the same libraries.",
            repair=f"build with {other}" if other else "",
        )


_ADVICE = CompilerTooOldError.default_remedy


def _other_compiler(plan: BuildPlan) -> Path | None:
    """The first other compiler that supports the standard, by compiling with it."""
    option = f"-std=c++{plan.tools.torch.cxx_standard}"
    empty = "int main() {}\n"
    return next(
        (one for one in others(plan) if probe.links(one, empty, [option], plan.environment)), None
    )
