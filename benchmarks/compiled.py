"""Compares compiled models (.pt2) with the same models in TorchScript: whole evaluations.

The driver computes energy, forces and virial of silicon from particles and neighbour lists, as
simulators pass them, in turns in one process. The table shows the gain of each level of
partitioning: compiled in one piece, as AOTInductor does by itself ("whole"); in parts that work on
blocks of rows ("blocks"); and also without the zero rows of the outer rings of staged graphs
("rings", the default of `model compile`). The driver's Python module must be installed
(torchml-install driver).
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from ase.build import bulk
from measuring import machine, print_table

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
LATTICE = 5.431  # angstrom


@dataclass(frozen=True)
class Case:
    """A model: the class, its arguments, and what the driver must know about it."""

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


#: The values of `model compile --partition`.
PARTITIONS = ("whole", "blocks", "rings")


def packed(case: Case, folder: Path) -> dict[str, Path]:
    """Portable-model folders, in TorchScript and compiled in each way, with the same weights."""
    file, name = case.source.split(":")
    path = EXAMPLES / file
    model = made(case)
    torch.jit.script(model).save(str(folder / "model.pt"))
    kind = ["--elements", "Si", "--cutoff", str(case.cutoff), *case.options]
    words = ["compile", f"{path}:{name}", *kind]
    if model.state_dict():
        torch.save(model.state_dict(), folder / "weights.pt")
        words += ["--weights", "weights.pt"]
    if case.arguments:
        words += ["--arguments", json.dumps(case.arguments)]
    for partition in PARTITIONS:
        command(folder, *words, "--output", f"{partition}.pt2", "--partition", partition)
    files = {"TorchScript": "model.pt"} | {one: f"{one}.pt2" for one in PARTITIONS}
    for way, file in files.items():
        command(folder, "pack", file, *kind, "--name", f"Model_{way}")
    return {way: folder / f"Model_{way}" for way in files}


def lines(seconds: float, sizes: tuple[int, ...], threads: tuple[int, ...]) -> Iterator[str]:
    yield "# Compiled models"
    yield ""
    yield "Energy, forces and virial by the driver; ms, the best of several steps in turns."
    yield "Compiled in one piece (whole), in parts (blocks), and also without zero rows (rings)."
    yield "Written by `python benchmarks/compiled.py --output benchmarks/COMPILED.md`."
    yield ""
    yield machine("one or two used")
    yield ""
    yield (
        "| model | threads | atoms | with images | TorchScript | whole | blocks | rings "
        "| TorchScript/rings | whole/rings |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for case in CASES:
        with tempfile.TemporaryDirectory(prefix="torchml-bench-") as folder:
            models = packed(case, Path(folder))
            for n_threads in threads:
                # A process chooses the number of threads once.
                os.environ["KIM_MODEL_NUM_THREADS"] = str(n_threads)
                with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
                    rows = process.submit(measured, models, sizes, seconds).result()
                for atoms, particles, best in rows:
                    times = " | ".join(f"{1e3 * one:.2f}" for one in best.values())
                    yield (
                        f"| {case.label} | {n_threads} | {atoms} | {particles} | {times} "
                        f"| {best['TorchScript'] / best['rings']:.2f} "
                        f"| {best['whole'] / best['rings']:.2f} |"
                    )


def measured(
    models: dict[str, Path], sizes: tuple[int, ...], seconds: float
) -> list[tuple[int, int, dict[str, float]]]:
    """Atoms, particles with images, and each model's shortest step, s, for each size. All models
    compute the same system in turns for ``seconds``."""
    from torchml_driver import Potential
    from torchml_driver.bench import spell_out
    from torchml_driver.structures import Structure

    ways = {way: Potential(model) for way, model in models.items()}
    rows = []
    for cells in sizes:
        atoms = bulk("Si", a=LATTICE, cubic=True) * (cells, cells, cells)
        atoms.rattle(0.05, seed=1)
        structure = Structure(["Si"] * len(atoms), atoms.positions, atoms.cell.array, True)
        particles = spell_out(ways["TorchScript"], structure)
        arrays = (particles.contributing, particles.n_neigh, particles.nlist)
        best = dict.fromkeys(ways, np.inf)
        energies = {}
        begin = time.perf_counter()
        while time.perf_counter() - begin < seconds:
            for way, potential in ways.items():
                start = time.perf_counter()
                result = potential.compute_particles(particles.codes, particles.positions, *arrays)
                best[way] = min(best[way], time.perf_counter() - start)
                energies[way] = result.energy
        assert np.allclose(list(energies.values()), energies["rings"], rtol=1e-10, atol=0)
        rows.append((len(atoms), len(particles.codes), best))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--output", type=Path, metavar="FILE.md", help="also write the table there")
    parser.add_argument("--seconds", type=float, default=20.0, help="time for each size")
    parser.add_argument("--threads", default="1,2", help="numbers of threads for the models")
    parser.add_argument("--cells", default="2,4", help="edges of the systems, in unit cells")
    options = parser.parse_args()
    sizes, threads = (
        tuple(int(word) for word in words.split(",")) for words in (options.cells, options.threads)
    )
    print_table(lines(options.seconds, sizes, threads), options.output)


if __name__ == "__main__":
    main()
