"""torch_scatter and torch_sparse as C++ libraries: their names and places.

Both are optional: the driver has the operators that models call. It uses the originals if it was
built with ``TorchScatter_ROOT`` or ``TorchSparse_ROOT`` set and ``KIM_MODEL_OPERATORS=extension``
selects them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from torchml_installer.support import files
from torchml_installer.support.paths import data_folder

#: The file in our installations that records what they were built from.
RECORD = "torchml-install.json"


@dataclass(frozen=True)
class TorchExtension:
    """One of the libraries.

    name: its name for ``deps --with``. package: its name on PyPI. version: the release we build.
    sha256: of the source archive. variable: the environment variable that names its root.
    library: the library's name, without ``lib`` and suffix.
    """

    name: str
    package: str
    version: str
    sha256: str
    variable: str
    library: str

    @property
    def title(self) -> str:
        """The name of its folder and archive, for example ``torch_scatter-2.1.2``."""
        return f"{self.package}-{self.version}"

    @property
    def finding(self) -> str:
        """The name of its finding in ``doctor``."""
        return self.package.replace("_", "-")

    @property
    def option(self) -> str:
        """The option of ``driver`` that names its root, like the variable."""
        return f"--{self.name}-root"

    @property
    def archive(self) -> str:
        """The file name of the source distribution."""
        return f"{self.title}.tar.gz"

    def library_in(self, root: Path) -> Path | None:
        """The library of an installation, None if the folder has none."""
        for pattern in ("lib", "lib64", "lib/*-linux-gnu*"):
            for folder in files.matching(root, pattern):
                path = folder / f"lib{self.library}.so"
                if files.is_file(path):
                    return path
        return None


EXTENSIONS = {
    extension.name: extension
    for extension in (
        TorchExtension(
            "scatter",
            "torch_scatter",
            "2.1.2",
            "69b3aa435f2424ac6a1bfb6ff702da6eb73b33ca0db38fb26989c74159258e47",
            "TorchScatter_ROOT",
            "torchscatter",
        ),
        TorchExtension(
            "sparse",
            "torch_sparse",
            "0.6.18",
            "2f14c510a6e93f404c6ea357210615b3c15a71731f9dbd86f25434e34fb5a741",
            "TorchSparse_ROOT",
            "torchsparse",
        ),
    )
}


def default_prefix(torch_version: str) -> Path:
    """The default parent folder of libraries built for a version of torch."""
    return data_folder() / "deps" / f"torch-{torch_version or 'unknown'}"


def read_record(root: Path) -> dict[str, str]:
    """What one of our installations was built from; empty if it is not ours or unreadable."""
    try:
        record = json.loads((root / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(record, dict):
        return {}
    return {str(key): str(value) for key, value in record.items()}
