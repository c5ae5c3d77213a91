"""Measures models on edges: folded, exchanged and staged graphs in LAMMPS, ASE, and the bare model.

Networks as in examples/graph_network with 64 features, untrained, in float64, on edges: 3 layers of
4.5 Å, and 5 layers of 5 Å. Silicon at 300 K, one thread on each rank. The bare model is the same
TorchScript called from Python, forward and backward, on the plain periodic graph of the atoms.

The driver and its Python module (torchml-install driver) must be installed, and LAMMPS.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
import torchml_driver.operators  # noqa: F401 (defines torch.ops.torchml.exchange)
from ase import Atoms
from ase.build import bulk
from graphs import EXAMPLES, KEEP_MEMORY, LATTICE, ROUNDS, Bench, checked
from measuring import machine, milliseconds, print_table

sys.path.insert(0, str(EXAMPLES / "graph_network"))
from graph_network import GraphNetwork


class EdgeNetwork(GraphNetwork):
    """The network of examples/graph_network, in calling convention 4."""

    def forward(
        self,
        species: torch.Tensor,
        edge_index: torch.Tensor,
        edge_vectors: torch.Tensor,
        contributing: torch.Tensor,
    ) -> torch.Tensor:
        basis = self.basis(edge_vectors)
        receiver, sender = edge_index[0], edge_index[1]
        h = self.embedding(species)
        for layer, convolution in enumerate(self.convolutions):
            if layer > 0:
                h = torch.ops.torchml.exchange(h)
            h = convolution(h, sender, receiver, basis)
        energies = self.readout(h).squeeze(1) * self.scale + self.shift.index_select(0, species)
        return energies * contributing


class NoNetwork(torch.nn.Module):
    """Takes edges and does nothing with them, so that only building the graph takes time."""

    def forward(
        self,
        species: torch.Tensor,
        edge_index: torch.Tensor,
        edge_vectors: torch.Tensor,
        contributing: torch.Tensor,
    ) -> torch.Tensor:
        return edge_vectors.sum() + 0.0 * contributing


#: Layers and cutoff (Å), and how many cells of eight atoms there are along each axis.
MODELS = (((3, 4.5), (2, 4, 8)), ((5, 5.0), (2, 4)))

#: How many cells there are along each axis where graphs alone are built: up to a million atoms.
SIZES = {
    (1, "fold"): (5, 11, 23, 50),
    (1, "auto"): (5, 11, 23, 50),
    (3, "fold"): (5, 11, 23),
    (3, "auto"): (5, 11),
}


def crystal(cells: int) -> Atoms:
    atoms = bulk("Si", a=LATTICE, cubic=True) * (cells, cells, cells)
    atoms.rattle(0.08, seed=7)
    return atoms


def time_bare(file: str, cells: int, cutoff: float, repeats: int) -> None:
    import vesin

    torch.set_num_threads(1)
    model = torch.jit.load(file)
    atoms = crystal(cells)
    lists = vesin.NeighborList(cutoff=cutoff, full_list=True, sorted=True)
    i, j, vectors = lists.compute(
        atoms.positions, atoms.cell.array, True, quantities="ijD", copy=True
    )
    edges = torch.tensor(np.stack([i, j]).astype(np.int64))
    species = torch.zeros(len(atoms), dtype=torch.int64)
    contributing = torch.ones(len(atoms), dtype=torch.int64)

    def step() -> torch.Tensor:
        given = torch.tensor(vectors, requires_grad=True)
        energies = model(species, edges, given, contributing)
        (gradient,) = torch.autograd.grad(energies.sum(), given)
        return gradient

    print(milliseconds(step, repeats, 3))


def time_ase(folder: str, cells: int, repeats: int) -> None:
    from torchml_driver.ase import TorchMLCalculator

    torch.set_num_threads(1)
    atoms = crystal(cells)
    atoms.calc = TorchMLCalculator(folder)
    random = np.random.default_rng(1)

    def step() -> object:
        atoms.positions += random.normal(0.0, 1e-4, atoms.positions.shape)
        return atoms.get_forces()

    print(milliseconds(step, repeats, 3))


def called(*arguments: object, **env: str) -> float:
    """What this script prints for the hidden options, in a separate process."""
    command = [sys.executable, __file__, *map(str, arguments)]
    return float(checked(command, Path.cwd(), {**os.environ, **env}).stdout)


def peak(command: list[str], folder: Path, env: dict[str, str]) -> float:
    """The peak memory of a process, MiB."""
    process = subprocess.Popen(
        command, cwd=folder, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"{' '.join(command)} failed")
    return usage.ru_maxrss / 1024


@contextlib.contextmanager
def ghosts(mode: str) -> Iterator[None]:
    os.environ["KIM_MODEL_GHOSTS"] = mode
    try:
        yield
    finally:
        del os.environ["KIM_MODEL_GHOSTS"]


def lines(bench: Bench) -> Iterator[str]:
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    yield "# Models on edges"
    yield ""
    yield "The network of `examples/graph_network` with 64 features, untrained, float64, on edges."
    yield "Silicon at 300 K, one thread on each rank; milliseconds per step, the best of several"
    yield "runs, in turns. The bare model is the same TorchScript in Python, with its gradient, on"
    yield "the plain periodic graph, with glibc's default memory management and set to keep memory."
    yield "LAMMPS and ASE: whole steps."
    yield ""
    yield "Written by `python benchmarks/edges.py --output benchmarks/EDGES.md`."
    yield ""
    yield machine("one used for each rank")
    yield ""
    yield "## One rank"
    yield ""
    yield (
        "| layers, cutoff | atoms | bare model | bare, memory kept | ASE | LAMMPS: fold | auto "
        "| stage | fold / bare | fold / bare, memory kept | ASE / fold | auto / fold "
        "| stage / fold | peak memory, fold / bare | difference in energy, eV |"
    )
    yield "|" + 15 * "---|"
    folders = {}
    for (layers, cutoff), sizes in MODELS:
        network = EdgeNetwork(elements=1, cutoff=cutoff, layers=layers, features=64)
        kind = ["--cutoff", str(cutoff), "--pattern", "edges", "--layers", str(layers)]
        folders[layers] = bench.install(f"Edges_{layers}", network, kind)
        for cells in sizes:
            yield row(bench, folders[layers], layers, cutoff, cells)
    yield ""
    yield "## Two ranks"
    yield ""
    yield "The ceiling is what the machine allows: twice the time of a simulation on one rank,"
    yield "divided by that of the slower one of two such simulations at once."
    yield ""
    yield (
        "| model | atoms | one rank, fold | two, exchange | auto | stage | speed-up by exchange "
        "| by auto | by stage | ceiling | difference in energy, eV |"
    )
    yield "|" + 11 * "---|"
    for cells in (4, 8):
        yield ranks_row(bench, folders[3], "3 layers, 4.5 Å", cells)
    yield ranks_row(bench, compiled(bench), "the same, compiled", 8)
    yield ""
    yield "## Building graphs, and finding owners"
    yield ""
    yield "Of a model that does nothing, 5 Å. The driver's time for its inputs, in milliseconds per"
    yield "step and nanoseconds per atom: as long as LAMMPS keeps its lists, and where it makes"
    yield "them anew at every step, so that the owners of all images are sought again."
    yield ""
    yield "| layers | mode | atoms | lists kept, ms | ns per atom | lists anew, ms | ns per atom |"
    yield "|" + 7 * "---|"
    for layers in (1, 3):
        kind = ["--cutoff", "5.0", "--pattern", "edges", "--layers", str(layers), "--unchecked"]
        folder = bench.install(f"No_network_{layers}", NoNetwork(), kind)
        for mode in ("fold", "auto"):
            for cells in SIZES[layers, mode]:
                yield owners_row(bench, folder, layers, mode, cells)


def row(bench: Bench, folder: Path, layers: int, cutoff: float, cells: int) -> str:
    n = 8 * cells**3
    repeats = max(5, 2000 // n)
    file = folder / f"{folder.name}.pt"
    bare, kept, ase = [], [], []
    runs: dict[str, list[float]] = {"fold": [], "auto": [], "stage": []}
    energies = []
    for _ in range(ROUNDS):  # in turns, so that other load affects all alike
        bare.append(called("--bare", file, cells, cutoff, repeats))
        kept.append(called("--bare", file, cells, cutoff, repeats, **KEEP_MEMORY))
        ase.append(called("--ase", folder, cells, repeats))
        for mode, times in runs.items():
            with ghosts(mode):
                run = bench.lammps(folder.name, cells, 1, repeats)
            times.append(run.step)
            energies.append(run.energy)
    arguments = [str(word) for word in ("--bare", file, cells, cutoff, repeats)]
    memory_of_bare = peak([sys.executable, __file__, *arguments], bench.folder, bench.env)
    with ghosts("fold"):
        bench.lammps(folder.name, cells, 1, repeats)  # writes the input
        memory = peak(["lmp", "-in", "in.bench"], bench.folder, bench.env)
    fold, auto, stage = (min(times) for times in runs.values())
    return (
        f"| {layers}, {cutoff} Å | {n} | {min(bare):.1f} | {min(kept):.1f} | {min(ase):.1f} "
        f"| {fold:.1f} | {auto:.1f} | {stage:.1f} | {fold / min(bare):.2f} "
        f"| {fold / min(kept):.2f} | {min(ase) / fold:.2f} | {auto / fold:.2f} "
        f"| {stage / fold:.2f} | {memory / memory_of_bare:.2f} "
        f"| {max(energies) - min(energies):.0e} |"
    )


def compiled(bench: Bench) -> Path:
    arguments = {"elements": 1, "cutoff": 4.5, "layers": 3, "features": 64}
    kind = ["--elements", "Si", "--cutoff", "4.5", "--pattern", "edges", "--layers", "3"]
    torch.manual_seed(0)
    torch.save(EdgeNetwork(**arguments).state_dict(), bench.folder / "weights.pt")
    source = f"{Path(__file__).resolve()}:EdgeNetwork"
    made = ["--weights", "weights.pt", "--arguments", json.dumps(arguments), "--no-energy-only"]
    name = "Edges_compiled"
    bench.call("model", "compile", source, *made, *kind, "--output", f"{name}.pt2")
    bench.call("model", "pack", f"{name}.pt2", *kind)
    bench.install_packed(name)
    return bench.folder / name


def ranks_row(bench: Bench, folder: Path, model: str, cells: int) -> str:
    n = 8 * cells**3
    repeats = max(10, 4000 // n)
    runs: dict[tuple[str, int], list[float]] = {
        ("fold", 1): [],
        ("exchange", 2): [],
        ("auto", 2): [],
        ("stage", 2): [],
    }
    energies = []
    both = []
    for _ in range(ROUNDS):
        for (mode, ranks), times in runs.items():
            with ghosts(mode):
                run = bench.lammps(folder.name, cells, ranks, repeats)
            times.append(run.step)
            energies.append(run.energy)
        with ghosts("fold"):
            both.append(at_once(bench, folder.name, cells, repeats))
    one, exchange, auto, stage = (min(times) for times in runs.values())
    return (
        f"| {model} | {n} | {one:.1f} | {exchange:.1f} | {auto:.1f} | {stage:.1f} "
        f"| {one / exchange:.2f} | {one / auto:.2f} | {one / stage:.2f} "
        f"| {2.0 * one / min(both):.2f} | {max(energies) - min(energies):.0e} |"
    )


def at_once(bench: Bench, name: str, cells: int, repeats: int) -> float:
    """The milliseconds per step of the slower one of two simulations on one rank each."""
    benches = []
    for number in range(2):
        folder = bench.folder / f"at_once_{number}"
        if not folder.exists():
            folder.mkdir()
            for part in ("models", "data"):
                (folder / part).symlink_to(bench.folder / part)
        benches.append(Bench(folder))
    with ThreadPoolExecutor() as pool:
        return max(pool.map(lambda one: one.lammps(name, cells, 1, repeats).step, benches))


def owners_row(bench: Bench, folder: Path, layers: int, mode: str, cells: int) -> str:
    n = 8 * cells**3
    anew = "neigh_modify delay 0 every 1 check no\nrun "
    with ghosts(mode):
        kept = bench.lammps(folder.name, cells, 1, 10).stages["inputs"]
        sought = bench.lammps(folder.name, cells, 1, 10, ("run ", anew)).stages["inputs"]
    return (
        f"| {layers} | {mode} | {n} | {kept:.2f} | {1e6 * kept / n:.0f} | {sought:.2f} "
        f"| {1e6 * sought / n:.0f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, metavar="FILE.md", help="also write the table there")
    # Parts that run in separate processes.
    parser.add_argument("--bare", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--ase", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bare:
        file, cells, cutoff, repeats = options.bare
        return time_bare(file, int(cells), float(cutoff), int(repeats))
    if options.ase:
        folder, cells, repeats = options.ase
        return time_ase(folder, int(cells), int(repeats))
    with tempfile.TemporaryDirectory(prefix="torchml-bench-") as folder:
        (Path(folder) / "models").mkdir()
        print_table(lines(Bench(Path(folder))), options.output)
    return None


if __name__ == "__main__":
    main()
