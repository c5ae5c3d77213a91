"""CUDA: the driver's library libcuda (real, or a toolkit's stub), and the toolkit.

Building the TorchML driver needs neither. Running models on NVIDIA GPUs needs the real libcuda.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from torchml_installer.detect.programs import which
from torchml_installer.detect.record import Finding, Place, first_with, named_by
from torchml_installer.support import files
from torchml_installer.support.process import quick_output

LIBRARY = "libcuda.so.1"
_SYSTEM = (
    "/usr/lib/*-linux-gnu*",
    "/usr/lib64",
    "/usr/lib",
    "/usr/lib/wsl/lib",
    "/run/opengl-driver/lib",
)
#: Files and folders of toolkits besides programs: NVIDIA's, conda-forge's, Debian's.
_OWN = ("nvvm", "targets", "include/cuda.h", "lib/nvidia-cuda-toolkit")
_STUBS = ("lib64/stubs", "lib/stubs", "targets/*/lib/stubs")


def detect_driver() -> Finding:
    """libcuda, as the system's loader finds it: LD_LIBRARY_PATH, its cache, its usual folders.

    A stub has the functions' names but not their code: programs link with it, but find no GPU when
    they run with it.
    """
    looked: list[Place] = []
    for folder, how in _loader_folders():
        library = folder / LIBRARY
        if not files.is_file(library):
            looked.append(Place(folder, how, f"no {LIBRARY}"))
            continue
        if is_stub(library):
            looked.append(Place(folder, how, f"its {LIBRARY} is a stub, only for linking"))
            continue
        looked.append(Place(folder, how))
        return _driver(library, how, tuple(looked))
    return _driver(None, "", tuple(looked))


def detect_toolkit() -> Finding:
    """Searches CUDA_HOME, CUDA_PATH, CUDAToolkit_ROOT, CONDA_PREFIX, nvcc on PATH (modules set it),
    and /usr/local/cuda."""
    found, looked = first_with(_toolkits(), _lacks_nvcc)
    if found is None:
        return Finding(
            name="cuda-toolkit",
            title="CUDA toolkit",
            hint="Not needed, not even with a CUDA build of torch.",
            looked=looked,
        )
    text = quick_output([found.where / "bin/nvcc", "--version"], timeout=3.0) or ""
    match = re.search(r"release (\d+(?:\.\d+)*)", text)
    stub = toolkit_stub(found.where)
    return Finding(
        name="cuda-toolkit",
        title="CUDA toolkit",
        where=found.where,
        how=found.how,
        version=match[1] if match else "",
        details={"libcuda stub": str(stub)} if stub else {},
        looked=looked,
    )


def _lacks_nvcc(root: Path) -> str:
    if not files.is_file(root / "bin/nvcc"):
        return "no bin/nvcc"
    # A script that starts a compiler elsewhere, say in /usr/local/bin, is not a toolkit.
    return (
        ""
        if any(files.exists(root / name) for name in _OWN)
        else "it has bin/nvcc but nothing else"
    )


def is_stub(library: Path) -> bool:
    """Whether a libcuda is a toolkit's stub: after resolving links, it is in a folder stubs/."""
    return "stubs" in library.parts or "stubs" in library.resolve().parts


def toolkit_stub(root: Path) -> Path | None:
    """A toolkit's stub of libcuda."""
    for pattern in _STUBS:
        for folder in files.matching(root, pattern):
            if files.is_file(folder / "libcuda.so"):
                return folder / "libcuda.so"
    return None


def stub() -> Path | None:
    """The stub of the first toolkit that has one."""
    roots = (place.where for place in _toolkits() if not place.refused)
    return next((found for root in roots if (found := toolkit_stub(root))), None)


def _driver(library: Path | None, how: str, looked: tuple[Place, ...]) -> Finding:
    details = {}
    try:
        # "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.129.03  ..."
        text = Path("/proc/driver/nvidia/version").read_text(encoding="utf-8", errors="replace")
        match = re.search(r"\s(\d+\.\d+(?:\.\d+)*)\s", text)
    except OSError:
        match = None
    if library is not None:
        details = {"libcuda": "real"}
    elif any("stub" in place.refused for place in looked):
        details = {"libcuda": "only a stub"}
    return Finding(
        name="nvidia-driver",
        title="NVIDIA driver",
        where=library,
        how=how,
        version=match[1] if match else "",
        hint="Needed only to run models on NVIDIA GPUs; a machine with such a GPU has it.",
        details=details,
        looked=looked,
    )


def _loader_folders() -> Iterator[tuple[Path, str]]:
    for folder in os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep):
        if folder:
            yield Path(folder), "LD_LIBRARY_PATH"
    if (cached := _cached_library()) is not None:
        yield cached.parent, "the loader's cache"
    for pattern in _SYSTEM:
        for found in files.matching(Path("/"), pattern.lstrip("/")):
            yield found, "the system"


@cache
def _cached_library() -> Path | None:
    """Where ldconfig found it. Reads its cache, since the program may not be on PATH."""
    try:
        data = Path("/etc/ld.so.cache").read_bytes()
    except OSError:
        return None
    match = re.search(rb"\0(/[^\0]*/libcuda\.so\.1)\0", data)
    return Path(os.fsdecode(match[1])) if match else None


def _toolkits() -> Iterator[Place]:
    for name in ("CUDA_HOME", "CUDA_PATH", "CUDAToolkit_ROOT", "CONDA_PREFIX"):
        yield named_by(name)
    if (found := which("nvcc")) is not None:
        yield Place(found[0].resolve().parent.parent, "PATH")
    else:
        yield Place(Path("nvcc"), "PATH", "no such program")
    yield Place(Path("/usr/local/cuda"), "/usr/local")
    for folder in reversed(files.matching(Path("/usr/local"), "cuda-*")):
        yield Place(folder, "/usr/local")
