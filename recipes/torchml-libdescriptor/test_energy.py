"""Computes an energy with the library's descriptors, and compares it with KLIFF's."""

import json
import os
import sys
from pathlib import Path

import torchml_driver

folder = Path(sys.argv[1])
reference = json.loads((folder / "reference.json").read_text())
potential = torchml_driver.Potential(str(folder))
result = potential.compute(reference["symbols"], reference["positions"], reference["cell"], True)

print(f"{result.energy:.10f} eV, reference {reference['energy']:.10f} eV")
assert abs(result.energy - reference["energy"]) < 1e-9
library = Path(os.environ["CONDA_PREFIX"], "lib/libdescriptor.so").resolve()
assert str(library) in Path("/proc/self/maps").read_text(), (
    "the library did not compute the descriptors"
)
