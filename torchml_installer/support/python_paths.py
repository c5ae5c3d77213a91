"""Folders of the user's Python: headers, programs and the user's own packages."""

from __future__ import annotations

from pathlib import Path

from torchml_installer.support.user_python import user_python


def python_path(name: str) -> Path:
    """A folder of that Python by its name in sysconfig, for example ``include``."""
    return user_python().folder(name)


def user_path(name: str) -> Path:
    """The same folder for packages that pip installs for one user (below ~/.local)."""
    return user_python().user_folder(name)
