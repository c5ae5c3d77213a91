"""find_package(Torch): torch's own CMake configuration demands a CUDA toolkit, cuDNN, MKL and more
wherever torch was built with them. The driver does not call it; other projects do."""

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
        return None  # the driver's own build never meets it

    def in_log(self, text: str, plan: BuildPlan) -> Symptom | None:
        match = _IN_LOG.search(text)
        if match is None:
            return None
        return Symptom(
            f"`{' '.join(match[0].split())}` comes from torch's own CMake configuration, which "
            "demands what torch was built with. The driver is built without calling it "
            "(driver_src/cmake/FindLibtorch.cmake), and needs no CUDA toolkit and no MKL; look for "
            "what else calls find_package(Torch): CMAKE_PROJECT_INCLUDE, a toolchain file, changed "
            "sources. A project of your own can include FindLibtorch.cmake, too.",
        )

    def fix(self, plan: BuildPlan) -> Repair:
        raise AssertionError("nothing was offered")
