"""Python packages of the active Python, found without importing them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from torchml_installer.detect.record import Finding, Place, version_tuple
from torchml_installer.support import files
from torchml_installer.support.user_python import in_tool_environment, user_python

_VERSION = re.compile(r"^Version:\s*(\S+)", re.MULTILINE)
#: The one that this program builds, and PyPI does not have.
_OURS = "torchml_driver"
#: Package → what it is good for.
PACKAGES = {
    _OURS: "to run models in ASE without KIM",
    "numpy": "for the Python module torchml_driver",
    "vesin": "for the Python module torchml_driver",
    "pybind11": "to build the Python module torchml_driver",
    "ase": "to run models in ASE",
    "kimpy": "to run KIM models in ASE; compiles for some minutes",
}
#: The oldest pybind11 that the module compiles with; and, by pybind11's own releases, the first one
#: for a release of Python or NumPy, the oldest before newer ones. CheckPybind11.cmake has the same.
_PYBIND11_LEAST = "2.7"
_PYBIND11_FOR = (
    ("Python", "3.12", "2.11"),
    ("NumPy", "2", "2.12"),
    ("Python", "3.13", "2.13"),
    ("Python", "3.14", "3.0"),
)


def detect(name: str) -> Finding:
    """One of PACKAGES: what the active Python would import counts, whatever pip's notes say."""
    folder = folder_of(name)
    if folder is not None:
        return Finding(
            name=name,
            title=name,
            where=folder,
            how="the active Python",
            version=version_of(name),
            looked=places(name, folder),
        )
    install = f"{shlex.quote(user_python().executable)} -m pip install {name}"
    if (notes := _notes(name)) is not None:
        # pip takes its own notes for the package, and would install nothing.
        install = f"{install} --ignore-installed"
        why = f"half removed: pip's notes are there, the package {name} is not"
        looked = (*places(name, None), Place(notes, "the active Python", why))
    else:
        looked = places(name, None)
    if name == _OURS:
        install = "torchml-install driver"
    hint = f"`{install}` ({PACKAGES[name]})."
    if in_tool_environment(user_python()) is not None:
        hint = f"Activate the environment that is to have it ({PACKAGES[name]})."
    return Finding(name=name, title=name, hint=hint, looked=looked)


def folder_of(name: str) -> Path | None:
    """The folder of a package of the active Python.

    None if it has none, or no more than folders that a removal has left behind.
    """
    try:
        spec = user_python().find_spec(name)
    except (ImportError, ValueError):
        return None
    if spec is None or spec.origin is None or not spec.submodule_search_locations:
        return None
    return Path(spec.origin).parent


def version_of(name: str) -> str:
    """As pip notes it; "" where it does not.

    Read as text: importlib.metadata takes longer to be imported than all else that is looked at.
    """
    if (notes := _notes(name)) is None:
        return ""
    # One folder, or of old installations one file; what is half removed can lack the very file.
    for file in (notes / "METADATA", notes / "PKG-INFO", notes):
        try:
            text = file.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        if match := _VERSION.search(text):
            return match[1]
    return ""


def places(name: str, found: Path | None) -> tuple[Place, ...]:
    """Where Python looks for a package, up to the folder in which it was found."""
    looked = tuple(_searched(name, found))
    if found is None or any(not place.refused for place in looked):
        return looked
    # Not below a folder of the list: what an installation for developers leads to.
    return (*looked, Place(found, "the active Python"))


def pybind11_cmake_folder() -> Path | None:
    """What CMake wants as ``pybind11_DIR``, without importing pybind11."""
    package = folder_of("pybind11")
    if package is None:
        return None
    folder = package / "share/cmake/pybind11"
    return folder if files.is_dir(folder) else None


def pybind11_wanted() -> tuple[str, str]:
    """The oldest pybind11 that will do here, and what asks for it, for example "NumPy 2.4.6"."""
    # Without a NumPy, pip brings a new one.
    here = {"Python": user_python().release, "NumPy": version_of("numpy") or "2"}
    least, asks = _PYBIND11_LEAST, "the Python module torchml_driver"
    for what, since, knows in _PYBIND11_FOR:
        if version_tuple(here[what]) >= version_tuple(since):
            least, asks = knows, f"{what} {here[what]}"
    return least, asks


def _searched(name: str, found: Path | None) -> Iterator[Place]:
    for entry in dict.fromkeys(user_python().search_path):
        folder = Path(entry).absolute()
        if found is not None and found == folder / name:
            yield Place(found, "the active Python")
            return
        yield Place(folder, "the active Python", f"no package {name}")


def _notes(name: str) -> Path | None:
    """The folder in which pip keeps what it knows of a package."""
    for folder in dict.fromkeys(Path(entry).absolute() for entry in user_python().search_path):
        for found in sorted(files.names(folder)):
            if found.startswith(f"{name}-") and found.endswith("-info"):
                return folder / found
    return None
