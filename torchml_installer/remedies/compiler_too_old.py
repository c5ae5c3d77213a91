"""A compiler that does not know torch's C++: the default one of long-term-support systems."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from torchml_installer.detect import probe
from torchml_installer.errors import CompilerTooOldError, KnownProblemError
from torchml_installer.remedies.other_compilers import others
from torchml_installer.remedies.remedy import Change, Context, Remedy, Symptom

#: Torch's own words, gcc's, clang's and CMake's.
_IN_LOG = re.compile(
    r"C\+\+\d\d or later compatible compiler is required"
    r"|unrecognized command[- ]line option .-std=(?:c|gnu)\+\+\d\w"
    r"|invalid value '(?:c|gnu)\+\+\d\w' in '-std="
    r"|requires the language dialect \"CXX\d\d\""
)


class CompilerTooOld(Remedy):
    name = "compiler-too-old"

    def before_build(self, context: Context) -> Symptom | None:
        problem = context.tools.compiler.problem
        if not isinstance(problem, CompilerTooOldError):
            return None
        return dataclasses.replace(self._symptom(context), error=problem)

    def in_log(self, text: str, context: Context) -> Symptom | None:
        return self._symptom(context) if _IN_LOG.search(text) else None

    def fix(self, context: Context) -> Change:
        other = _other_compiler(context)
        if other is None:
            raise KnownProblemError(self._symptom(context).explanation, _ADVICE)
        places = dataclasses.replace(context.places, cxx=str(other))
        return Change(f"the build uses the compiler {other}.", places=places)

    def _symptom(self, context: Context) -> Symptom:
        other = _other_compiler(context)
        return Symptom(
            f"Torch's headers are written in C++{context.tools.torch.cxx_standard}, which the "
            f"compiler {context.tools.compiler.where} does not know. A newer one does no harm "
            "beside it: what it makes runs with the same libraries.",
            repair=f"build with {other}" if other else "",
        )


_ADVICE = CompilerTooOldError.default_remedy


def _other_compiler(context: Context) -> Path | None:
    """The first other compiler that knows the standard; a version is only what it says."""
    option = f"-std=c++{context.tools.torch.cxx_standard}"
    known = (item for item in others(context) if probe.links(item, "int main() {}\n", [option]))
    return next(known, None)
