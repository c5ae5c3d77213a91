"""Disordered crystals of silicon with the results of a published potential, to train networks on.

The reference is Stillinger and Weber's silicon as KIM publishes it, through ASE's KIM calculator:
it costs nothing, and is defined everywhere.
"""

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.kim import KIM

REFERENCE = "SW_StillingerWeber_1985_Si__MO_405512056662_005"


def reference_crystals(count: int, seed: int) -> list[Atoms]:
    """Crystals of 7 to 64 atoms, rattled and strained, some with a vacancy or surfaces.

    Their calculator is the reference.
    """
    random = np.random.default_rng(seed)
    reference = KIM(REFERENCE)
    crystals = []
    for _ in range(count):
        repeats = random.choice(
            [(1, 1, 1), (2, 1, 1), (2, 2, 1), (2, 2, 2)], p=[0.3, 0.3, 0.2, 0.2]
        )
        atoms = bulk("Si", a=5.431, cubic=True) * tuple(int(n) for n in repeats)
        strain = random.normal(0.0, 0.02, (3, 3))
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
        kind = random.random()
        if kind < 0.2:
            del atoms[int(random.integers(len(atoms)))]
        elif kind < 0.4:  # a slab: (001) surfaces, or with the longer axis across, (100)
            atoms.pbc = random.permuted([True, True, False])
        atoms.positions += random.normal(0.0, random.uniform(0.02, 0.12), atoms.positions.shape)
        atoms.calc = reference
        crystals.append(atoms)
    return crystals
