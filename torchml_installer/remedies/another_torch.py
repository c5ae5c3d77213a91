"""Two torches: the driver was built with one, but this environment or the loader has another."""

from __future__ import annotations

import re
from pathlib import Path

from torchml_installer.building.plan import BuildPlan
from torchml_installer.detect import elf, loader, prebuilt
from torchml_installer.detect.record import Finding, version_tuple
from torchml_installer.detect.torch import TorchFinding, inspect, python_torch_folder
from torchml_installer.remedies.remedy import Remedy, Repair, Symptom
from torchml_installer.support import files
from torchml_installer.support.kim_items import ItemKind
from torchml_installer.support.names import DEFAULT_DRIVER_NAME


class AnotherTorch(Remedy):
    name = "another-torch"

    def before_build(self, plan: BuildPlan) -> Symptom | None:
        if not plan.others:
            return None  # a build replaces driver and module
        found = {one.name: one for one in plan.others}
        texts = [_of_driver(found.get("kim-collections"), plan.tools.torch)]
        texts.append(_of_module(found.get("torchml_driver")))
        text = " ".join(filter(None, texts))
        return Symptom(text) if text else None

    def fix(self, plan: BuildPlan) -> Repair:
        raise AssertionError("there is no repair")


def _of_driver(installed: Finding | None, torch: TorchFinding) -> str:
    if installed is None or installed.where is None:
        return ""
    driver = installed.where / DEFAULT_DRIVER_NAME / ItemKind.DRIVER.library
    noted = installed.details.get("built with torch") or _by_run_path(driver)
    version, separator, root = noted.partition(" in ")
    if not separator:
        return ""
    built = f"The driver in {driver.parent} was built with torch {version} in {root}, but "
    others = _in_library_path(Path(root), driver)
    if others and not _looks_in_run_path_first(driver):
        return (
            f"{built}LD_LIBRARY_PATH makes it load another one from {others[0]}. Loading fails: "
            "LAMMPS prints 'Unable to load KIM Simulator Model'. Remove that folder from "
            "LD_LIBRARY_PATH, or rebuild the driver with `torchml-install driver`: the new one "
            "finds its own torch first."
        )
    if torch.where is None or torch.how == "--torch-root" or _alike(torch.version, version):
        return ""
    return (
        f"{built}this environment has torch {torch.version} in {torch.where} ({torch.how}). LAMMPS "
        "works with either. A Python program that imports one and computes through KIM with the "
        "other, as ASE does, ends with an error. Rebuild the driver for this environment with "
        "`torchml-install driver`."
    )


def _by_run_path(driver: Path) -> str:
    """The torch that a driver without a receipt searches for first, "" if unknown."""
    facts = elf.facts(driver)
    for folder in facts.run_path if facts else ():
        if files.is_file(folder / "libtorch_cpu.so"):
            found = inspect(folder.parent, "the driver")
            return f"{found.version} in {folder.parent}" if found.version else ""
    return ""


def _of_module(module: Finding | None) -> str:
    if module is None or module.where is None:
        return ""
    if (module.where / prebuilt.FACTS).is_file():
        return ""  # it has builds for several, and chooses
    try:
        text = (module.where / "built_for.py").read_text(encoding="utf-8", errors="replace")
    except OSError:  # an older module lacks it
        return ""
    built = re.search(r'^VERSION = "([^"]+)"', text, re.MULTILINE)
    package = python_torch_folder()
    if built is None or package is None:
        return ""
    present = inspect(package, "the active Python").version
    if not present or _alike(present, built[1]):
        return ""
    return (
        f"The Python module in {module.where} was built for torch {built[1]}, but this Python "
        f"imports torch {present} from {package}: importing the module fails or ends the "
        "process. Rebuild it with `torchml-install driver`."
    )


def _alike(one: str, other: str) -> bool:
    """Whether they belong to one series, within which torch keeps its interface."""
    return version_tuple(one)[:2] == version_tuple(other)[:2]


def _in_library_path(root: Path, driver: Path) -> list[Path]:
    """Folders of LD_LIBRARY_PATH where the driver would find another torch than in ``root``."""
    facts = elf.facts(driver)
    names = [name for name in (facts.needed if facts else ()) if name.startswith("libtorch")]
    found = []
    for folder in loader.library_path():
        libraries = [folder / name for name in names if files.is_file(folder / name)]
        if any(not one.resolve().is_relative_to(root.resolve()) for one in libraries):
            found.append(folder)
    return found


def _looks_in_run_path_first(driver: Path) -> bool:
    facts = elf.facts(driver)
    return facts is None or facts.run_path_first
