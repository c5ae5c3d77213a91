"""Two KIM-APIs: LAMMPS loads one, but the driver is built for another."""

from __future__ import annotations

import shlex
from pathlib import Path

from torchml_installer.building.plan import BuildPlan
from torchml_installer.detect import elf, loader
from torchml_installer.remedies.remedy import Remedy, Repair, Symptom
from torchml_installer.support import files

_FOLDERS = ("lib", "lib64", "lib/*-linux-gnu*")


class AnotherKimApi(Remedy):
    name = "another-kim-api"

    def before_build(self, plan: BuildPlan) -> Symptom | None:
        kim = plan.tools.kim
        if not plan.others or kim.where is None:
            return None
        lammps = plan.finding("lammps")
        if lammps.where is None:
            return None
        loaded = _loaded_by(lammps.where.resolve())
        own = [file.resolve() for file in _libraries(kim.where)]
        if loaded is None or not own or loaded.resolve() in own:
            return None
        prefix = _prefix(loaded.resolve())
        at_fault = loaded.parent in loader.library_path()
        advice = f"build the driver for that KIM-API with --kim-root {shlex.quote(str(prefix))}"
        if at_fault:
            advice = f"remove {loaded.parent} from LD_LIBRARY_PATH, or {advice}"
        return Symptom(
            f"LAMMPS ({lammps.where}) loads the KIM-API {loaded.resolve()}, but the driver is "
            f"built for the one in {kim.where} ({kim.version or 'unknown version'}). Two KIM-APIs "
            "do not share collections: LAMMPS's `kim init` will not find the driver and its "
            f"models, or will fail to load them. To solve this, {advice}."
        )

    def fix(self, plan: BuildPlan) -> Repair:
        raise AssertionError("there is no repair")


def _loaded_by(program: Path) -> Path | None:
    """The libkim-api that a program loads, directly or through its liblammps."""
    facts = elf.facts(program)
    for name in facts.needed if facts else ():
        if name.startswith("libkim-api."):
            return loader.library(name, program)
    for name in facts.needed if facts else ():
        if name.startswith("liblammps") and (inner := loader.library(name, program)) is not None:
            return _loaded_by(inner)
    return None


def _libraries(prefix: Path) -> list[Path]:
    return [
        file
        for pattern in _FOLDERS
        for folder in files.matching(prefix, pattern)
        for file in files.matching(folder, "libkim-api.so*")
    ]


def _prefix(library: Path) -> Path:
    """The installation that a library belongs to: /usr of /usr/lib/x86_64-linux-gnu/x.so."""
    for folder in library.parents:
        if folder.name in ("lib", "lib64"):
            return folder.parent
    return library.parent
