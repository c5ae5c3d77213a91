"""Computes in a separate process, since a process can have only one libtorch.

    python -m tests.versions.computing OUTPUT.npz NAME=PORTABLE_MODEL_FOLDER ...

Computes through KIM and through the Python module, for each structure of a model. Prints the
libtorch that was loaded.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.calculators.kim import KIM

from tests.support import ROOT
from tests.support.structures import primitive_cell, rattled_crystal, slab

DESCRIPTORS = ROOT / "tests" / "data" / "descriptors"
#: Models that weight descriptors: the descriptor's name there, and in the parameter file.
DESCRIPTOR_MODELS = {
    "TorchML_Symmetry_Si": ("set51", "SymmetryFunctions"),
    "TorchML_Bispectrum_Si": ("bispectrum8", "Bispectrum"),
    "TorchML_SOAP_Si": ("soap", "SOAP"),
}


@cache
def references() -> dict[str, np.ndarray]:
    """libdescriptor's results; tests/data/descriptors/make_references.py describes them."""
    with np.load(DESCRIPTORS / "references.npz") as archive:
        return dict(archive)


def silicon() -> Atoms:
    """The structure of the descriptors' references."""
    positions, cell = (references()[f"structure/silicon/{key}"] for key in ("positions", "cell"))
    return Atoms(f"Si{len(positions)}", positions, cell=cell, pbc=True)


def structures(model: str) -> Mapping[str, Callable[[], Atoms]]:
    """The structures for which a model's results are compared with other computations."""
    makers = (silicon,) if model in DESCRIPTOR_MODELS else (rattled_crystal, slab, primitive_cell)
    return {make.__name__: make for make in makers}


def results(atoms: Atoms, calculator: Calculator) -> dict[str, np.ndarray]:
    atoms.calc = calculator
    return {
        "energy": np.array(atoms.get_potential_energy()),
        "forces": atoms.get_forces(),
        "stress": atoms.get_stress(),
    }


def main() -> None:
    from torchml_driver.ase import TorchMLCalculator  # the tests import this file, too

    output, *models = sys.argv[1:]
    found = {}
    for name, folder in (model.split("=", 1) for model in models):
        for structure, make in structures(name).items():
            for door, calculator in (("kim", KIM(name)), ("python", TorchMLCalculator(folder))):
                for what, value in results(make(), calculator).items():
                    found[f"{name} {structure} {door} {what}"] = value
    np.savez(output, **found)
    assert "torch" not in sys.modules, "another libtorch is in this process"
    maps = Path("/proc/self/maps").read_text().splitlines()
    libraries = {line.split(maxsplit=5)[-1] for line in maps if "libtorch_cpu" in line}
    print("\n".join(sorted(libraries)))


if __name__ == "__main__":
    main()
