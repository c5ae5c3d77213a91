"""Measures graph models in LAMMPS: building graphs, and the driver's overhead over the bare model.

The network of examples/graph_network with 64 features, untrained, in float64: 3 layers, 4.5 Å.
Silicon at 300 K, one thread on each rank. The bare model is the same TorchScript called from
Python, forward and backward, on the same graphs, those of LAMMPS's atoms and ghosts.

The driver and its Python module (torchml-install driver) must be installed, and LAMMPS.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
from ase.build import bulk
from measuring import bare_step, machine, milliseconds, print_table

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
LATTICE = 5.431  # angstrom
CUTOFF = 4.5
LAYERS = 3
SKIN = 2.0  # LAMMPS's in metal units
GRAPHS = ["--cutoff", str(CUTOFF), "--pattern", "graph", "--layers", str(LAYERS)]
DRIVER_STAGES = ("inputs", "copies", "outputs")
ROUNDS = 3  # the best one counts

#: glibc's variables to keep memory from step to step, as the driver does.
KEEP_MEMORY = {
    "MALLOC_TRIM_THRESHOLD_": "100000000000",
    "MALLOC_MMAP_THRESHOLD_": "100000000000",
    "MALLOC_TOP_PAD_": "100000000",
}

LAMMPS = """\
kim             init {model} metal
boundary        p p p
lattice         diamond {lattice}
region          box block 0 {cells} 0 {cells} 0 {cells}
create_box      1 box
create_atoms    1 box
mass            1 28.0855
kim             interactions Si
velocity        all create 300.0 12345 mom yes rot yes loop geom
fix             move all nve
# A single run: the profile leaves out the first step, which LAMMPS does before its clock starts.
run             {steps}
print           "energy $(pe:%.10f)"
"""


class NoNetwork(torch.nn.Module):
    """Takes graphs and does nothing with them, so that only building them takes time."""

    def forward(
        self,
        species: torch.Tensor,
        coords: torch.Tensor,
        graph_layer1: torch.Tensor,
        graph_layer2: torch.Tensor,
        graph_layer3: torch.Tensor,
        contributing: torch.Tensor,
    ) -> torch.Tensor:
        return coords.sum(1) * (1 - contributing)


@dataclass
class Run:
    """The times of one rank, ms per step (`step`: by LAMMPS's clock, everything included)."""

    step: float
    stages: dict[str, float]
    particles: int
    energy: float

    @property
    def model(self) -> float:
        """Forward and backward, which are one stage in compiled models."""
        return sum(time for stage, time in self.stages.items() if stage not in DRIVER_STAGES)


@dataclass
class Bench:
    """Models in a separate folder, installed there for KIM."""

    folder: Path

    def install(self, name: str, model: torch.nn.Module, options: Sequence[str]) -> Path:
        torch.jit.script(model).eval().save(str(self.folder / f"{name}.pt"))
        self.call("model", "pack", f"{name}.pt", "--elements", "Si", *options)
        self.install_packed(name)
        return self.folder / name

    def install_packed(self, name: str) -> None:
        self.call("model", "install", name, "--collection", "environment")

    def install_compiled(
        self, name: str, source: str, arguments: dict[str, object], model: torch.nn.Module
    ) -> Path:
        """Compiles and installs a model. source: FILE.py:Class, the class of `model`."""
        torch.save(model.state_dict(), self.folder / "weights.pt")
        made = ("--weights", "weights.pt", "--arguments", json.dumps(arguments))
        kind = ("--elements", "Si", *GRAPHS)
        self.call("model", "compile", source, *made, *kind, "--output", f"{name}.pt2")
        self.call("model", "pack", f"{name}.pt2", *kind)
        self.call("model", "install", name, "--collection", "environment")
        return self.folder / name

    def call(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "torchml_installer", *arguments]
        checked(command, self.folder, self.env)

    @property
    def env(self) -> dict[str, str]:
        return {
            **os.environ,
            "KIM_API_PORTABLE_MODELS_DIR": str(self.folder / "models"),
            "XDG_DATA_HOME": str(self.folder / "data"),
        }

    def lammps(
        self, name: str, cells: int, ranks: int, steps: int, other: tuple[str, str] = ("", "")
    ) -> Run:
        """other: a part of the script, and what to put in its place."""
        script = LAMMPS.format(model=name, lattice=LATTICE, cells=cells, steps=steps)
        script = script.replace(*other) if other[0] else script
        (self.folder / "in.bench").write_text(script)
        mpirun = ["mpirun", "--allow-run-as-root", "--oversubscribe", "--bind-to", "none"]
        done = checked(
            [*mpirun, "-np", str(ranks), "lmp", "-in", "in.bench"],
            self.folder,
            {**self.env, "KIM_MODEL_PROFILE": "1"},
        )
        loops = re.findall(r"^Loop time of (\S+) on", done.stdout, re.MULTILINE)
        energy = re.search(r"^energy (\S+)$", done.stdout, re.MULTILINE)
        assert energy is not None, done.stdout
        return Run(1e3 * float(loops[-1]) / steps, *profile(done.stderr), float(energy[1]))


def checked(
    command: Sequence[str], folder: Path, env: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}\n{done.stderr}")
    return done


def profile(stderr: str) -> tuple[dict[str, float], int]:
    """The stages of the first rank that printed, ms per step, and its number of particles."""
    table = stderr[stderr.index("TorchML profile") :]
    particles = re.search(r"last step: (\d+) particles", table)
    assert particles is not None, stderr
    stages: dict[str, float] = {}
    for name, time in re.findall(r"^ +(\S+) +(\S+) ms per step", table, re.MULTILINE):
        stages.setdefault(name, float(time))
    return stages, int(particles[1])


def lammps_particles(cells: int, ranks: int = 1) -> tuple[np.ndarray, int]:
    """The atoms of a thermally disordered crystal on the first of several ranks, which divide it
    into slices; then all others as far as LAMMPS has ghosts."""
    atoms = bulk("Si", a=LATTICE, cubic=True) * (cells, cells, cells)
    atoms.rattle(0.08, seed=7)
    atoms.wrap()
    reach = LAYERS * CUTOFF + SKIN
    length = cells * LATTICE
    n = int(np.ceil(reach / length))
    shifts = np.stack(np.meshgrid(*[np.arange(-n, n + 1)] * 3, indexing="ij"), -1).reshape(-1, 3)
    shifts = shifts[shifts.any(axis=1)]
    images = (atoms.positions[None] + length * shifts[:, None]).reshape(-1, 3)
    upper = np.array([length / ranks, length, length])
    own = (atoms.positions < upper).all(axis=1)
    others = np.concatenate([atoms.positions[~own], images])
    near = ((others >= -reach) & (others < upper + reach)).all(axis=1)
    return np.concatenate([atoms.positions[own], others[near]]), int(own.sum())


def bare_inputs(cells: int, spare: bool, ranks: int = 1) -> list[torch.Tensor]:
    """The model's inputs as the driver makes them; `spare`: with the settings of `model pack`."""
    import vesin

    coordinates, n_atoms = lammps_particles(cells, ranks)
    n = len(coordinates)
    neighbours = vesin.NeighborList(cutoff=CUTOFF, full_list=True, sorted=True)
    i, j = neighbours.compute(coordinates, np.eye(3), False, quantities="ij", copy=True)
    i, j = i.astype(np.int64), j.astype(np.int64)
    ring = np.full(n, LAYERS + 1)
    ring[:n_atoms] = 0
    for k in range(LAYERS):
        reached = j[ring[i] == k]
        ring[reached] = np.minimum(ring[reached], k + 1)
    if spare:
        kept = ring <= LAYERS
        number = np.cumsum(kept) - 1
    else:
        kept, number = np.ones(n, dtype=bool), np.arange(n)
    layers = []
    for k in range(LAYERS):
        # Receivers in row 0; inner rings first, each particle's edges together, as in the driver.
        inner = np.flatnonzero(ring[i] <= k)
        inner = inner[np.argsort(ring[i[inner]], kind="stable")]
        turned = np.flatnonzero((ring[i] > k) & (ring[j] <= k)) if not spare else inner[:0]
        edges = np.concatenate([inner, turned])
        layers.append(torch.tensor(np.stack([number[i[edges]], number[j[edges]]])))
    return [
        torch.zeros(int(kept.sum()), dtype=torch.int64),
        torch.tensor(coordinates[kept]),
        *layers,
        torch.tensor((ring[kept] != 0).astype(np.int64)),
    ]


def most_gain(cells: int, spare: bool) -> str:
    """The largest possible speed-up of two ranks, if all work is on edges and if all is on
    particles: both ranks work on the ghosts of the layers."""
    edges, particles = [], []
    for ranks in (1, 2):
        inputs = bare_inputs(cells, spare, ranks)
        edges.append(sum(layer.shape[1] for layer in inputs[2:-1]))
        particles.append(len(inputs[0]))
    return f"{edges[0] / edges[1]:.2f}, {particles[0] / particles[1]:.2f}"


def time_bare(model: Path, cells: int, spare: bool, repeats: int) -> None:
    torch.set_num_threads(1)
    inputs = bare_inputs(cells, spare)
    print(len(inputs[0]), milliseconds(bare_step(torch.jit.load(str(model)), inputs), repeats, 3))


def bare(model: Path, cells: int, spare: bool, repeats: int, kept: bool) -> tuple[int, float]:
    """The number of particles that the model sees, and ms per step, in a separate process."""
    command = [sys.executable, __file__, "--bare", str(model), str(cells), str(int(spare))]
    env = {**os.environ, **(KEEP_MEMORY if kept else {})}
    particles, time = checked([*command, str(repeats)], Path.cwd(), env).stdout.split()
    return int(particles), float(time)


def time_building(model: Path, n: int) -> None:
    """Runs steps of a cube of about n silicon atoms in empty space; every particle contributes."""
    import vesin
    from torchml_driver import Potential

    cells = round((n / 8) ** (1 / 3))
    atoms = bulk("Si", a=LATTICE, cubic=True) * (cells, cells, cells)
    atoms.rattle(0.08, seed=7)
    n = len(atoms)
    neighbours = vesin.NeighborList(cutoff=CUTOFF + SKIN / 2, full_list=True, sorted=True)
    i, j = neighbours.compute(atoms.positions, np.eye(3), False, quantities="ij", copy=True)
    lists = np.bincount(i.astype(np.int64), minlength=n).astype(np.int32), j.astype(np.int32)
    del i, j
    potential = Potential(model)
    for _ in range(max(4, 100_000 // n)):
        potential.compute_particles(
            np.zeros(n, dtype=np.int32), atoms.positions, np.ones(n, dtype=np.int32), *lists
        )


def building(model: Path, n: int) -> tuple[float, int]:
    """The driver's time to build the graphs, ms per step, and the number of particles."""
    command = [sys.executable, __file__, "--building", str(model), str(n)]
    done = checked(command, Path.cwd(), {**os.environ, "KIM_MODEL_PROFILE": "1"})
    stages, particles = profile(done.stderr)
    return stages["inputs"], particles


def lines(bench: Bench) -> Iterator[str]:
    for example in ("graph_network", "stillinger_weber"):
        sys.path.insert(0, str(EXAMPLES / example))
    from graph_network import GraphNetwork
    from stillinger_weber import CUTOFF as RANGE
    from stillinger_weber import StillingerWeber

    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    arguments = {"elements": 1, "cutoff": CUTOFF, "layers": LAYERS, "features": 64}
    network = GraphNetwork(**arguments)
    models = {
        "both directions, all particles": bench.install(
            "GN_plain", network, [*GRAPHS, "--all-edges"]
        ),
        "as `model pack` finds": bench.install("GN_spare", network, GRAPHS),
    }
    trivial = bench.install("GN_nothing", NoNetwork(), [*GRAPHS, "--all-edges"])
    source = f"{EXAMPLES / 'graph_network/graph_network.py'}:GraphNetwork"
    compiled = bench.install_compiled("GN_compiled", source, arguments, network)
    stillinger_weber = bench.install("SW", StillingerWeber(), ["--cutoff", str(RANGE)])

    yield "# Graph models"
    yield ""
    yield "The network of `examples/graph_network` with 64 features, untrained, float64: 3 layers,"
    yield "4.5 Å. Silicon at 300 K in LAMMPS, one thread on each rank; milliseconds per step,"
    yield "the best of several runs."
    yield "Written by `python benchmarks/graphs.py --output benchmarks/GRAPHS.md`."
    yield ""
    yield machine("one for each rank")
    yield ""
    yield "## 512 atoms, one rank"
    yield ""
    yield (
        "The bare model is the same TorchScript in Python, forward and backward, on the same "
        "graphs:\nwith glibc's default memory management, and with glibc set to keep memory from "
        "step to\nstep, as the driver does by itself."
    )
    yield ""
    yield (
        "| graphs | particles | building them | forward + backward | whole step "
        "| step / (forward + backward) | bare model | bare, memory kept | step / bare "
        "| step / bare, memory kept |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for label, folder in models.items():
        spare = folder.name == "GN_spare"
        file = folder / f"{folder.name}.pt"
        defaults, keeping, runs = [], [], []
        for _ in range(ROUNDS):  # in turns, so that other load affects all alike
            defaults.append(bare(file, 4, spare, 10, kept=False))
            keeping.append(bare(file, 4, spare, 10, kept=True))
            runs.append(bench.lammps(folder.name, 4, 1, 20))
        (particles, default), (_, kept) = min(defaults), min(keeping)
        run = min(runs, key=lambda run: run.step)
        yield (
            f"| {label} | {particles} | {run.stages['inputs']:.1f} | {run.model:.1f} "
            f"| {run.step:.1f} | {run.step / run.model:.2f} | {default:.1f} | {kept:.1f} "
            f"| {run.step / default:.2f} | {run.step / kept:.2f} |"
        )

    yield ""
    yield "## Driver time outside the model"
    yield ""
    yield "One rank, from `KIM_MODEL_PROFILE=1`; ms per step."
    yield ""
    yield "| atoms | graphs | inputs | copies | outputs | forward + backward | outside the model |"
    yield "|---|---|---|---|---|---|---|"
    for cells, steps in ((4, 20), (10, 4)):
        for label, folder in models.items():
            runs = [bench.lammps(folder.name, cells, 1, steps) for _ in range(2)]
            run = min(runs, key=lambda run: sum(run.stages.values()))
            others = [run.stages[stage] for stage in DRIVER_STAGES]
            share = 100 * sum(others) / (sum(others) + run.model)
            columns = " | ".join(f"{time:.2f}" for time in (*others, run.model))
            yield f"| {8 * cells**3} | {label} | {columns} | {share:.1f} % |"

    yield ""
    yield "## Ranks"
    yield ""
    yield "Each rank also works on the outer layers of its graphs, on ghosts, of which two ranks"
    yield "have more than one. The speed-up is therefore at most the ratio of edges, or of"
    yield "particles, depending on where the model spends its time. Stillinger-Weber silicon uses"
    yield "neighbour lists (`examples/stillinger_weber`), so it does no work on ghosts."
    yield ""
    yield (
        "| atoms | graphs | 1 rank | 2 ranks | speed-up | at most, by edges and by particles "
        "| difference in energy, eV |"
    )
    yield "|---|---|---|---|---|---|---|"
    models["as `model pack` finds, compiled"] = compiled
    models["Stillinger-Weber, no graphs"] = stillinger_weber
    for cells, steps in ((4, 20), (8, 8)):
        for label, folder in models.items():
            graphs = folder != stillinger_weber
            most = most_gain(cells, folder.name != "GN_plain") if graphs else "2"
            rounds = [
                [bench.lammps(folder.name, cells, ranks, steps) for ranks in (1, 2)]
                for _ in range(ROUNDS)
            ]
            one, two = (min(runs, key=lambda run: run.step) for runs in zip(*rounds, strict=True))
            yield (
                f"| {8 * cells**3} | {label} | {one.step:.1f} | {two.step:.1f} "
                f"| {one.step / two.step:.2f} | {most} | {abs(one.energy - two.energy):.0e} |"
            )

    yield ""
    yield "## Building three layers of graphs"
    yield ""
    yield "A cube of silicon in empty space; every particle contributes, both directions."
    yield ""
    yield "| particles | ms per step | µs per particle |"
    yield "|---|---|---|"
    for n in (10**3, 10**4, 10**5, 10**6):
        time, particles = min(building(trivial, n) for _ in range(2))
        yield f"| {particles} | {time:.2f} | {1e3 * time / particles:.2f} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--output", type=Path, metavar="FILE.md", help="also write the tables there"
    )
    # Parts that run in separate processes.
    parser.add_argument("--bare", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--building", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bare:
        model, cells, spare, repeats = options.bare
        time_bare(Path(model), int(cells), spare == "1", int(repeats))
        return
    if options.building:
        model, n = options.building
        time_building(Path(model), int(n))
        return
    for tool in ("lmp", "mpirun"):
        if shutil.which(tool) is None:
            sys.exit(f"{tool} is missing. Install it: `torchml-install deps --with lammps,mpi`.")
    with tempfile.TemporaryDirectory(prefix="torchml-bench-") as folder:
        (Path(folder) / "models").mkdir()
        print_table(lines(Bench(Path(folder))), options.output)


if __name__ == "__main__":
    main()
