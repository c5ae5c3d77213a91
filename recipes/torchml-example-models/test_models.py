"""Computes the energy of displaced silicon through KIM, as KIM's own potential gives it."""

import sys

from ase.build import bulk
from ase.calculators.kim import KIM

# Of SW_StillingerWeber_1985_Si__MO_405512056662_005 in the same crystal.
REFERENCE = -261.3538177342696  # eV

atoms = bulk("Si", a=5.43, cubic=True) * (2, 2, 2)
atoms.rattle(0.1, seed=7)
atoms.calc = KIM(sys.argv[1])
energy = atoms.get_potential_energy()

print(f"{energy:.10f} eV, reference {REFERENCE:.10f} eV")
assert abs(energy - REFERENCE) < 1e-9
