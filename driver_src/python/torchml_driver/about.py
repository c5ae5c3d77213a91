"""What a report begins with: which model it is about, and what computed it."""

from __future__ import annotations

import hashlib
import os
import platform
import time
from pathlib import Path
from typing import Any

from ._core import __version__, libtorch
from .potential import Potential


def about(potential: Potential, command: str) -> dict[str, Any]:
    """Facts for a report, as JSON has them. No path: reports are for others, too.

    command: what the user typed. Lengths are in Å. sha256: of the model file.
    """
    folder = potential.model if potential.model.is_dir() else potential.model.parent
    file = folder / potential._core.model_file
    return {
        "model": potential.model.stem if potential.model.is_file() else potential.model.name,
        "file": file.name,
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "elements": potential.elements,
        "cutoff": potential.cutoff,
        "influence_distance": potential.influence_distance,
        "convention": convention(potential),
        "input_type": potential.input_type,
        "device": potential.device,
        "driver": __version__,
        "torch": libtorch()[0],
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": threads(),
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "command": command,
    }


def convention(potential: Potential) -> str:
    """The calling convention, in words."""
    if potential._core.has_descriptor:
        return "descriptors"
    model = potential.model
    file = model if model.is_file() else next(iter(sorted(model.glob("*.param"))))
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    words = " ".join(line for line in lines if not line.startswith("#")).split()
    after = int(words[0]) + 1  # the elements
    if words[after].lower() != "graph":
        return "neighbour lists"
    layers = int(words[after + 2])
    return f"staged graphs, {layers} layer{'s' if layers != 1 else ''}"


def threads() -> str:
    """What says how many threads a model has."""
    for name in ("KIM_MODEL_NUM_THREADS", "OMP_NUM_THREADS"):
        if found := os.environ.get(name, "").strip():
            return f"{name}={found}"
    return "chosen by the driver"


def processor() -> str:
    """The CPU's name, if the system tells it."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.machine()
    for line in text.splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
