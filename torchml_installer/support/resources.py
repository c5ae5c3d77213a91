"""Finds the files that ship with the package: driver sources, environment templates, examples.

An installed wheel has them in ``torchml_installer/_share``; a checkout, also one installed in
editable mode, has them beside the package.
"""

from __future__ import annotations

from pathlib import Path

from torchml_installer.errors import SourcesMissingError


def shared_folder(name: str) -> Path:
    """The folder ``driver_src``, ``env_templates`` or ``examples``.

    Raises SourcesMissingError if the package is incomplete.
    """
    package = Path(__file__).resolve().parents[1]
    candidates = (package / "_share" / name, package.parent / name)
    for folder in candidates:
        if folder.is_dir():
            return folder
    raise SourcesMissingError(
        f"The folder {name} of torchml-install is missing from {candidates[0].parent}."
    )
