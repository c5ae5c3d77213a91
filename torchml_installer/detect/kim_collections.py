"""KIM's collections: the folders in which a KIM-API searches for drivers and models."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from torchml_installer.detect import torch
from torchml_installer.detect.kim_api import KimFinding
from torchml_installer.detect.record import Finding, Place, version_tuple
from torchml_installer.errors import (
    CollectionUnsetError,
    LibraryNotLoadableError,
    NoKimApiError,
    TorchMLError,
)
from torchml_installer.support import files, receipts
from torchml_installer.support.kim_items import (
    VARIABLES,
    Collection,
    Collections,
    InstalledItem,
    ItemKind,
)
from torchml_installer.support.names import DEFAULT_DRIVER_NAME

#: Seconds to wait for the KIM-API's program.
PATIENCE = 10.0
_ITEMS = {ItemKind.DRIVER: "drivers", ItemKind.MODEL: "models"}


def detect(kim: KimFinding) -> Finding:
    """Lists each collection's folders, from the KIM-API itself, and whether the user can install
    there; finds the driver under the name that published models use."""
    if kim.collections_info is None:
        nothing = Place(Path("kim-api-collections-info"), "the KIM-API", "there is none")
        return _finding(hint="Install the KIM-API first.", looked=(nothing,))
    collections = Collections(kim.collections_info, PATIENCE)
    asked = [(collection, kind) for collection in Collection for kind in _ITEMS]
    # All at once, even on few cores: if all of them hang, that takes ten seconds only once.
    with ThreadPoolExecutor(len(asked) + 1) as pool:
        found = pool.submit(collections.find, ItemKind.DRIVER, DEFAULT_DRIVER_NAME)
        places = [pool.submit(_place, collections, *pair) for pair in asked]
        try:
            looked = tuple(place.result() for place in places)
            driver = found.result()
        except NoKimApiError as error:
            asked_for = Place(kim.collections_info, "the KIM-API", error.message)
            return _finding(problem=error, looked=(asked_for,))
    if driver is None:
        return _finding(
            looked=looked, hint="Not installed yet: `torchml-install driver` installs it."
        )
    how = driver.name
    built_with, problem = _torch_of(driver)
    details = {"built with torch": built_with} if built_with else {}
    return _finding(where=driver.folder, how=how, problem=problem, looked=looked, details=details)


def _torch_of(driver: InstalledItem) -> tuple[str, TorchMLError | None]:
    """The torch that the driver was built with, if known, and why it no longer fits.

    Torch keeps its binary interface within a series (2.7.0, 2.7.1), but not between series.
    """
    place = driver.folder / driver.name
    built_with = receipts.made_from("driver", driver.name, place).get("torch", "")
    version, separator, root = built_with.partition(" in ")
    if not separator:
        return "", None
    now = torch.inspect(Path(root), "the driver")
    if now.where is None:
        changed = "which no longer exists"
    elif version_tuple(now.version)[:2] != version_tuple(version)[:2]:
        changed = f"which is {now.version} now"
    else:
        return built_with, None
    message = f"The driver in {place} was built with torch {built_with}, {changed}."
    return built_with, LibraryNotLoadableError(message, "Rebuild it with `torchml-install driver`.")


def _place(collections: Collections, collection: Collection, kind: ItemKind) -> Place:
    how = f"{collection.value}, {_ITEMS[kind]}"
    try:
        folder = collections.folder(collection, kind)
    except CollectionUnsetError:
        return Place(Path(f"${VARIABLES[kind]}"), how, "not set")
    if not files.exists(folder):
        return Place(folder, how, "does not exist yet")
    return Place(folder, how, "" if os.access(folder, os.W_OK) else "you cannot write there")


def _finding(
    *,
    where: Path | None = None,
    how: str = "",
    hint: str = "",
    problem: TorchMLError | None = None,
    looked: tuple[Place, ...] = (),
    details: dict[str, str] | None = None,
) -> Finding:
    return Finding(
        name="kim-collections",
        title="driver in KIM",
        where=where,
        how=how,
        hint=hint,
        problem=problem,
        looked=looked,
        details=details or {},
    )
