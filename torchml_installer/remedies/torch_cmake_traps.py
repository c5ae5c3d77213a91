"""find_package(Torch): torch's own CMake configuration demands a CUDA toolkit, cuDNN, MKL and more
if torch was built with them. The driver does not call it, but other projects do."""

from __future__ import annotations

import re

from torchml_installer.building.plan import BuildPlan
from torchml_installer.remedies.remedy import Remedy, Repair, Symptom

_IN_LOG = re.compile(
    r"Your installed Caffe2 version uses (?:CUDA|ROCm|cuDNN|CUDNN)[^.]*"
    r"|(?:Caffe2|PyTorch): (?:CUDA cannot be found|CUDA was explicitly|Cannot find)[^\n]*"
    r"|PyTorch requires (?:CUDA|cuDNN) [\d.]+ or above"
    r"|Failed to find nvToolsExt"
    r"|The link interface of target \"torch[^\"]*\" contains:\s+CUDA::nv\w+"
    r"|Could not find a package configuration file provided by \"(?:Caffe2|MKL|Torch)\""
)


class TorchCMakeTraps(Remedy):
    name = "torch-cmake-traps"

    def before_build(self, plan: BuildPlan) -> Symptom | None:
        return None  # the driver's own build never triggers it

    def in_log(self, text: str, plan: BuildPlan) -> Symptom | None:
        match = _IN_LOG.search(text)
        if match is None:
            return None
        return Symptom(
            f"The message '{' '.join(match[0].split())}' comes from torch's own CMake "
            "configuration, which demands everything that torch was built with. The driver's build "
            "does not call it, and needs neither a CUDA toolkit nor MKL. Look for something else "
            "that calls find_package(Torch): CMAKE_PROJECT_INCLUDE, a toolchain file, or changed "
            "sources. Your own projects can include driver_src/cmake/FindLibtorch.cmake instead.",
        )

    def fix(self, plan: BuildPlan) -> Repair:
        raise AssertionError("there is no repair")
