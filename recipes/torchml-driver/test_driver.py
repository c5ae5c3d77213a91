"""Computes the energy of rattled silicon without KIM, and compares it with KIM's own potential."""

import sys
import tempfile
from pathlib import Path

import torch
from ase.build import bulk
from torchml_driver.ase import TorchMLCalculator

sys.path.insert(0, str(Path("examples/stillinger_weber").resolve()))
from stillinger_weber import CUTOFF, StillingerWeber

# The energy by SW_StillingerWeber_1985_Si__MO_405512056662_005 in the same crystal.
REFERENCE = -261.3538177342696  # eV


def check_energy() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        torch.jit.script(StillingerWeber()).save(str(folder / "SW_Si.pt"))
        values = ("1", "Si", "None", str(CUTOFF), "SW_Si.pt", "False", "5", "None")
        (folder / "SW_Si.param").write_text("".join(f"{value}\n\n" for value in values))
        atoms = bulk("Si", a=5.43, cubic=True) * (2, 2, 2)
        atoms.rattle(0.1, seed=7)
        atoms.calc = TorchMLCalculator(folder)
        energy = atoms.get_potential_energy()
    print(f"{energy:.10f} eV, reference {REFERENCE:.10f} eV")
    assert abs(energy - REFERENCE) < 1e-9


if __name__ == "__main__":
    check_energy()
