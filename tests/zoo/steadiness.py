"""A run at constant energy in LAMMPS."""

from __future__ import annotations

import numpy as np
from ase import Atoms

from tests.support.lammps_runs import Lammps, write_data


def require_steady_energy(lammps: Lammps, model: str, atoms: Atoms, steps: int = 200) -> None:
    """The total energy changes by far less than the kinetic energy."""
    elements = sorted(set(atoms.symbols))
    write_data(lammps.folder / "data.nve", atoms, "metal", elements)
    weights = {atom.symbol: float(atom.mass) for atom in atoms}
    masses = "\n".join(f"mass {k} {weights[name]}" for k, name in enumerate(elements, 1))
    output = lammps.run(
        f"""\
kim init {model} metal
box tilt large
read_data data.nve
{masses}
kim interactions {" ".join(elements)}
velocity all create 300.0 7 mom yes rot yes loop geom
fix move all nve
thermo_style custom step etotal ke
thermo_modify format float %.9g
thermo 10
run {steps}
""",
        env={**lammps.env, "OMP_NUM_THREADS": "1"},
    )
    table = output.partition("Step TotEng KinEng")[2].partition("Loop time")[0].splitlines()
    rows = np.array([line.split() for line in table if line.split()], dtype=float)
    assert len(rows) == steps // 10 + 1
    assert np.abs(rows[:, 1] - rows[0, 1]).max() < 0.01 * rows[0, 2]
