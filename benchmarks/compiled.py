"""Compiled models (.pt2) beside the same models in TorchScript: a whole evaluation by the driver.

Energy, forces and virial from particles and neighbour lists, as simulators hand them over; silicon,
one thread, the two in turns in one process. The driver's Python module has to be installed
(torchml-install driver).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
from ase.build import bulk
from measuring import machine, print_table

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
LATTICE = 5.431  # angstrom


@dataclass(frozen=True)
class Case:
    """A model: the class, its arguments, and what the driver has to know of it."""

    label: str
    source: str
    arguments: dict[str, object]
    cutoff: float
    options: tuple[str, ...] = ()


CASES = (
    Case("Stillinger-Weber", "stillinger_weber/stillinger_weber.py:StillingerWeber", {}, 3.77118),
    Case(
        "graph network, 3 layers, 64 features",
        "graph_network/graph_network.py:GraphNetwork",
        {"elements": 1, "cutoff": 4.5, "layers": 3, "features": 64},
        4.5,
        ("--pattern", "graph", "--layers", "3"),
    ),
)


def command(folder: Path, *words: str) -> None:
    program = [sys.executable, "-m", "torchml_installer", "model", *words]
    done = subprocess.run(program, cwd=folder, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(done.stderr)


def made(case: Case) -> torch.nn.Module:
    """The model in Python, in double precision."""
    file, name = case.source.split(":")
    path = EXAMPLES / file
    sys.path.insert(0, str(path.parent))
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    model = getattr(__import__(path.stem), name)(**case.arguments).eval()
    assert isinstance(model, torch.nn.Module)
    return model


def packed(case: Case, folder: Path) -> tuple[Path, Path]:
    """Portable-model folders: with TorchScript, and compiled; with the same weights."""
    file, name = case.source.split(":")
    path = EXAMPLES / file
    model = made(case)
    torch.jit.script(model).save(str(folder / "model.pt"))
    kind = ["--elements", "Si", "--cutoff", str(case.cutoff), *case.options]
    words = ["compile", f"{path}:{name}", "--output", "model.pt2", *kind]
    if model.state_dict():
        torch.save(model.state_dict(), folder / "weights.pt")
        words += ["--weights", "weights.pt"]
    if case.arguments:
        words += ["--arguments", json.dumps(case.arguments)]
    command(folder, *words)
    for suffix in ("pt", "pt2"):
        command(folder, "pack", f"model.{suffix}", *kind, "--name", f"Model_{suffix}")
    return folder / "Model_pt", folder / "Model_pt2"


def lines(seconds: float, sizes: tuple[int, ...]) -> Iterator[str]:
    from torchml_driver import Potential
    from torchml_driver.bench import spell_out
    from torchml_driver.structures import Structure

    yield "# Compiled models"
    yield ""
    yield "Energy, forces and virial by the driver, one thread; the best of steps in turns."
    yield "Written by `python benchmarks/compiled.py --output benchmarks/COMPILED.md`."
    yield ""
    yield machine()
    yield ""
    yield "| model | atoms | with images | TorchScript, ms | compiled, ms | ratio |"
    yield "|---|---|---|---|---|---|"
    for case in CASES:
        with tempfile.TemporaryDirectory(prefix="torchml-bench-") as folder:
            slow, fast = (Potential(model) for model in packed(case, Path(folder)))
        for cells in sizes:
            atoms = bulk("Si", a=LATTICE, cubic=True) * (cells, cells, cells)
            atoms.rattle(0.05, seed=1)
            structure = Structure(["Si"] * len(atoms), atoms.positions, atoms.cell.array, True)
            particles = spell_out(slow, structure)
            arrays = (particles.contributing, particles.n_neigh, particles.nlist)
            best = {slow: np.inf, fast: np.inf}
            energies = {}
            begin = time.perf_counter()
            while time.perf_counter() - begin < seconds:
                for potential in best:
                    start = time.perf_counter()
                    result = potential.compute_particles(
                        particles.codes, particles.positions, *arrays
                    )
                    best[potential] = min(best[potential], time.perf_counter() - start)
                    energies[potential] = result.energy
            assert np.isclose(energies[slow], energies[fast], rtol=1e-10, atol=0)
            yield (
                f"| {case.label} | {len(atoms)} | {len(particles.codes)} "
                f"| {1e3 * best[slow]:.2f} | {1e3 * best[fast]:.2f} "
                f"| {best[slow] / best[fast]:.2f} |"
            )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--output", type=Path, metavar="FILE.md", help="write the table there, too")
    parser.add_argument("--seconds", type=float, default=20.0, help="for each size")
    parser.add_argument("--cells", default="2,4", help="edges of the systems, in unit cells")
    options = parser.parse_args()
    sizes = tuple(int(word) for word in options.cells.split(","))
    print_table(lines(options.seconds, sizes), options.output)


if __name__ == "__main__":
    main()
