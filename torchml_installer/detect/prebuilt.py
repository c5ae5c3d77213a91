"""Prebuilt drivers: wheels of torchml-driver that carry the driver for several releases of torch.

A wheel, or the package that pip made of it, has a folder ``torchml_driver/prebuilt`` with
``facts.json`` (``ci/prebuilt/wheel.py`` writes it) and a folder for each minor version of torch.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torchml_installer import __version__
from torchml_installer.detect.kim_api import KimFinding
from torchml_installer.detect.python_packages import folder_of
from torchml_installer.detect.record import Finding, Place, version_tuple
from torchml_installer.detect.torch import TorchFinding, library_folder
from torchml_installer.errors import PrebuiltUnfitError
from torchml_installer.support import files

PACKAGE = "torchml_driver"
#: In the package.
FOLDER = "prebuilt"
FACTS = f"{FOLDER}/facts.json"
OPTION = "--find-links"
VARIABLE = "PIP_FIND_LINKS"
#: The oldest and the first unsupported KIM-API: all between have libkim-api.so.2.
_KIM_FROM, _KIM_BEFORE = (2, 2), (3,)
#: The loader looks in these by itself.
_SYSTEM = ("/lib", "/usr/lib", "/lib64", "/usr/lib64")
_HINT = "With a wheel of it, no compiler is needed: `torchml-install driver --find-links FOLDER`."


@dataclass(frozen=True)
class Build:
    """The driver for one minor version of torch.

    torch: "2.13"; folder: in ``prebuilt/``; modules: file names of the Python module, by the
    Python's version ("3.11").
    """

    torch: str
    folder: str
    modules: Mapping[str, str]


@dataclass(frozen=True)
class Prebuilt:
    """A wheel, or the package that pip unpacked from one.

    where: the file, or the package's folder. how: why it was looked at. version: the driver's.
    machine, glibc: what it runs on, for example "x86_64" and "2.17". name: the placeholder for the
    name under which KIM finds the driver. room: the longest run path, in bytes. models: folders of
    a model with a known energy, by the oldest KIM-API that can read it, in ascending order.
    """

    where: Path
    how: str
    version: str
    machine: str
    glibc: str
    name: str
    room: int
    builds: tuple[Build, ...]
    models: tuple[tuple[str, str], ...]

    @property
    def is_wheel(self) -> bool:
        """Whether pip still has to install it."""
        return self.where.suffix == ".whl"

    @property
    def title(self) -> str:
        """For messages: the wheel's name, or the package's folder."""
        return self.where.name if self.is_wheel else str(self.where)

    def read(self, name: str) -> bytes:
        """A file in ``prebuilt/``. Raises PrebuiltUnfitError if it is missing or damaged."""
        return _read(self.where, f"{FOLDER}/{name}")

    def build(self, torch: str) -> Build | None:
        """The build for a release of torch, by its version."""
        wanted = version_tuple(torch)[:2]
        return next((one for one in self.builds if version_tuple(one.torch) == wanted), None)

    def model(self, kim: str) -> str:
        """The folder of the model that this KIM-API can read."""
        known = [folder for since, folder in self.models if _at_least(kim, since)]
        return known[-1]


def found(folders: Sequence[Path] = ()) -> tuple[list[Prebuilt], list[Place]]:
    """All prebuilt drivers, in the order in which they count, and the places searched.

    folders: of ``--find-links``. After these: the active Python's package, and the folders that
    PIP_FIND_LINKS names.
    """
    prebuilt: list[Prebuilt] = []
    looked: list[Place] = []
    for where, how in _candidates(folders):
        try:
            prebuilt.append(_opened(where, how))
            looked.append(Place(where, how))
        except PrebuiltUnfitError as error:
            looked.append(Place(where, how, error.message))
    return prebuilt, looked


def unfit(prebuilt: Prebuilt, torch: TorchFinding, kim: KimFinding, version: str) -> str:
    """Why a prebuilt driver cannot be used here, a clause; "" if it can.

    torch, kim: usable. version: this program's driver has.
    """
    return next(_reasons(prebuilt, torch, kim, version), "")


def run_path(torch: TorchFinding, kim: KimFinding) -> bytes:
    """Where the loader shall look for the driver's libraries: torch's folder, then KIM's."""
    return os.fsencode(":".join(_folders(torch, kim)))


def _folders(torch: TorchFinding, kim: KimFinding) -> list[str]:
    of_torch = library_folder(torch.where)
    of_kim = None if kim.library is None else kim.library.parent
    folders = [str(one) for one in (of_torch, of_kim) if one is not None]
    return list(dict.fromkeys(one for one in folders if not is_of_system(one)))


def is_of_system(folder: str) -> bool:
    """Whether the loader looks there by itself."""
    return any(Path(folder).is_relative_to(one) for one in _SYSTEM)


def detect(torch: TorchFinding, kim: KimFinding) -> Finding:
    """For ``doctor``: the first prebuilt driver that fits."""
    prebuilt, looked = found()
    usable = torch.usable and kim.usable
    refused = ""
    for one in prebuilt:
        refused = (
            unfit(one, torch, kim, __version__) if usable else "it needs torch and the KIM-API"
        )
        looked = [
            Place(place.where, place.how, refused) if place.where == one.where else place
            for place in looked
        ]
        if not refused:
            return Finding(
                name="prebuilt-driver",
                title="prebuilt driver",
                where=one.where,
                how=one.how,
                version=one.version,
                details={"torch": ", ".join(build.torch for build in one.builds)},
                looked=tuple(looked),
            )
    problem = None
    if refused and usable:
        problem = PrebuiltUnfitError(f"{_capitalised(refused)}.", COMPILE)
    if not looked:
        looked = [
            Place(Path(PACKAGE), "the active Python", "it has no prebuilt driver"),
            Place(Path(f"${VARIABLE}"), VARIABLE, "it names no folder with one"),
        ]
    return Finding(
        name="prebuilt-driver",
        title="prebuilt driver",
        problem=problem,
        hint=_HINT,
        looked=tuple(looked),
    )


#: What to do instead.
COMPILE = "Compile the driver with `torchml-install driver --build`, or get another wheel."


def _candidates(folders: Sequence[Path]) -> Iterator[tuple[Path, str]]:
    yield from ((wheel, OPTION) for wheel in _wheels(folders))
    package = folder_of(PACKAGE)
    if package is not None and files.is_file(package / FACTS):
        yield package, "the active Python"
    named = [Path(word.removeprefix("file://")) for word in os.environ.get(VARIABLE, "").split()]
    yield from ((wheel, VARIABLE) for wheel in _wheels(named))


def _wheels(folders: Iterable[Path]) -> list[Path]:
    """The wheels in these folders, the newest versions first."""
    found = [
        wheel
        for folder in folders
        for wheel in files.matching(folder, f"{PACKAGE}-*-py3-none-*.whl")
    ]
    return sorted(found, key=lambda one: version_tuple(one.name.split("-")[1]), reverse=True)


def _opened(where: Path, how: str) -> Prebuilt:
    try:
        text = json.loads(_read(where, FACTS))
        return _parsed(where, how, text)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise PrebuiltUnfitError(f"{where} is damaged: {FACTS} cannot be read ({error}).") from None


def _parsed(where: Path, how: str, text: Mapping[str, Any]) -> Prebuilt:
    if text["schema"] != 1:
        raise PrebuiltUnfitError(
            f"{where} was made for a newer torchml-install.", "Install a newer torchml-install."
        )
    builds = [
        Build(str(one["torch"]), str(one["folder"]), dict(one["modules"])) for one in text["builds"]
    ]
    models = sorted(text["known_energy"].items(), key=lambda pair: version_tuple(pair[0]))
    return Prebuilt(
        where=where,
        how=how,
        version=str(text["version"]),
        machine=str(text["machine"]),
        glibc=str(text["glibc"]),
        name=str(text["name_placeholder"]),
        room=int(text["run_path_room"]),
        builds=tuple(builds),
        models=tuple(models),
    )


def _read(where: Path, name: str) -> bytes:
    import zipfile  # most runs read no wheel

    try:
        if where.suffix != ".whl":
            return (where / name).read_bytes()
        with zipfile.ZipFile(where) as archive:
            return archive.read(f"{PACKAGE}/{name}")
    except (OSError, zipfile.BadZipFile, KeyError, EOFError) as error:
        raise PrebuiltUnfitError(
            f"{where} is damaged: {name} cannot be read ({error}).", "Copy the wheel again."
        ) from error


def _reasons(
    prebuilt: Prebuilt, torch: TorchFinding, kim: KimFinding, version: str
) -> Iterator[str]:
    it = f"{prebuilt.title} ({prebuilt.how})"
    if prebuilt.version != version:
        yield f"{it} is version {prebuilt.version}, but this torchml-install is for {version}"
    if prebuilt.machine != platform.machine():
        yield f"{it} is for {prebuilt.machine} processors, but this is {platform.machine()}"
    glibc = _glibc()
    if not glibc or not _at_least(glibc, prebuilt.glibc):
        have = f"has {glibc}" if glibc else "does not have it"
        yield f"{it} needs glibc {prebuilt.glibc} or newer, but this system {have}"
    if prebuilt.build(torch.version) is None:
        series = ", ".join(build.torch for build in prebuilt.builds)
        yield f"{it} has drivers for torch {series}, but the torch here is {torch.version}"
    if not _KIM_FROM <= version_tuple(kim.version) < _KIM_BEFORE:
        yield f"{it} is for KIM-API 2.2 or newer, but the one here is {kim.version or 'unknown'}"
    if is_of_system(str(library_folder(torch.where))):
        # libstdc++ would come from that folder, too.
        yield f"{it} is for a torch in a folder of its own, but this one is in {torch.where}"
    if kim.library is None:
        yield f"{it} needs libkim-api.so.2, which {kim.where} lacks"
    for folder in _folders(torch, kim):
        if ":" in folder:
            yield f"the loader cannot search a folder with a colon in its name: {folder}"
    if len(run_path(torch, kim)) > prebuilt.room:
        yield f"the paths of torch and the KIM-API are longer than {prebuilt.room} bytes"


def _glibc() -> str:
    """The version of this system's glibc, "" with another C library."""
    try:
        said = os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (ValueError, OSError):
        return ""
    return said.partition(" ")[2]


def _at_least(version: str, least: str) -> bool:
    return version_tuple(version) >= version_tuple(least)


def _capitalised(text: str) -> str:
    return text[0].upper() + text[1:]
