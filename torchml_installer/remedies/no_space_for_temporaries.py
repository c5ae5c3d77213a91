"""The folder for temporary files, often a small /tmp in memory, is full, but not the disk of the
build."""

from __future__ import annotations

from pathlib import Path

from torchml_installer.building.plan import BuildPlan
from torchml_installer.errors import DiskFullError
from torchml_installer.remedies.remedy import Remedy, Repair, Symptom
from torchml_installer.support import disk
from torchml_installer.support.paths import (
    cache_folder,
    own_temporary_folder,
    plain_temporary_parent,
    temporary_folder,
)

#: Bytes of assembler code from many compilers at once: some MB for each of the driver's sources.
NEEDED = 64 * 1024 * 1024


class NoSpaceForTemporaries(Remedy):
    name = "no-space-for-temporaries"

    def before_build(self, plan: BuildPlan) -> Symptom | None:
        folder = temporary_folder(plan.variable("TMPDIR"))
        free = disk.free(folder)
        return None if free >= NEEDED else self._symptom(plan, folder, free)

    def in_log(self, text: str, plan: BuildPlan) -> Symptom | None:
        folder = temporary_folder(plan.variable("TMPDIR"))
        free = disk.free(folder)
        # The compiler has removed its files by now. A full disk of the build is another problem.
        if "No space left on device" not in text or free >= 4 * NEEDED:
            return None
        return self._symptom(plan, folder, free)

    def fix(self, plan: BuildPlan) -> Repair:
        parent = _roomy(plan)
        assert parent is not None, "there is no repair"
        own = parent if parent == cache_folder() else own_temporary_folder(parent)
        folder = own / "tmp"
        folder.mkdir(parents=True, exist_ok=True)
        elsewhere = plan.with_environment({"TMPDIR": str(folder)})
        return Repair(f"temporary files go to {folder}.", elsewhere)

    def _symptom(self, plan: BuildPlan, folder: Path, free: int) -> Symptom:
        message = (
            f"{folder}, where compilers put temporary files, has {free / 1e6:.0f} MB left, but a "
            f"build may need {NEEDED / 1e6:.0f} MB."
        )
        roomy = _roomy(plan)
        remedy = "Free some space there, or set TMPDIR to a folder with more."
        repair = f"put temporary files into {roomy}" if roomy else ""
        return Symptom(message, repair, error=DiskFullError(message, remedy))


def _roomy(plan: BuildPlan) -> Path | None:
    """A folder with room for temporary files, on another disk."""
    tmpdir = plan.variable("TMPDIR")
    small = disk.device(temporary_folder(tmpdir))
    for folder in (cache_folder(), plain_temporary_parent(tmpdir), Path("/var/tmp")):
        if disk.device(folder) != small and disk.free(folder) >= NEEDED:
            return folder
    return None
