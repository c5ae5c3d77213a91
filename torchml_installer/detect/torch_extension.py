"""torch_scatter and torch_sparse for C++: optional, see ``known_extensions.py``."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from torchml_installer.detect import elf, python_packages
from torchml_installer.detect.known_extensions import TorchExtension, default_prefix, read_record
from torchml_installer.detect.record import Finding, Place
from torchml_installer.detect.torch import TorchFinding
from torchml_installer.detect.torch_match import mismatch
from torchml_installer.errors import ExtensionMissingError, TorchMLError
from torchml_installer.support import files, receipts


def detect(extension: TorchExtension, torch: TorchFinding, explicit: Path | None = None) -> Finding:
    """Searches the environment variable, the folders of ``deps``, and the active Python; mentions
    its package, although C++ cannot link that.

    If the variable is set, only its folder counts, as in the driver's build. explicit: the folder
    that ``driver``'s option names.
    """
    if explicit is not None:
        return _inspect(extension, explicit.absolute(), extension.option, torch)
    if value := os.environ.get(extension.variable):
        return _inspect(extension, Path(value).absolute(), extension.variable, torch)
    looked = [Place(Path(f"${extension.variable}"), extension.variable, "not set")]
    how = "torchml-install deps"
    ours = (
        default_prefix(torch.version) / extension.title,
        *receipts.library_roots(extension.title),
    )
    for root in dict.fromkeys(ours):
        if extension.library_in(root) is None:
            looked.append(Place(root, how, f"no lib/lib{extension.library}.so"))
            continue
        found = _inspect(extension, root, how, torch)
        looked += found.looked
        if found.usable:
            return replace(found, looked=tuple(looked))
    return _python_package(extension, torch, looked)


def _inspect(extension: TorchExtension, root: Path, how: str, torch: TorchFinding) -> Finding:
    """The installation in a folder, and whether it fits this torch."""
    problem: TorchMLError | None = None
    library = extension.library_in(root)
    record = read_record(root)
    built_for = record.get("torch_version", "")
    rebuild = f"build it with `torchml-install deps --with {extension.name}`"
    undo = f"Leave out {how}" if how == extension.option else f"Unset {extension.variable}"
    if library is None:
        kind = "a Python package and " if _libraries(root) else ""
        problem = ExtensionMissingError(
            f"{how} is {root}, which is {kind}not an installation for C++: it has no "
            f"lib/lib{extension.library}.so.",
            f"{undo}, name an installation for C++ instead, or {rebuild}.",
        )
    elif built_for and torch.version and built_for != torch.version:
        problem = ExtensionMissingError(
            f"The {extension.package} in {root} was built for torch {built_for}, "
            f"not for {torch.version}.",
            f"{undo}, and {rebuild}.",
        )
    elif reason := mismatch([library], "", torch):
        problem = ExtensionMissingError(
            f"The {extension.package} in {root} does not fit: {reason}.",
            f"{undo}, and {rebuild}.",
        )
    place = Place(root, how, "" if problem is None else problem.message)
    found = _finding(extension, root, how, record.get("version", ""), problem)
    return replace(found, looked=(place,))


def _python_package(
    extension: TorchExtension, torch: TorchFinding, looked: Sequence[Place]
) -> Finding:
    """The finding if there is no C++ library: what the Python package, if any, is good for."""
    package = python_packages.folder_of(extension.package)
    if package is None:
        places = (*looked, *python_packages.places(extension.package, None))
        return replace(_finding(extension), looked=places)
    version = python_packages.version_of(extension.package)
    libraries = _libraries(package)
    refused = "a Python package, not an installation for C++"
    reason = mismatch(libraries, version, torch)
    if reason:
        refused = f"{refused}; {reason}"
    found = replace(
        _finding(extension),
        details={"Python package": f"{version}, {'not ' if reason else ''}for this torch"},
        looked=(*looked, Place(package, "the active Python", refused)),
    )
    if reason or not libraries:
        return found
    wants_python = any("libtorch_python.so" in _needed(library) for library in libraries)
    kind = libraries[0].stem.rpartition("_")[2]
    return replace(
        found,
        hint="Not needed: the driver has its own operators. To use the Python package's in "
        f"{'Python programs' if wants_python else 'any program'}, set "
        "KIM_MODEL_OPERATORS=extension and "
        f'KIM_MODEL_TORCH_EXTENSIONS="$(printf %s: {shlex.quote(str(package))}/*_{kind}.so)".',
    )


def _libraries(package: Path) -> list[Path]:
    """The libraries that the package itself would load: those for CUDA if it has them."""
    return files.matching(package, "_*_cuda.so") or files.matching(package, "_*_cpu.so")


def _needed(library: Path) -> tuple[str, ...]:
    facts = elf.facts(library)
    return facts.needed if facts else ()


def _finding(
    extension: TorchExtension,
    where: Path | None = None,
    how: str = "",
    version: str = "",
    problem: TorchMLError | None = None,
) -> Finding:
    return Finding(
        name=extension.finding,
        title=extension.package,
        where=where,
        how=how,
        version=version,
        problem=problem,
        hint="Not needed: the driver has its own operators. Build the original with "
        f"`torchml-install deps --with {extension.name}`.",
    )
