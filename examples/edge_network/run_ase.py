"""Energy and forces of 64 silicon atoms in ASE, from the folder that model pack wrote."""

import argparse
from pathlib import Path

import numpy as np
from ase.io import read
from torchml_driver.ase import TorchMLCalculator

DATA = Path(__file__).resolve().parent.parent / "stillinger_weber" / "silicon.data"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="TorchML_EN_Si__MO_000000000000_000", metavar="FOLDER")
    parser.add_argument("--data", type=Path, default=DATA, metavar="FILE")
    options = parser.parse_args()

    atoms = read(options.data, format="lammps-data", units="metal", Z_of_type={1: 14})
    atoms.calc = TorchMLCalculator(options.model)
    energy = atoms.get_potential_energy()
    # As LAMMPS defines fmax: the largest component of a force on any atom.
    fmax = np.abs(atoms.get_forces()).max()
    print(f"torchml-result energy {energy:.12f} fmax {fmax:.12f}")


if __name__ == "__main__":
    main()
