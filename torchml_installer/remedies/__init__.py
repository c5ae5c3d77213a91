"""Known installation problems: one module each, which recognises, explains and repairs it.

To add one, write a module with a ``Remedy`` (``remedy.py``) and add it to ``KNOWN``. ``doctor``
shows the problems of this machine; ``driver`` repairs them with permission, before the build and
after a build that failed (``applying.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torchml_installer.building.plan import BuildPlan
from torchml_installer.remedies.another_kim_api import AnotherKimApi
from torchml_installer.remedies.another_torch import AnotherTorch
from torchml_installer.remedies.cmake_loops import CMakeLoops, CMakeRestarts
from torchml_installer.remedies.cmake_too_old import CMakeTooOld
from torchml_installer.remedies.collection_not_writable import CollectionNotWritable
from torchml_installer.remedies.compiler_too_old import CompilerTooOld
from torchml_installer.remedies.libcuda_missing import LibcudaMissing
from torchml_installer.remedies.mixed_mpi import MixedMpi
from torchml_installer.remedies.newer_cxx_library import NewerCxxLibrary
from torchml_installer.remedies.no_space_for_temporaries import NoSpaceForTemporaries
from torchml_installer.remedies.old_cxx_abi import OldCxxAbi
from torchml_installer.remedies.preloaded_libraries import PreloadedLibraries
from torchml_installer.remedies.remedy import Remedy, Symptom
from torchml_installer.remedies.threads_not_found import ThreadsNotFound
from torchml_installer.remedies.torch_cmake_traps import TorchCMakeTraps
from torchml_installer.remedies.two_torches import TwoTorches

#: In the order of search and repair: remedies that change the tools come first.
KNOWN: tuple[Remedy, ...] = (
    OldCxxAbi(),
    CMakeTooOld(),
    CompilerTooOld(),
    CollectionNotWritable(),
    NoSpaceForTemporaries(),
    NewerCxxLibrary(),
    ThreadsNotFound(),
    MixedMpi(),
    TwoTorches(),
    AnotherTorch(),
    AnotherKimApi(),
    PreloadedLibraries(),
    LibcudaMissing(),
    CMakeLoops(),
    CMakeRestarts(),
    TorchCMakeTraps(),
)


@dataclass(frozen=True)
class Recognised:
    """A known problem of this machine or this build."""

    remedy: Remedy
    symptom: Symptom

    @property
    def name(self) -> str:
        return self.remedy.name

    def as_json(self) -> dict[str, Any]:
        """The documented form, see ``doctor.schema``."""
        return {
            "name": self.name,
            "explanation": self.symptom.explanation,
            "repair": self.symptom.repair,
            "command": list(self.symptom.command),
            "fatal": self.symptom.error is not None,
        }


def recognised(plan: BuildPlan) -> tuple[Recognised, ...]:
    """The known problems that a build would meet."""
    symptoms = ((remedy, remedy.before_build(plan)) for remedy in KNOWN)
    return tuple(Recognised(remedy, symptom) for remedy, symptom in symptoms if symptom)


def recognised_in_log(text: str, plan: BuildPlan) -> Recognised | None:
    """The first known problem that made a build fail."""
    for remedy in KNOWN:
        if symptom := remedy.in_log(text, plan):
            return Recognised(remedy, symptom)
    return None
