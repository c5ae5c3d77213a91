"""CMake finds no threads: a compiler wrapper (a cluster's, Nix's, Spack's or the user's) drops or
refuses -pthread, or links with an incomplete C library."""

from __future__ import annotations

from pathlib import Path

from torchml_installer.building.plan import BuildPlan
from torchml_installer.detect import probe
from torchml_installer.errors import KnownProblemError
from torchml_installer.remedies.other_compilers import others
from torchml_installer.remedies.remedy import Remedy, Repair, Symptom
from torchml_installer.support.process import quick_output

_EMPTY = "int main() { return 0; }\n"
_PROGRAM = """\
#include <pthread.h>
static void* work(void* data) {{ return data; }}
int main() {{
    pthread_t thread;
    if (pthread_create(&thread, 0, work, 0) != 0) return 1;
    {more}
    return pthread_join(thread, 0);
}}
"""
_THREADS = _PROGRAM.format(more="")
#: What CMake's own test calls.
_AS_CMAKE = _PROGRAM.format(more="pthread_atfork(0, 0, 0);")
_LIBRARIES = ("libpthread.so.0", "libpthread.so", "libpthread.a")


class ThreadsNotFound(Remedy):
    name = "threads-not-found"

    def before_build(self, plan: BuildPlan) -> Symptom | None:
        cxx = plan.tools.compiler
        # A missing tool is reported first.
        if cxx.where is None or any(item.problem for item in plan.tools.findings()):
            return None
        if "CMAKE_HAVE_LIBC_PTHREAD" in plan.variables or _cmake_finds_threads(cxx.where, plan):
            return None
        if not probe.links(cxx.where, _EMPTY, environment=plan.environment):
            return None  # it builds nothing at all; the build shows why
        return self._symptom(plan)

    def in_log(self, text: str, plan: BuildPlan) -> Symptom | None:
        return self._symptom(plan) if "Could NOT find Threads" in text else None

    def fix(self, plan: BuildPlan) -> Repair:
        """Passes CMake the library that it did not find, or selects another compiler."""
        cxx = plan.tools.compiler.where
        assert cxx is not None, "without a compiler nothing was recognised"
        if (library := _library(cxx, plan)) is not None:
            # CMake then treats threads as part of the C library, and links this with everything.
            variables = {"CMAKE_HAVE_LIBC_PTHREAD": "TRUE"}
            if library:
                variables["CMAKE_CXX_STANDARD_LIBRARIES"] = library
            where = f"in {library}" if library else "in the C library"
            changed = plan.with_variables(variables)
            return Repair(f"CMake uses the threads {where}.", changed)
        other = _other_compiler(plan)
        if other is None:
            raise KnownProblemError(*_advice(cxx))
        return Repair(f"the build uses the compiler {other}.", plan.with_compiler(other))

    def _symptom(self, plan: BuildPlan) -> Symptom:
        cxx = plan.tools.compiler.where
        assert cxx is not None, "the build had one"
        message, remedy = _advice(cxx)
        repair = ""
        if _library(cxx, plan) is not None:
            repair = "tell CMake where to find threads"
        elif (other := _other_compiler(plan)) is not None:
            repair = f"build with {other}"
        return Symptom(message, repair, error=KnownProblemError(message, remedy))


def _cmake_finds_threads(cxx: Path, plan: BuildPlan) -> bool:
    """Whether CMake's tests find threads with this compiler: in the C library, or by an option."""
    return probe.links(cxx, _AS_CMAKE, environment=plan.environment) or any(
        probe.links(cxx, _THREADS, [option], plan.environment)
        for option in ("-lpthread", "-pthread")
    )


def _library(cxx: Path, plan: BuildPlan) -> str | None:
    """The path of the library that programs with threads need; "": none, None: unknown."""
    if probe.links(cxx, _THREADS, environment=plan.environment):
        return ""
    for name in _LIBRARIES:
        path = quick_output([cxx, f"-print-file-name={name}"], timeout=3.0) or name
        if path != name and probe.links(cxx, _THREADS, [path], plan.environment):
            return path
    return None


def _other_compiler(plan: BuildPlan) -> Path | None:
    """The first other compiler that supports torch's C++ and finds threads."""
    return next((program for program in others(plan) if _cmake_finds_threads(program, plan)), None)


def _advice(cxx: Path) -> tuple[str, str]:
    return (
        f"The compiler {cxx} cannot link a program with threads: not with the C library alone, nor "
        "with -pthread or -lpthread. It may be a wrapper that drops options.",
        "Name the compiler behind the wrapper with --cxx PATH.",
    )
