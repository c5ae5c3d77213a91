"""Chooses the build for the torch of this process, in a wheel that has one for each series.

The folder ``prebuilt/torch-2.13`` contains ``_core`` and ``built_for`` for torch 2.13. A module
that was compiled for one torch has them in the package itself.
"""

from __future__ import annotations

import ctypes
import platform
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

from .torch_package import series, torch_folder, version_of

_FOLDER = Path(__file__).with_name("prebuilt")


def choose(path: list[str]) -> None:
    """Puts the folder of the build that fits in front of a package's ``__path__``.

    Also opens libtorch, where ``import torch`` would: the build finds it by its name then. Raises
    ImportError if there is no torch, or no build for it.
    """
    if not _FOLDER.is_dir():
        return
    package = torch_folder()
    if package is None:
        raise ImportError(
            "torchml_driver needs torch, which this Python lacks. Install it with `python -m pip "
            "install torch`."
        )
    version = version_of(package)
    build = _FOLDER / f"torch-{'.'.join(series(version))}"
    if not build.is_dir():
        known = ", ".join(one.name.partition("-")[2] for one in _builds())
        raise ImportError(
            f"This torchml_driver was built for torch {known}, but torch {version} is in "
            f"{package}. Install one of these, or compile the module for this one with "
            "`torchml-install driver --build`."
        )
    if not any((build / f"_core{suffix}").exists() for suffix in EXTENSION_SUFFIXES):
        known = ", ".join(sorted(one.name for one in build.glob("_core.*")))
        raise ImportError(
            f"This torchml_driver has no build for Python {platform.python_version()} (it has "
            f"{known}). Compile the module with `torchml-install driver --build`."
        )
    path.insert(0, str(build))
    if "torch" not in sys.modules:
        library = package / "lib/libtorch_cpu.so"
        try:
            ctypes.CDLL(str(library))
        except OSError as error:
            raise ImportError(
                f"{library} cannot be loaded ({error}). Install torch again."
            ) from error


def _builds() -> list[Path]:
    found = _FOLDER.glob("torch-*")
    return sorted(found, key=lambda one: list(map(int, one.name.partition("-")[2].split("."))))
