"""Computes the energy of rattled silicon through KIM with each of the models.

The first model equals the potential that KIM publishes, to the last digits. The networks were
trained on it: their energies equal those of their own Python code, and are close to its energy.
"""

from ase.build import bulk
from ase.calculators.kim import KIM

# The energy by SW_StillingerWeber_1985_Si__MO_405512056662_005 in the same crystal.
REFERENCE = -261.3538177342696  # eV
ENERGIES = {
    "TorchML_SW_Si__MO_000000000000_000": REFERENCE,
    "TorchML_DN_Si__MO_000000000000_000": -261.52665372122215,
    "TorchML_GN_Si__MO_000000000000_000": -261.60075019129533,
}

for name, expected in ENERGIES.items():
    atoms = bulk("Si", a=5.43, cubic=True) * (2, 2, 2)
    atoms.rattle(0.1, seed=7)
    atoms.calc = KIM(name)
    energy = atoms.get_potential_energy()
    print(f"{name}: {energy:.10f} eV, expected {expected:.10f} eV")
    assert abs(energy - expected) < 1e-8
    assert abs(energy - REFERENCE) / len(atoms) < 0.02
