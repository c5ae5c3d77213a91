"""Other compilers on this machine, to replace an unsuitable one."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from torchml_installer.building.plan import BuildPlan
from torchml_installer.detect import compiler as compilers
from torchml_installer.detect.programs import conda_environment, which_all
from torchml_installer.support import files

_PLAIN = ("c++", "g++", "clang++")
#: Names on Debian, Ubuntu, Fedora and SUSE, where several are installed side by side.
_VERSIONED = ("g++-[0-9]*", "clang++-[0-9]*")
#: Red Hat's newer compilers, which are on PATH only in the shell of `scl enable`.
_TOOLSETS = ("gcc-toolset-*/root/usr/bin/g++", "devtoolset-*/root/usr/bin/g++")


def others(plan: BuildPlan) -> Iterator[Path]:
    """Those that support torch's C++, except the one in use; of each kind, the newest first."""
    standard = plan.tools.torch.cxx_standard
    seen = {plan.tools.compiler.where}
    for program, how in _candidates():
        if program in seen:
            continue
        seen.add(program)
        if compilers.inspect(program, how, standard).usable:
            yield program


def _candidates() -> Iterator[tuple[Path, str]]:
    for name in _PLAIN:
        yield from which_all(name)
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        if folder:
            yield from _versions(Path(folder), "PATH")
    system = Path("/usr/bin")
    for name in _PLAIN:
        if files.is_file(system / name):
            yield system / name, "the system"
    yield from _versions(system, "the system")
    for environment in (conda_environment(), os.environ.get("CONDA_PREFIX")):
        for program in files.matching(Path(environment or "/"), "bin/*-conda-*-c++"):
            yield program, "conda"
    for pattern in _TOOLSETS:
        for program in sorted(files.matching(Path("/opt/rh"), pattern), key=_number, reverse=True):
            yield program, "a toolset"


def _versions(folder: Path, how: str) -> Iterator[tuple[Path, str]]:
    for pattern in _VERSIONED:
        for program in sorted(files.matching(folder, pattern), key=_number, reverse=True):
            yield program, how


def _number(program: Path) -> int:
    """The 14 of ``g++-14`` and ``gcc-toolset-14``."""
    found = re.findall(r"-(\d+)", str(program))
    return int(found[-1]) if found else 0
