"""cuDNN and ROCm, for information: torch includes its cuDNN, and the driver needs neither."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from torchml_installer.detect.record import Finding, Place, first_with, named_by
from torchml_installer.support import files
from torchml_installer.support.user_python import user_python

_CUDNN_HEADERS = ("include/cudnn_version.h", "include/*-linux-gnu/cudnn_version*.h")
_CUDNN_LIBRARIES = ("lib/libcudnn.so*", "lib64/libcudnn.so*", "lib/*-linux-gnu*/libcudnn.so*")


def detect_cudnn() -> Finding:
    """Searches CUDNN_ROOT, CUDNN_PATH, the active Python's nvidia-cudnn, CONDA_PREFIX, CUDA_HOME,
    /usr/local/cuda and /usr."""
    found, looked = first_with(_cudnn_places(), _lacks_cudnn)
    if found is None:
        hint = "Not needed: CUDA builds of torch include it."
        return Finding("cudnn", "cuDNN", hint=hint, looked=looked)
    header = next(
        (path for name in _CUDNN_HEADERS for path in files.matching(found.where, name)), None
    )
    version = _cudnn_version(header) if header else ""
    return Finding("cudnn", "cuDNN", False, found.where, found.how, version, looked=looked)


def detect_rocm() -> Finding:
    """Searches ROCM_PATH, ROCM_HOME, HIP_PATH and /opt/rocm."""
    named = [named_by(variable) for variable in ("ROCM_PATH", "ROCM_HOME", "HIP_PATH")]
    found, looked = first_with((*named, Place(Path("/opt/rocm"), "/opt")), _lacks_rocm)
    if found is None:
        hint = "Needed only for AMD GPUs, with a ROCm build of torch."
        return Finding("rocm", "ROCm", hint=hint, looked=looked)
    version = _text(found.where / ".info/version").strip()
    return Finding("rocm", "ROCm", False, found.where, found.how, version, looked=looked)


def _lacks_cudnn(root: Path) -> str:
    there = any(files.matching(root, name) for name in _CUDNN_LIBRARIES)
    return "" if there else "no lib/libcudnn.so"


def _lacks_rocm(root: Path) -> str:
    return "" if files.matching(root, "lib*/libamdhip64.so*") else "no lib/libamdhip64.so"


def _cudnn_places() -> Iterator[Place]:
    for name in ("CUDNN_ROOT", "CUDNN_PATH"):
        yield named_by(name)
    python = user_python()
    spec = python.find_spec("nvidia")
    folders = (spec.submodule_search_locations or ()) if spec else ()
    if not folders:
        yield Place(python.prefix, "the active Python", "it has no package nvidia-cudnn")
    for folder in folders:
        yield Place(Path(folder) / "cudnn", "the active Python")
    for name in ("CONDA_PREFIX", "CUDA_HOME"):
        yield named_by(name)
    yield Place(Path("/usr/local/cuda"), "/usr/local")
    yield Place(Path("/usr"), "the system")


def _cudnn_version(header: Path) -> str:
    text = _text(header)
    numbers = [
        match[1]
        for name in ("MAJOR", "MINOR", "PATCHLEVEL")
        if (match := re.search(rf"#define\s+CUDNN_{name}\s+(\d+)", text))
    ]
    return ".".join(numbers)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
