"""Energy and forces of the structure in silicon.data through ASE's KIM calculator."""

import argparse
from pathlib import Path

import numpy as np
from ase.calculators.kim import KIM
from ase.io import read


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="TorchML_SW_Si__MO_000000000000_000", metavar="NAME")
    parser.add_argument(
        "--data", type=Path, default=Path(__file__).with_name("silicon.data"), metavar="FILE"
    )
    options = parser.parse_args()

    atoms = read(options.data, format="lammps-data", units="metal", Z_of_type={1: 14})
    atoms.calc = KIM(options.model)
    energy = atoms.get_potential_energy()
    # As LAMMPS defines fmax: the largest component of a force on any atom.
    fmax = np.abs(atoms.get_forces()).max()
    print(f"torchml-result energy {energy:.12f} fmax {fmax:.12f}")


if __name__ == "__main__":
    main()
