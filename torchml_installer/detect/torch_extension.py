"""torch_scatter and torch_sparse for C++: optional, see ``torch_extensions.py``."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from torchml_installer.detect.record import Finding, Place
from torchml_installer.errors import ExtensionMissingError, TorchMLError
from torchml_installer.torch_extensions import TorchExtension, default_prefix, read_record


def detect(extension: TorchExtension, torch_version: str) -> Finding:
    """Looks at the environment variable, then where ``deps`` puts what it builds.

    A folder that the variable names is the only one considered, as in the driver's build.
    """
    unset = Place(Path(f"${extension.variable}"), extension.variable, "not set")
    if value := os.environ.get(extension.variable):
        root, how = Path(value).absolute(), extension.variable
    else:
        root, how = default_prefix(torch_version) / extension.title, "torchml-install deps"
        if extension.library_in(root) is None:
            nothing = Place(root, how, f"no lib/lib{extension.library}.so")
            return replace(_finding(extension), looked=(unset, nothing))
    problem: TorchMLError | None = None
    record = read_record(root)
    built_for = record.get("torch_version", "")
    rebuild = f"`torchml-install deps --with {extension.name}` builds it"
    if extension.library_in(root) is None:
        problem = ExtensionMissingError(
            f"{how} is {root}, which has no lib/lib{extension.library}.so.",
            f"Unset {extension.variable}, or set it to an installation for C++; {rebuild}.",
        )
    elif built_for and torch_version and built_for != torch_version:
        problem = ExtensionMissingError(
            f"The {extension.package} in {root} was built for torch {built_for}, "
            f"not for {torch_version}.",
            f"Unset {extension.variable}; {rebuild} for this torch.",
        )
    place = Place(root, how, "" if problem is None else problem.message)
    found = _finding(extension, root, how, record.get("version", ""), problem)
    return replace(found, looked=(place,) if value else (unset, place))


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
        hint=f"The driver has its own operators; `torchml-install deps --with {extension.name}` "
        "builds the original.",
    )
