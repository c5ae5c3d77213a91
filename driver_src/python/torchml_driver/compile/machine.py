"""Provides what compiling needs: torch, a compiler, a device, and paths without spaces."""

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
from .failure import ModelError, one_line, sentence


@contextmanager
def work_folder() -> Iterator[Path]:
    """A folder for everything that torch writes, removed at the end."""
    with tempfile.TemporaryDirectory(prefix="torchml-compile-", dir=_parent()) as folder:
        # Torch leaves gigabytes behind, mostly precompiled headers. None of its settings moves some
        # of these: torch asks Python for the folder of temporary files.
        os.environ.update(TMPDIR=folder, TORCHINDUCTOR_CACHE_DIR=f"{folder}/inductor")
        tempfile.tempdir = None
        _reach_torch_without_spaces(Path(folder))
        yield Path(folder)


def _parent() -> str | None:
    """The folder of temporary files, or another one if its path has a space (see below)."""
    if not _has_space(tempfile.gettempdir()):
        return None
    return next((name for name in ("/tmp", "/var/tmp") if os.access(name, os.W_OK)), None)


def _reach_torch_without_spaces(work: Path) -> None:
    """Lets torch be reached by a path without spaces: it passes its folder to the linker
    unquoted."""
    torch = importlib.util.find_spec("torch")
    if torch is None or torch.origin is None or not _has_space(torch.origin):
        return
    link = work / "site-packages"
    link.symlink_to(Path(torch.origin).parent.parent)
    sys.path.insert(0, str(link))


def _has_space(path: str) -> bool:
    return re.search(r"\s", path) is not None


def require_torch() -> None:
    """Raises ModelError unless this Python's torch is the engine's: two in one process crash it."""
    if (other := one_torch.another(*_core.libtorch())) is not None:
        raise ModelError("other_torch", f"The model cannot be compiled: {other}", one_torch.ADVICE)
    try:
        import torch
    except ImportError as error:
        raise ModelError(
            "no_torch",
            f"{sys.executable} has no torch: {sentence(one_line(error))}",
            "Use the Python whose torch the driver is linked to, or install torch: "
            "`python -m pip install torch`.",
        ) from error
    version = tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2])
    if version < (2, 7):
        raise ModelError(
            "torch_too_old",
            f"torch {torch.__version__} cannot compile models for the driver; that needs 2.7 or "
            "newer.",
            "Install a newer torch, or pack the model as TorchScript.",
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
            "Compiling a model for a GPU needs a machine with that GPU, but torch finds none here"
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
            "no_compiler", f"Compiling a model needs a C++ compiler, but {compiler} was not found."
        )
    os.environ["CXX"] = compiler
    return compiler
