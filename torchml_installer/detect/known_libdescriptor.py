"""libdescriptor's shared library: what it is called, and where it is kept.

It is optional: the driver has descriptors of its own. It is opened at run time where
``KIM_MODEL_DESCRIPTOR_BACKEND=libdescriptor`` asks for it.
"""

from __future__ import annotations

from pathlib import Path

from torchml_installer.support import files
from torchml_installer.support.paths import data_folder

VERSION = "0.2.3"
#: Of the environment: names the root, when the driver is built and when it runs.
VARIABLE = "LIBDESCRIPTOR_ROOT"
#: Of ``driver``: names the root as the variable does.
OPTION = "--libdescriptor-root"
#: As its folder is called below a prefix.
TITLE = f"libdescriptor-{VERSION}"
LIBRARY = "libdescriptor.so"


def library_in(root: Path) -> Path | None:
    """The library of an installation, None if there is none in that folder."""
    for folder in ("lib", "lib64"):
        path = root / folder / LIBRARY
        if files.is_file(path):
            return path
    return None


def default_prefix() -> Path:
    """Where ``deps`` puts it, unless the user names a place."""
    return data_folder() / "deps"
