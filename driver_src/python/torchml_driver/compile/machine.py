"""What compiling needs of this machine: torch, a compiler, a device, and paths without spaces."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .. import _core, one_torch
from .failure import ModelError, one_line


@contextmanager
def work_folder() -> Iterator[Path]:
    """A folder for all that torch writes, which goes at the end."""
    with tempfile.TemporaryDirectory(prefix="torchml-compile-", dir=_parent()) as folder:
        # Torch leaves gigabytes behind, precompiled headers mostly, some of it where no setting
        # of its own leads: it asks Python for the folder of temporary files.
        os.environ.update(TMPDIR=folder, TORCHINDUCTOR_CACHE_DIR=f"{folder}/inductor")
        tempfile.tempdir = None
        _reach_torch_without_spaces(Path(folder))
        yield Path(folder)


def _parent() -> str | None:
    """The folder of temporary files, or another if that has a space: see below."""
    if not _has_space(tempfile.gettempdir()):
        return None
    return next((name for name in ("/tmp", "/var/tmp") if os.access(name, os.W_OK)), None)


def _reach_torch_without_spaces(work: Path) -> None:
    """Torch hands the linker its own folder unquoted, which must have no spaces for that."""
    torch = importlib.util.find_spec("torch")
    if torch is None or torch.origin is None or not _has_space(torch.origin):
        return
    link = work / "site-packages"
    link.symlink_to(Path(torch.origin).parent.parent)
    sys.path.insert(0, str(link))


def _has_space(path: str) -> bool:
    return re.search(r"\s", path) is not None


def require_torch() -> None:
    """This torch, which has to be the engine's: two in one process end it."""
    if (other := one_torch.another(*_core.libtorch())) is not None:
        raise ModelError("other_torch", f"The model cannot be compiled: {other}", one_torch.ADVICE)
    try:
        import torch
    except ImportError as error:
        raise ModelError(
            "no_torch",
            f"There is no torch for {sys.executable}: {one_line(error)}",
            "Compile with the Python that has the torch which the driver is linked to: "
            "`python -m pip install torch`.",
        ) from error
    version = tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2])
    if version < (2, 7):
        raise ModelError(
            "torch_too_old",
            f"torch {torch.__version__} cannot compile models for the driver; 2.7 or newer can.",
            "Install a newer one, or pack the model as TorchScript.",
        )


def require_device(device: str) -> str:
    """The GPU's compute capability; "" for the CPU."""
    import torch

    if device == "cpu":
        return ""
    if not torch.cuda.is_available():
        built = torch.version.cuda
        raise ModelError(
            "no_device",
            "A model is compiled on a machine with the GPU it is for, and torch finds none here"
            + (
                f" (it was built for CUDA {built})." if built else ": this is a CPU build of torch."
            ),
            "Compile on a machine with a GPU, or with --device cpu.",
        )
    major, minor = torch.cuda.get_device_capability()
    return f"{major}.{minor}"


def require_compiler() -> str:
    compiler = os.environ.get("CXX") or "g++"
    if shutil.which(compiler.split()[0]) is None:
        raise ModelError(
            "no_compiler", f"Compiling a model needs a C++ compiler; there is no {compiler}."
        )
    os.environ["CXX"] = compiler
    return compiler
