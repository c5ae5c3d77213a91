"""Short runs in LAMMPS in which a quantity is conserved."""

from __future__ import annotations

from typing import Literal

import numpy as np
from ase import Atoms

from tests.support.lammps_runs import Lammps, write_data

#: How the atoms move, and what stays the same.
_FIXES = {
    "nve": ("fix move all nve", "etotal"),
    "npt": ("fix move all npt temp 300.0 300.0 0.1 iso 1.0 1.0 0.5", "econserve"),
}


def require_steady_energy(
    lammps: Lammps,
    model: str,
    atoms: Atoms,
    ensemble: Literal["nve", "npt"],
    steps: int,
    femtoseconds: float,
) -> float:
    """The conserved energy changes by far less than the kinetic energy: forces are its gradient,
    and with a barostat, so is the pressure. Returns its largest change, eV/atom."""
    elements = sorted(set(atoms.symbols))
    write_data(lammps.folder / "data.moving", atoms, "metal", elements)
    weights = {atom.symbol: float(atom.mass) for atom in atoms}
    masses = "\n".join(f"mass {k} {weights[name]}" for k, name in enumerate(elements, 1))
    fix, conserved = _FIXES[ensemble]
    output = lammps.run(
        f"""\
kim init {model} metal
box tilt large
read_data data.moving
{masses}
kim interactions {" ".join(elements)}
timestep {femtoseconds / 1000}
velocity all create 300.0 7 mom yes rot yes loop geom
{fix}
thermo_style custom step {conserved} ke vol
thermo_modify format float %.9g
thermo 5
run {steps}
""",
        env={**lammps.env, "OMP_NUM_THREADS": "1"},
    )
    table = output.partition("KinEng Volume")[2].partition("Loop time")[0].splitlines()
    rows = np.array([line.split() for line in table if line.split()], dtype=float)
    assert len(rows) == steps // 5 + 1
    assert np.isfinite(rows).all()
    assert (np.ptp(rows[:, 3]) > 0) == (ensemble == "npt")
    largest = float(np.abs(rows[:, 1] - rows[0, 1]).max())
    assert largest < 0.02 * rows[0, 2]
    return largest / len(atoms)
