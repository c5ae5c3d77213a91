"""Compares one evaluation (energy and forces) through KIM with the bare model.

Silicon in the example's Stillinger-Weber form, on one thread. The bare model is the same
TorchScript called from Python, forward and backward, with inputs made beforehand: the difference is
the driver's own time. The table also has KIM's published potential, written in C++ by hand.

The driver and the example model must be installed where KIM finds them (torchml-install
quickstart).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import kimpy
import numpy as np
import torch
from ase import Atoms
from ase.build import bulk
from measuring import bare_step, machine, milliseconds

MODEL = "TorchML_SW_Si__MO_000000000000_000"
PUBLISHED = "SW_StillingerWeber_1985_Si__MO_405512056662_005"
EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "stillinger_weber"
SKIN = 1.0  # angstrom, as much as simulators use


@dataclass
class Particles:
    """Atoms and their images, as in a simulator; the list reaches to cutoff + skin."""

    coordinates: np.ndarray
    species: np.ndarray
    contributing: np.ndarray
    neighbours: Any

    @classmethod
    def of(cls, atoms: Atoms, cutoff: float) -> Particles:
        n = len(atoms)
        reach = cutoff + SKIN
        pad, pad_species, _ = kimpy.neighlist.create_paddings(
            reach,
            np.asarray(atoms.cell.array),
            np.ones(3, dtype=np.int32),
            atoms.positions,
            np.zeros(n, dtype=np.int32),
        )
        coordinates = np.concatenate([atoms.positions, pad])
        contributing = np.r_[np.ones(n), np.zeros(len(pad))].astype(np.int32)
        neighbours = kimpy.neighlist.create()
        neighbours.build(coordinates, reach, np.array([reach]), contributing)
        species = np.concatenate([np.zeros(n, dtype=np.int32), pad_species]).astype(np.int32)
        return cls(coordinates, species, contributing, neighbours)

    def tensors(self, cutoff: float) -> list[torch.Tensor]:
        """The model's inputs as the driver makes them, with pairs within the cutoff only."""
        rows = []
        reach = np.array([cutoff + SKIN])
        for i in range(int(self.contributing.sum())):
            row = np.asarray(self.neighbours.get_neigh(reach, 0, i)[1])
            r = np.linalg.norm(self.coordinates[row] - self.coordinates[i], axis=1)
            rows.append(row[r < cutoff])
        return [
            torch.as_tensor(self.species, dtype=torch.int64),
            torch.as_tensor(self.coordinates),
            torch.tensor([len(row) for row in rows], dtype=torch.int32),
            torch.as_tensor(np.concatenate(rows), dtype=torch.int32),
            torch.as_tensor(self.contributing, dtype=torch.int64),
        ]


def kim_step(name: str, particles: Particles) -> Callable[[], object]:
    _, model = kimpy.model.create(
        kimpy.numbering.zeroBased,
        kimpy.length_unit.A,
        kimpy.energy_unit.eV,
        kimpy.charge_unit.e,
        kimpy.temperature_unit.K,
        kimpy.time_unit.ps,
        name,
    )
    arguments = model.compute_arguments_create()
    argument = kimpy.compute_argument_name
    n = len(particles.coordinates)
    arrays = [
        (argument.numberOfParticles, np.array([n], dtype=np.int32)),
        (argument.particleSpeciesCodes, particles.species),
        (argument.particleContributing, particles.contributing),
        (argument.coordinates, particles.coordinates),
        (argument.partialEnergy, np.zeros(1)),
        (argument.partialForces, np.zeros((n, 3))),
    ]
    for key, array in arrays:
        arguments.set_argument_pointer(key, array)
    arguments.set_callback_pointer(
        kimpy.compute_callback_name.GetNeighborList,
        kimpy.neighlist.get_neigh_kim(),
        particles.neighbours,
    )

    def step() -> list[tuple[object, np.ndarray]]:
        model.compute(arguments, True)
        return arrays  # and keep them alive

    return step


def measure(cells: int, cutoff: float, model: torch.jit.ScriptModule) -> str:
    atoms = bulk("Si", a=5.43, cubic=True) * (cells, cells, cells)
    atoms.rattle(0.1, seed=7)
    particles = Particles.of(atoms, cutoff)
    repeats = max(20, 40_000 // len(atoms))
    # The bare model first, before the driver has changed anything in this process.
    bare = milliseconds(bare_step(model, particles.tensors(cutoff)), repeats)
    driver = milliseconds(kim_step(MODEL, particles), repeats)
    published = milliseconds(kim_step(PUBLISHED, particles), repeats)
    return (
        f"| {len(atoms)} | {len(particles.coordinates) - len(atoms)} | {bare:.2f} | {driver:.2f}"
        f" | {driver / bare:.2f} | {published:.2f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--output", type=Path, metavar="FILE.md", help="also write the table there")
    parser.add_argument("--cells", type=int, nargs="+", default=[2, 4, 8], metavar="N")
    options = parser.parse_args()
    torch.set_num_threads(1)
    sys.path.insert(0, str(EXAMPLE))
    from stillinger_weber import CUTOFF, StillingerWeber

    model = torch.jit.script(StillingerWeber()).eval()
    lines = [
        "# One evaluation: energy and forces",
        "",
        "Stillinger-Weber silicon, a rattled crystal; milliseconds, the median of many calls.",
        "Written by `python benchmarks/evaluation.py --output benchmarks/EVALUATION.md`.",
        "",
        machine(),
        "",
        "| atoms | images | bare model | through KIM | ratio | published SW, C++ |",
        "|---|---|---|---|---|---|",
    ]
    print("\n".join(lines), flush=True)
    for cells in options.cells:
        lines.append(measure(cells, CUTOFF, model))
        print(lines[-1], flush=True)
    if options.output:
        options.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
