"""A compiler that brings a newer libstdc++ than simulators load: conda's compiler with the system's
KIM-API, or a compiler module with neither in its environment."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from torchml_installer.detect import cxx_library
from torchml_installer.errors import KnownProblemError
from torchml_installer.remedies.other_compilers import others
from torchml_installer.remedies.remedy import Change, Context, Remedy, Symptom

#: The loader's words, and the linker's where conda's C library is older than the system's.
_IN_LOG = re.compile(
    r"version [`'](?:GLIBCXX|CXXABI)_[\d.]+' not found|undefined reference to [`'].*@GLIBC_[\d.]+'"
)


class NewerCxxLibrary(Remedy):
    name = "newer-cxx-library"

    def before_build(self, context: Context) -> Symptom | None:
        cxx = context.tools.compiler.where
        if cxx is None or any(item.problem for item in context.tools.findings()):
            return None
        return None if suits(cxx, context) else self._symptom(context, "")

    def in_log(self, text: str, context: Context) -> Symptom | None:
        match = _IN_LOG.search(text)
        return self._symptom(context, f" ({match[0]})") if match else None

    def fix(self, context: Context) -> Change:
        other = _other_compiler(context)
        if other is None:
            raise KnownProblemError(_message(context), _ADVICE)
        places = dataclasses.replace(context.places, cxx=str(other))
        return Change(f"the build uses the compiler {other}.", places=places)

    def _symptom(self, context: Context, seen: str) -> Symptom:
        other = _other_compiler(context)
        # Before the build it is a risk: not every program uses what is new.
        return Symptom(
            f"{_message(context)}{seen} {_ADVICE}", repair=f"build with {other}" if other else ""
        )


_ADVICE = (
    "Take KIM-API, simulator and compiler from one place: all of the system, or all of one conda "
    "environment."
)


def suits(cxx: Path, context: Context) -> bool:
    """Whether what the compiler makes runs with the libstdc++ that simulators load."""
    own = cxx_library.of_compiler(cxx)
    loaded = cxx_library.at_run_time(context.tools.kim.where)
    if own is None or loaded is None or own.resolve() == loaded.resolve():
        return True
    return cxx_library.newest_symbols(own) <= cxx_library.newest_symbols(loaded)


def _message(context: Context) -> str:
    cxx, kim = context.tools.compiler, context.tools.kim
    own = cxx.where and cxx_library.of_compiler(cxx.where)
    loaded = cxx_library.at_run_time(kim.where)
    return (
        f"The compiler {cxx.where} links with {own}, and simulators with the KIM-API in "
        f"{kim.where} load {loaded}, which is older: they may not find all symbols of a driver."
    )


def _other_compiler(context: Context) -> Path | None:
    """The first other compiler that suits."""
    return next((program for program in others(context) if suits(program, context)), None)
