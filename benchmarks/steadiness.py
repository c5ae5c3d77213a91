"""Measures whether every step costs the same, in 500 steps of a melting crystal, whose neighbour
counts and ghosts change all the time.

The trajectory is Stillinger-Weber silicon, started hot enough to melt. Along it, potentials compute
energy and forces from particles and neighbour lists, as a simulator passes them; only that counts.
The table has the thread's CPU time, and elapsed time, which other load disturbs. On a GPU (--device
cuda), both are elapsed time.

The driver's Python module must be installed (torchml-install driver).
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
from ase import units
from ase.build import bulk
from ase.md.verlet import VelocityVerlet
from measuring import machine, print_table

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
LATTICE = 5.431  # angstrom
TEMPERATURE = 8000.0  # K; half of it goes into the potential energy
STEPS = 500
WARM_UP = 3
SKIN = 1.0  # angstrom


@dataclass
class Step:
    """A simulator's input: species, coordinates, contributing, n_neigh, nlist."""

    arrays: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, positions: np.ndarray, length: float, cutoff: float, reach: float) -> Step:
        import vesin

        n = len(positions)
        counts = int(np.ceil(reach / length))
        shifts = np.array(list(np.ndindex(3 * (2 * counts + 1,)))) - counts
        shifts = shifts[shifts.any(axis=1)]
        images = (positions[None] + length * shifts[:, None]).reshape(-1, 3)
        near = ((images >= -reach) & (images < length + reach)).all(axis=1)
        coordinates = np.concatenate([positions, images[near]])
        neighbours = vesin.NeighborList(cutoff=cutoff + SKIN / 2, full_list=True, sorted=True)
        i, j = neighbours.compute(coordinates, np.eye(3), False, quantities="ij", copy=True)
        return cls(
            (
                np.zeros(len(coordinates), dtype=np.int32),
                coordinates,
                (np.arange(len(coordinates)) < n).astype(np.int32),
                np.bincount(i.astype(np.int64), minlength=len(coordinates)).astype(np.int32),
                j.astype(np.int32),
            )
        )


def write_models(folder: Path) -> tuple[Path, Path]:
    """Portable-model folders: Stillinger-Weber silicon, and an untrained graph network."""
    for example in ("stillinger_weber", "graph_network"):
        sys.path.insert(0, str(EXAMPLES / example))
    from graph_network import GraphNetwork
    from stillinger_weber import CUTOFF, StillingerWeber

    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    fewer = "edge_receiver_row 0\ndrop_unused_particles True\n"
    models = {
        "sw": (StillingerWeber(), f"1\nSi\nNone\n{CUTOFF}\nm.pt\nFalse\n5\nNone\n"),
        "gn": (
            GraphNetwork(elements=1, cutoff=4.5, layers=3, features=64),
            f"1\nSi\nGraph\n4.5\n3\nm.pt\nFalse\n6\nNone\n{fewer}",
        ),
    }
    for name, (model, parameters) in models.items():
        (folder / name).mkdir()
        torch.jit.script(model).eval().save(str(folder / name / "m.pt"))
        (folder / name / "m.param").write_text(parameters)
    return folder / "sw", folder / "gn"


def trajectory(model: Path, cells: int) -> Iterator[np.ndarray]:
    """The positions in the cell, step by step."""
    from torchml_driver.ase import TorchMLCalculator

    atoms = bulk("Si", a=LATTICE, cubic=True) * (cells, cells, cells)
    atoms.calc = TorchMLCalculator(model)
    random = np.random.default_rng(1)
    speed = np.sqrt(units.kB * TEMPERATURE / atoms.get_masses()[0])
    atoms.set_velocities(random.normal(scale=speed, size=(len(atoms), 3)))
    for _ in VelocityVerlet(atoms, 1.0 * units.fs).irun(STEPS - 1):
        yield atoms.get_positions(wrap=True)


def used(device: str) -> tuple[float, float, int]:
    """This thread's use so far: CPU time in ms, the part of it in the kernel, and page faults.

    A thread that waits for a GPU may sleep, so there the first is elapsed time.
    """
    usage = resource.getrusage(resource.RUSAGE_THREAD)
    clock = time.thread_time if device == "cpu" else time.perf_counter
    return 1e3 * clock(), 1e3 * usage.ru_stime, usage.ru_minflt


def measure(
    label: str, model: Path, device: str, positions: list[np.ndarray], length: float
) -> str:
    from torchml_driver import Potential

    potential = Potential(model, device=device)
    reach = potential.influence_distance + SKIN
    steps, elapsed, particles = [], [], []
    for place in positions:
        step = Step.of(place, length, potential.cutoff, reach)
        particles.append(len(step.arrays[0]))
        start, before = time.perf_counter(), used(device)
        result = potential.compute_particles(*step.arrays)
        steps.append(np.subtract(used(device), before))
        elapsed.append(1e3 * (time.perf_counter() - start))
        del result
    cpu, kernel, faults = np.array(steps).T
    wall = np.array(elapsed[WARM_UP:])
    median, late = np.median(cpu[WARM_UP:]), faults[len(faults) // 2 :]
    longest = WARM_UP + int(cpu[WARM_UP:].argmax())
    return (
        f"| {label} | {len(positions[0])} | {min(particles)} to {max(particles)} | {median:.1f} "
        f"| {cpu[0] / median:.1f}, {cpu[1] / median:.1f}, {cpu[2] / median:.1f} "
        f"| {cpu[longest] / median:.2f} | {wall.max() / np.median(wall):.2f} "
        f"| {(cpu[WARM_UP:] > 2 * median).sum()} "
        f"| {np.median(late):.0f}, {late.mean():.0f}, {faults[WARM_UP:].max():.0f} "
        f"| {longest + 1}: {faults[longest]:.0f}, {kernel[longest]:.0f} ms |"
    )


def lines(folder: Path, cells: int, device: str) -> Iterator[str]:
    yield "# Steadiness"
    yield ""
    yield f"{STEPS} steps of melting silicon, started at {TEMPERATURE:.0f} K: energy and"
    times = "the thread's CPU time" if device == "cpu" else f"elapsed time on {device}"
    yield f"forces, one thread. Times are {times}; the first {WARM_UP} steps are the warm-up."
    yield "Page faults: median and mean per step in the second half, and the most in any step after"
    yield "the warm-up. Longest step: its number, its page faults and its time in the kernel."
    chosen = "" if device == "cpu" else f" --device {device}"
    yield f"Written by `python benchmarks/steadiness.py{chosen} --output benchmarks/STEADINESS.md`."
    yield ""
    gpu = f", {torch.cuda.get_device_name(device)}" if device.startswith("cuda") else ""
    yield machine() + gpu
    yield ""
    yield (
        "| model | atoms | with images | ms, median | steps 1, 2, 3 / median | longest / median "
        "| the same, elapsed time | steps above twice the median | page faults "
        "| longest step |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|"
    silicon, network = write_models(folder)
    for size in (2, cells):
        positions = list(trajectory(silicon, size))
        length = size * LATTICE
        yield measure("Stillinger-Weber", silicon, device, positions, length)
        yield measure("graph network", network, device, positions, length)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--output", type=Path, metavar="FILE.md", help="also write the table there")
    parser.add_argument(
        "--cells", type=int, default=4, metavar="N", help="edge of the larger system, in cells"
    )
    parser.add_argument("--device", default="cpu", help="device of the models (default: cpu)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="torchml-bench-") as folder:
        print_table(lines(Path(folder), options.cells, options.device), options.output)


if __name__ == "__main__":
    main()
