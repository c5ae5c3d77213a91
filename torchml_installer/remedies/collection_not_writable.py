"""A KIM collection that is not writable: the system's without root, the user's own if root created
it, or one on a read-only file system."""

from __future__ import annotations

import dataclasses
import os
import shlex
from pathlib import Path

from torchml_installer.building.plan import BuildPlan
from torchml_installer.errors import CollectionNotWritableError, TorchMLError
from torchml_installer.remedies.remedy import Remedy, Repair, Symptom
from torchml_installer.support.kim_items import Collection, Collections, ItemKind, nearest_folder


class CollectionNotWritable(Remedy):
    name = "collection-not-writable"

    def before_build(self, plan: BuildPlan) -> Symptom | None:
        folder = _folder(plan, plan.collection)
        if folder is None or _writable(folder):
            return None
        obstacle = nearest_folder(folder)
        message = (
            f"Cannot write to the {plan.collection.value} collection {folder}: {obstacle} "
            f"{_why(obstacle)}."
        )
        if _alternative(plan) is not None:
            error = CollectionNotWritableError(message)
            return Symptom(message, repair="install into your own collection", error=error)
        remedy = (
            f'Take ownership with `sudo chown -R "$(id -un)" {shlex.quote(str(obstacle))}`. Or '
            "install into a folder that you own: run `export KIM_API_MODEL_DRIVERS_DIR=DIR "
            "KIM_API_PORTABLE_MODELS_DIR=DIR`, here and where simulators run, and add "
            "--collection environment."
        )
        return Symptom(message, error=CollectionNotWritableError(message, remedy))

    def fix(self, plan: BuildPlan) -> Repair:
        chosen = _alternative(plan)
        assert chosen is not None, "there is no repair"
        own = dataclasses.replace(plan, collection=chosen)
        return Repair("the driver goes into your own collection.", own)


def _alternative(plan: BuildPlan) -> Collection | None:
    if plan.collection is Collection.USER:
        return None
    folder = _folder(plan, Collection.USER)
    return Collection.USER if folder is not None and _writable(folder) else None


def _folder(plan: BuildPlan, collection: Collection) -> Path | None:
    info = plan.tools.kim.collections_info
    if info is None or not plan.tools.kim.usable:
        return None
    if any(found.name == "kim-collections" and found.problem for found in plan.others):
        return None  # KIM's program has just failed to answer
    try:
        return Collections(info).folder(collection, ItemKind.DRIVER)
    except TorchMLError:
        return None  # unset, or KIM's program fails: the build reports it better


def _writable(folder: Path) -> bool:
    nearest = nearest_folder(folder)
    return nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)


def _why(place: Path) -> str:
    if not place.is_dir():
        return "is not a folder"
    if os.statvfs(place).f_flag & os.ST_RDONLY:
        return "is on a read-only file system"
    owner = place.stat().st_uid
    return "belongs to another user" if owner != os.geteuid() else "is write-protected"
