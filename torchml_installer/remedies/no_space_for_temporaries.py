"""No room where compilers put temporary files, often a small /tmp in memory, while there is room
where the build is."""

from __future__ import annotations

import os
from pathlib import Path

from torchml_installer.collections import nearest_folder
from torchml_installer.errors import DiskFullError
from torchml_installer.paths import cache_folder, plain_temporary_parent
from torchml_installer.remedies.remedy import Change, Context, Remedy, Symptom

#: Assembler code of what many compilers work on at once: the driver's sources have some MB each.
NEEDED = 64 * 1024 * 1024


class NoSpaceForTemporaries(Remedy):
    name = "no-space-for-temporaries"

    def before_build(self, context: Context) -> Symptom | None:
        folder = _temporary_folder(context)
        free = _free(folder)
        return None if free >= NEEDED else self._symptom(context, folder, free)

    def in_log(self, text: str, context: Context) -> Symptom | None:
        folder = _temporary_folder(context)
        free = _free(folder)
        # The compiler has removed its files by now; a full disk of the build is another problem.
        if "No space left on device" not in text or free >= 4 * NEEDED:
            return None
        return self._symptom(context, folder, free)

    def fix(self, context: Context) -> Change:
        folder = _roomy(context)
        assert folder is not None, "nothing was offered"
        folder.mkdir(parents=True, exist_ok=True)
        return Change(f"temporary files go to {folder}.", environment={"TMPDIR": str(folder)})

    def _symptom(self, context: Context, folder: Path, free: int) -> Symptom:
        message = (
            f"{folder}, where compilers put temporary files, has {free / 1e6:.0f} MB left; a build "
            f"may need {NEEDED / 1e6:.0f} MB."
        )
        roomy = _roomy(context)
        remedy = "Free some space there, or set TMPDIR to a folder with more."
        repair = f"put them into {roomy}" if roomy else ""
        return Symptom(message, repair, error=DiskFullError(message, remedy))


def _temporary_folder(context: Context) -> Path:
    return Path(context.environment.get("TMPDIR") or os.environ.get("TMPDIR") or "/tmp")


def _free(folder: Path) -> int:
    facts = os.statvfs(nearest_folder(folder))
    return facts.f_bavail * facts.f_frsize


def _roomy(context: Context) -> Path | None:
    """A folder with room that is not yet where temporary files are."""
    candidates = (cache_folder() / "tmp", plain_temporary_parent(), Path("/var/tmp"))
    for folder in candidates:
        if folder != _temporary_folder(context) and _free(folder) >= NEEDED:
            return folder / f"torchml-install-{os.getuid()}" if folder.is_dir() else folder
    return None
