"""A CMake older than 3.18: what long-term-support systems and clusters come with."""

from __future__ import annotations

from torchml_installer.building.plan import BuildPlan
from torchml_installer.errors import CMakeTooOldError
from torchml_installer.remedies import private_cmake
from torchml_installer.remedies.remedy import Remedy, Repair, Symptom


class CMakeTooOld(Remedy):
    name = "cmake-too-old"

    def before_build(self, plan: BuildPlan) -> Symptom | None:
        cmake = plan.tools.cmake
        if not isinstance(cmake.problem, CMakeTooOldError):
            return None
        return Symptom(
            f"CMake {cmake.version} in {cmake.where} lacks what the driver's build uses. PyPI has "
            "a newer one, which works in a folder of its own and leaves the system's and Python's "
            "alone.",
            repair=private_cmake.offer(),
            command=private_cmake.command() if private_cmake.offer() else (),
            error=cmake.problem,
        )

    def fix(self, plan: BuildPlan) -> Repair:
        return private_cmake.fetched(plan)
