"""Finds adapters, and the one that a file belongs to."""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import saved_file
from .base import (
    Adapter,
    AdapterError,
    BadOptionError,
    LibraryVersionError,
    NoLibraryError,
    OtherLibraryError,
)

GROUP = "torchml_driver.adapters"
#: Those of this package: by name, ``module:class`` in it.
_OURS = {
    "allegro": "nequip:AllegroAdapter",
    "chgnet": "chgnet:CHGNetAdapter",
    "mace": "mace:MACEAdapter",
    "matgl": "matgl:MatGLAdapter",
    "metatomic": "metatomic:MetatomicAdapter",
    "nequip": "nequip:NequIPAdapter",
    "schnetpack": "schnetpack:SchNetPackAdapter",
    "sevennet": "sevennet:SevenNetAdapter",
    "torchani": "torchani:TorchANIAdapter",
}


def names() -> list[str]:
    """The names of all adapters, sorted."""
    return sorted({*_OURS, *_installed()})


def adapter(name: str) -> Adapter:
    """The adapter of a name.

    Raises:
        BadOptionError: if there is none.
        NoLibraryError: if a library's own adapter cannot be imported.
    """
    if (point := _installed().get(name)) is not None:
        try:
            return _instance(point.load())
        except Exception as error:
            raise NoLibraryError(
                f"The adapter {name} of {point.value} cannot be loaded: "
                f"{type(error).__name__}: {error}",
                "Reinstall the package that it comes from.",
            ) from error
    if name not in _OURS:
        raise BadOptionError(
            f"There is no adapter for a library {name}.",
            f"Name one of these: {', '.join(names())}.",
        )
    where, _, what = _OURS[name].partition(":")
    return _instance(getattr(importlib.import_module(f"{__package__}.{where}"), what))


def require_installed(one: Adapter) -> str:
    """The version of an adapter's library.

    Raises:
        NoLibraryError: if it is missing or cannot be imported.
        LibraryVersionError: if it is too old.
    """
    version = one.version()
    wanted = " ".join([one.distribution, *one.extra_distributions])
    if version is None:
        raise NoLibraryError(
            f"{one.title} is not installed in this Python.",
            f"Install it with `python -m pip install {wanted}`.",
        )
    if _parts(version) < _parts(one.oldest):
        raise LibraryVersionError(
            f"{one.title} {version} is too old: version {one.oldest} or newer is needed.",
            f'Update it with `python -m pip install "{one.distribution}>={one.oldest}"`.',
        )
    try:
        importlib.import_module(one.module)
    except Exception as error:
        raise NoLibraryError(
            f"{one.title} {version} cannot be imported: {type(error).__name__}: {error}",
            f"Reinstall it with `python -m pip install --force-reinstall {wanted}`.",
        ) from error
    return version


def untried(one: Adapter, version: str) -> str | None:
    """A sentence for the user if an adapter was not tried with a version of its library."""
    if version.partition("+")[0] in one.tried_with:
        return None
    return (
        f"This is {one.title} {version}; the adapter was tried with {', '.join(one.tried_with)}. "
        "The comparison below shows whether it works."
    )


def check_options(one: Adapter, options: Mapping[str, str]) -> None:
    """Raises BadOptionError if an adapter does not have an option."""
    known = [option.name for option in one.options]
    for name in options:
        if name not in known:
            described = [f"{option.name} ({option.what})" for option in one.options]
            raise BadOptionError(
                f"{one.title} has no option {name}.",
                f"It has these: {', '.join(described)}." if known else "Leave --option out.",
            )


def require_ours(one: Adapter, path: Path) -> None:
    """Raises OtherLibraryError if a file is of another adapter's library, or of none."""
    found = saved_file.read(path)
    if one.recognises(found):
        return
    for name in names():
        if name == one.name:
            continue
        try:
            other = adapter(name)
            its_own = other.recognises(found)
        except AdapterError:
            continue
        if its_own:
            raise OtherLibraryError(
                f"{path} is a model of {other.title}, not of {one.title}.",
                f"Use --from {other.name}.",
            )
    raise OtherLibraryError(
        f"{path} is not a model of {one.title}.",
        f"`torchml-install model inspect {path}` shows what it is.",
    )


def _installed() -> dict[str, importlib.metadata.EntryPoint]:
    return {point.name: point for point in importlib.metadata.entry_points(group=GROUP)}


def _instance(found: Any) -> Adapter:
    made: Adapter = found() if isinstance(found, type) else found
    return made


def _parts(version: str) -> tuple[int, ...]:
    """The numbers at the beginning of a version: (0, 13, 0) of "0.13.0.dev1"."""
    numbers = []
    for part in version.partition("+")[0].split("."):
        if not part.isdigit():
            break
        numbers.append(int(part))
    return tuple(numbers)
