"""libdescriptor's shared library: its names and places.

It is optional: the driver has its own descriptors. The driver opens it at run time if
``KIM_MODEL_DESCRIPTOR_BACKEND=libdescriptor`` selects it.
"""

from __future__ import annotations

from pathlib import Path

from torchml_installer.support import files
from torchml_installer.support.paths import data_folder

VERSION = "0.2.3"
#: The environment variable that names its root, when the driver is built and when it runs.
VARIABLE = "LIBDESCRIPTOR_ROOT"
#: The option of ``driver`` that names the root, like the variable.
OPTION = "--libdescriptor-root"
#: The name of its folder below a prefix.
TITLE = f"libdescriptor-{VERSION}"
LIBRARY = "libdescriptor.so"


def library_in(root: Path) -> Path | None:
    """The library of an installation, None if the folder has none."""
    for folder in ("lib", "lib64"):
        path = root / folder / LIBRARY
        if files.is_file(path):
            return path
    return None


def default_prefix() -> Path:
    """The folder into which ``deps`` puts it by default."""
    return data_folder() / "deps"
