"""A CMake older than 3.18, as on long-term-support systems and clusters."""

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
            f"CMake {cmake.version} ({cmake.where}) lacks features that the driver's build uses. A "
            "newer one from PyPI works in a private folder, and does not touch the system's or "
            "Python's CMake.",
            repair=private_cmake.offer(),
            command=private_cmake.command() if private_cmake.offer() else (),
            error=cmake.problem,
        )

    def fix(self, plan: BuildPlan) -> Repair:
        return private_cmake.fetched(plan)
