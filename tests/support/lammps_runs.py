"""Runs of LAMMPS with KIM."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.lammps import convert
from ase.io.lammpsdata import write_lammps_data

from tests.support import run


@dataclass(frozen=True)
class Static:
    """The results of one configuration, in the run's units.

    forces: (n, 3) in the order of the atoms; pressure: xx yy zz xy xz yz.
    """

    energy: float
    forces: np.ndarray
    pressure: np.ndarray


@dataclass(frozen=True)
class Lammps:
    """Runs input scripts in a separate folder."""

    folder: Path
    env: Mapping[str, str]

    def run(
        self,
        script: str,
        ranks: int = 1,
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> str:
        """LAMMPS's output. `ranks` 0: started without mpirun."""
        cwd = self.folder if cwd is None else cwd
        (cwd / "in.test").write_text(script)
        lmp = shutil.which("lmp")
        assert lmp is not None, "LAMMPS (lmp) is not installed"
        launcher: Sequence[str] = ()
        if ranks > 0:
            mpirun = shutil.which("mpirun")
            assert mpirun is not None, "mpirun is not installed"
            options = ("--allow-run-as-root", "--oversubscribe", "--bind-to", "none")
            launcher = (mpirun, *options, "-np", str(ranks))
        return run(
            [*launcher, lmp, "-in", "in.test"], env=self.env if env is None else env, cwd=cwd
        )

    def static(
        self,
        atoms: Atoms,
        model: str,
        ranks: int = 1,
        units: str = "metal",
        elements: Sequence[str] = ("Si",),
    ) -> Static:
        """Energy, forces and pressure of a configuration; `elements`: LAMMPS's types."""
        write_data(self.folder / "data.test", atoms, units, elements)
        output = self.run(static_script(atoms, model, units, elements), ranks)
        return read_static(output, self.folder / "dump.test")


def write_data(path: Path, atoms: Atoms, units: str, elements: Sequence[str] = ("Si",)) -> None:
    """Directions that are not periodic get a box around the atoms, whatever their cell."""
    boxed = atoms.copy()
    if not atoms.pbc.any():
        boxed.positions -= boxed.positions.min(axis=0) - 10.0
        boxed.cell = boxed.positions.max(axis=0) + 10.0
    # Masses come from the input; by default, ASE 3.23 wrote none.
    write_lammps_data(path, boxed, units=units, specorder=list(elements), masses=False)


def static_script(atoms: Atoms, model: str, units: str, elements: Sequence[str] = ("Si",)) -> str:
    boundary = " ".join("p" if periodic else "f" for periodic in atoms.pbc)
    mass = convert(28.0855, "mass", "ASE", units)  # of all: nothing moves
    components = ("pxx", "pyy", "pzz", "pxy", "pxz", "pyz")
    pressure = " ".join(f"$({name}:%.15g)" for name in components)
    return f"""\
kim init {model} {units}
boundary {boundary}
box tilt large
read_data data.test
mass * {mass:.15g}
kim interactions {" ".join(elements)}
thermo_style custom step pe {" ".join(components)}
dump all all custom 1 dump.test id fx fy fz
dump_modify all sort id format float %.17g
run 0
print "energy $(pe:%.15g)"
print "pressure {pressure}"
"""


def read_static(output: str, dump: Path) -> Static:
    energy = re.search(r"^energy (\S+)$", output, re.MULTILINE)
    pressure = re.search(r"^pressure (.+)$", output, re.MULTILINE)
    assert energy is not None, output
    assert pressure is not None, output
    lines = dump.read_text().split("ITEM: ATOMS id fx fy fz\n")[-1].splitlines()
    rows = np.array([line.split() for line in lines], dtype=float)
    return Static(float(energy[1]), rows[:, 1:], np.array(pressure[1].split(), dtype=float))


def example_run(
    lammps: Lammps, script: Path, model: str, ranks: int, steps: int = 10
) -> tuple[list[float], np.ndarray]:
    """The energy and largest force component at the start, and the total energy at each step."""
    start = f"variable model index {model}\nvariable steps index {steps}\n"
    text = script.read_text().replace("thermo          10", "thermo 1")
    output = lammps.run(start + text, ranks)
    found = re.search(r"^torchml-result energy (\S+) fmax (\S+)$", output, re.MULTILINE)
    assert found is not None, output
    rows = output[found.end() :].split("Loop time")[0].splitlines()
    values = [row.split() for row in rows if re.match(r" +\d+ +\d", row)]
    return [float(found[1]), float(found[2])], np.array([row[4] for row in values], dtype=float)
