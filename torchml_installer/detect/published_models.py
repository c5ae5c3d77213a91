"""OpenKIM's published potentials, as packages install them. The quickstart compares its model with
one of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from torchml_installer.detect.programs import which
from torchml_installer.detect.record import Finding, Place, first_with
from torchml_installer.support import files
from torchml_installer.support.paths import home_folder

#: The potential's name without its version: all versions give the same results. Debian 12 has 005,
#: Debian testing (forky) has 006.
REFERENCE = "SW_StillingerWeber_1985_Si__MO_405512056662"
_VARIABLE = "KIM_API_PORTABLE_MODELS_DIR"
_FOLDERS = ("lib*/openkim-models", "lib*/kim-api", "lib/*/kim-api")


def detect() -> Finding:
    """Searches for one potential to represent all, beside the KIM-API and in the user's
    collections."""
    found, looked = first_with(_folders(), _lacks)
    return Finding(
        name="openkim-models",
        title="KIM's models",
        where=found.where if found else None,
        how=found.how if found else "",
        hint="For the quickstart: `torchml-install deps --with openkim-models`.",
        looked=looked,
    )


def reference_in(folder: Path) -> str | None:
    """The full name of the newest version in a folder that ``detect`` searches."""
    pattern = f"{REFERENCE}_[0-9][0-9][0-9]"
    found = [
        place.name
        for inside in (f"portable-models/{pattern}", pattern)
        for place in files.matching(folder, inside)
        if files.is_dir(place)
    ]
    return max(found, default=None)


def _lacks(folder: Path) -> str:
    return f"no {REFERENCE}" if reference_in(folder) is None else ""


def _folders() -> Iterator[Place]:
    program = which("kim-api-collections-management")
    prefix = Path("/usr") if program is None else program[0].resolve().parent.parent
    beside = [folder for pattern in _FOLDERS for folder in files.matching(prefix, pattern)]
    for folder in beside or [prefix / "lib/kim-api"]:
        yield Place(folder, "beside the KIM-API")
    for name in filter(None, os.environ.get(_VARIABLE, "").split(os.pathsep)):
        yield Place(Path(name), _VARIABLE)
    if (home := home_folder()) is not None:
        for folder in files.matching(home, ".kim-api/*/portable-models-dir"):
            yield Place(folder, "the user's collection")
