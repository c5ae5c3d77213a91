"""cuDNN and ROCm, for the report: torch brings the cuDNN that it uses, the driver needs neither."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Iterator
from pathlib import Path

from torchml_installer import files
from torchml_installer.detect.record import Finding, Place

_CUDNN_HEADERS = ("include/cudnn_version.h", "include/*-linux-gnu/cudnn_version*.h")
_CUDNN_LIBRARIES = ("lib/libcudnn.so*", "lib64/libcudnn.so*", "lib/*-linux-gnu*/libcudnn.so*")


def detect_cudnn() -> Finding:
    """Looks at CUDNN_ROOT, CUDNN_PATH, the active Python's nvidia-cudnn, CONDA_PREFIX, CUDA_HOME,
    /usr/local/cuda and /usr."""
    looked: list[Place] = []
    for root, how in _cudnn_places():
        if not any(files.matching(root, name) for name in _CUDNN_LIBRARIES):
            looked.append(Place(root, how, "no lib/libcudnn.so"))
            continue
        looked.append(Place(root, how))
        header = next(
            (path for name in _CUDNN_HEADERS for path in files.matching(root, name)), None
        )
        version = _cudnn_version(header) if header else ""
        return Finding("cudnn", "cuDNN", False, root, how, version, looked=tuple(looked))
    hint = "Not needed: torch for CUDA brings its own."
    return Finding("cudnn", "cuDNN", hint=hint, looked=tuple(looked))


def detect_rocm() -> Finding:
    """Looks at ROCM_PATH, ROCM_HOME, HIP_PATH and /opt/rocm."""
    looked: list[Place] = []
    named = [(name, os.environ.get(name)) for name in ("ROCM_PATH", "ROCM_HOME", "HIP_PATH")]
    places = [(Path(value), name) for name, value in named if value]
    for root, how in (*places, (Path("/opt/rocm"), "/opt")):
        if not files.matching(root, "lib*/libamdhip64.so*"):
            looked.append(Place(root, how, "no lib/libamdhip64.so"))
            continue
        looked.append(Place(root, how))
        version = _text(root / ".info/version").strip()
        return Finding("rocm", "ROCm", False, root, how, version, looked=tuple(looked))
    hint = "Only for models on AMD GPUs, with a ROCm build of torch."
    return Finding("rocm", "ROCm", hint=hint, looked=tuple(looked))


def _cudnn_places() -> Iterator[tuple[Path, str]]:
    for name in ("CUDNN_ROOT", "CUDNN_PATH"):
        if value := os.environ.get(name):
            yield Path(value), name
    spec = importlib.util.find_spec("nvidia")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        yield Path(folder) / "cudnn", "the active Python"
    for name in ("CONDA_PREFIX", "CUDA_HOME"):
        if value := os.environ.get(name):
            yield Path(value), name
    yield Path("/usr/local/cuda"), "/usr/local"
    yield Path("/usr"), "the system"


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
