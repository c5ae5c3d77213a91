"""A private CMake from PyPI, for machines whose CMake does not suffice."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from torchml_installer.building.plan import BuildPlan
from torchml_installer.deps import pip
from torchml_installer.detect.cmake import private_folder, private_program
from torchml_installer.errors import PackageInstallError
from torchml_installer.remedies.remedy import Repair
from torchml_installer.support.placing import partial_beside, put_in_place
from torchml_installer.support.process import run_logged


def offer() -> str:
    """What a repair would do, "" if it cannot fetch anything."""
    return "build with a private CMake from PyPI" if pip.available() else ""


def command(folder: Path | None = None) -> tuple[str, ...]:
    """The command that installs it into a private folder, without changing any Python."""
    return (*pip.install_command("--upgrade", "--target", folder or private_folder(), "cmake"),)


def fetched(plan: BuildPlan) -> Repair:
    """Fetches it, unless an earlier repair did."""
    with partial_beside(private_folder()) as partial:
        if not private_program().is_file():
            run_logged(
                command(partial / "cmake"),
                title="fetching a CMake",
                log=plan.fix_log,
                environment={**plan.environment, **pip.environment()},
                failure=PackageInstallError,
            )
            put_in_place(partial / "cmake", private_folder())
    places = dataclasses.replace(plan.places, cmake=private_program())
    return Repair(f"the build uses the CMake {private_program()}.", plan.with_places(places))
