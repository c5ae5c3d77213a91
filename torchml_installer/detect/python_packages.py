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
#: The package that this program builds, and that no index has.
_OURS = "torchml_driver"
#: Package → its purpose.
PACKAGES = {
    _OURS: "to run models in ASE without KIM",
    "numpy": "for the Python module torchml_driver",
    "vesin": "for the Python module torchml_driver",
    "pybind11": "to build the Python module torchml_driver",
    "scikit-build-core": "to build the Python module torchml_driver",
    "ase": "to run models in ASE",
    "kimpy": "to run KIM models in ASE (takes some minutes to compile)",
}
#: The oldest pybind11 that compiles the module; and the first pybind11 for each release of Python
#: or NumPy, oldest first. CheckPybind11.cmake has the same.
_PYBIND11_LEAST = "2.7"
_PYBIND11_FOR = (
    ("Python", "3.12", "2.11"),
    ("NumPy", "2", "2.12"),
    ("Python", "3.13", "2.13"),
    ("Python", "3.14", "3.0"),
)


def detect(name: str) -> Finding:
    """Finds one of PACKAGES as the active Python would import it, whatever pip recorded."""
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
        # pip would trust its records and install nothing.
        install = f"{install} --ignore-installed"
        why = f"half removed: pip's records exist, but the package {name} does not"
        looked = (*places(name, None), Place(notes, "the active Python", why))
    else:
        looked = places(name, None)
    if name == _OURS:
        install = "torchml-install driver"
    hint = f"{_capitalised(PACKAGES[name])}: `{install}`."
    if in_tool_environment(user_python()) is not None:
        hint = f"{_capitalised(PACKAGES[name])}; activate the environment to install it into."
    return Finding(name=name, title=name, hint=hint, looked=looked)


def _capitalised(text: str) -> str:
    return text[0].upper() + text[1:]


def folder_of(name: str) -> Path | None:
    """The folder of a package of the active Python.

    None if there is none, or only what an uninstallation left behind.
    """
    try:
        spec = user_python().find_spec(module_of(name))
    except (ImportError, ValueError):
        return None
    if spec is None or spec.origin is None or not spec.submodule_search_locations:
        return None
    return Path(spec.origin).parent


def version_of(name: str) -> str:
    """The version that pip recorded; "" if none.

    Read as text: importing importlib.metadata would take longer than everything else here.
    """
    if (notes := _notes(name)) is None:
        return ""
    # A folder, or a file for old installations; half removed packages can lack the file in it.
    for file in (notes / "METADATA", notes / "PKG-INFO", notes):
        try:
            text = file.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        if match := _VERSION.search(text):
            return match[1]
    return ""


def places(name: str, found: Path | None) -> tuple[Place, ...]:
    """Where Python searches for a package, up to the folder in which it was found."""
    looked = tuple(_searched(name, found))
    if found is None or any(not place.refused for place in looked):
        return looked
    # In none of these folders: an editable installation.
    return (*looked, Place(found, "the active Python"))


def pybind11_cmake_folder() -> Path | None:
    """The value for CMake's ``pybind11_DIR``, without importing pybind11."""
    package = folder_of("pybind11")
    if package is None:
        return None
    folder = package / "share/cmake/pybind11"
    return folder if files.is_dir(folder) else None


def pybind11_wanted() -> tuple[str, str]:
    """The oldest pybind11 that works here, and what needs it, for example "NumPy 2.4.6"."""
    # If there is no NumPy, pip installs a new one.
    here = {"Python": user_python().release, "NumPy": version_of("numpy") or "2"}
    least, asks = _PYBIND11_LEAST, "the Python module torchml_driver"
    for what, since, knows in _PYBIND11_FOR:
        if version_tuple(here[what]) >= version_tuple(since):
            least, asks = knows, f"{what} {here[what]}"
    return least, asks


def module_of(name: str) -> str:
    """The module's name, which is also the beginning of the name of pip's records."""
    return name.replace("-", "_")


def _searched(name: str, found: Path | None) -> Iterator[Place]:
    for entry in dict.fromkeys(user_python().search_path):
        folder = Path(entry).absolute()
        if found is not None and found == folder / module_of(name):
            yield Place(found, "the active Python")
            return
        yield Place(folder, "the active Python", f"no package {name}")


def _notes(name: str) -> Path | None:
    """The folder with pip's records of a package."""
    for folder in dict.fromkeys(Path(entry).absolute() for entry in user_python().search_path):
        for found in sorted(files.names(folder)):
            if found.startswith(f"{module_of(name)}-") and found.endswith("-info"):
                return folder / found
    return None
