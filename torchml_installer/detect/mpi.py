"""MPI: runs LAMMPS on several processes."""

from __future__ import annotations

import re

from torchml_installer.detect.programs import which
from torchml_installer.detect.record import Finding
from torchml_installer.process import quick_output


def detect() -> Finding:
    found = which("mpirun") or which("mpiexec")
    text = quick_output([found[0], "--version"], timeout=3) if found else None
    first_line = (text or "").partition("\n")[0]
    match = re.search(r"\d+(\.\d+)+", first_line)
    family = "Open MPI " if "Open MPI" in first_line else ""
    return Finding(
        name="mpi",
        title="MPI",
        where=found[0] if found else None,
        how=found[1] if found else "",
        version=f"{family}{match[0]}" if match else "",
        hint="`sudo apt install openmpi-bin libopenmpi-dev`, to run LAMMPS in parallel.",
    )
