"""Random periodic systems, handed over as simulators do it, on models on edges: all modes of
KIM_MODEL_GHOSTS give what a plain periodic graph in Python gives.

    python -m tests.random_edges [--first 0] [--number 1000]

It needs the Python module of the driver to test. Each number makes one system, so that
``--first N --number 1`` repeats a finding. Ends with 1 if there is one.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk, make_supercell

from tests.support.edge_models import (
    CUTOFF,
    ELEMENTS,
    Directional,
    Expected,
    on_a_periodic_graph,
    write_edge_model,
)
from tests.support.handed_over import HandedOver, hand_over

MODES = ("auto", "fold", "stage")
#: Layers of the models; each system meets one of them.
LAYERS = (1, 2, 3)
SKIN = 0.5  # Å
MOST_PARTICLES = 6000
#: As Open MPI describes the first of two ranks.
RANK = {
    f"OMPI_COMM_WORLD_{name}": number
    for name, number in (("RANK", "0"), ("LOCAL_RANK", "0"), ("LOCAL_SIZE", "2"), ("SIZE", "2"))
}
#: Å: from here on, no image is where a displaced atom's would be by chance.
DISTINCT = 1e-6


@dataclass(frozen=True)
class Case:
    """A system. displaced: Å, how far its atoms are from a crystal's sites, 0 if they are on them;
    infinite if there are no sites. wrapped: whether its atoms are in one cell."""

    seed: int
    kind: str
    atoms: Atoms
    displaced: float
    layers: int
    wrapped: bool


@dataclass
class Findings:
    """wrong: a line for each difference; slow: for each system that could have been folded, since
    nothing about it is ambiguous, and was not; counts: how often each kind was folded or staged."""

    wrong: list[str] = field(default_factory=list)
    slow: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


def potentials(folder: Path) -> dict[tuple[int, str], Any]:
    """By layers and mode; "rank" is the mode auto of one of two ranks."""
    from torchml_driver import Potential

    found = {}
    for layers in LAYERS:
        model = write_edge_model(folder / f"{layers}", Directional(layers=layers), layers=layers)
        for mode in (*MODES, "rank"):
            ghosts = "auto" if mode == "rank" else mode
            with environment({"KIM_MODEL_GHOSTS": ghosts, **(RANK if mode == "rank" else {})}):
                found[layers, mode] = Potential(model)
    return found


@contextlib.contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Sets variables, and later what they were before."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


# --- systems --------------------------------------------------------------------------------------


def crystal(random: np.random.Generator) -> Atoms:
    """One of several lattices, with nearest neighbours about 2.4 Å apart."""
    structure = str(
        random.choice(["sc", "fcc", "bcc", "diamond", "hcp", "zincblende", "rocksalt", "cesium"])
    )
    if structure == "hcp":
        return bulk("Si", "hcp", a=2.5, c=float(random.choice([4.0, 2.5 * np.sqrt(8 / 3)])))
    sides = {"sc": 2.5, "fcc": 3.5, "bcc": 2.9, "diamond": 5.4, "zincblende": 5.2}
    if structure in sides and structure != "zincblende":
        cubic = structure != "sc" and random.random() < 0.5
        return bulk("Si", structure, a=sides[structure], cubic=cubic)
    name = "cesiumchloride" if structure == "cesium" else structure
    side = {"zincblende": 5.2, "rocksalt": 5.0, "cesium": 2.9}[structure]
    return bulk("SiC", name, a=side)


def supercell(random: np.random.Generator, atoms: Atoms) -> Atoms:
    """By a triangular matrix: also long and oblique ones."""
    while True:
        sizes = random.integers(1, 4, 3)
        if np.prod(sizes) * len(atoms) <= 64:
            break
    matrix = np.diag(sizes)
    for row, column in ((1, 0), (2, 0), (2, 1)):
        matrix[row, column] = random.integers(0, sizes[column])
    return make_supercell(atoms, matrix)


def skewed_cell(random: np.random.Generator, atoms: Atoms) -> Atoms:
    """The same periodic system with other vectors of its lattice, some of them very oblique."""
    cell = atoms.cell.array.copy()
    periodic = np.flatnonzero(atoms.pbc)
    for _ in range(int(random.integers(1, 4))):
        if len(periodic) < 2:
            break
        one, other = random.choice(periodic, 2, replace=False)
        cell[one] += random.choice([-1, 1]) * cell[other]
    atoms.set_cell(cell, scale_atoms=False)
    return atoms


def random_atoms(random: np.random.Generator) -> Atoms:
    """At random places of a random cell, which may be much smaller than the cutoff."""
    n = int(random.integers(1, 25))
    volume = n * random.uniform(9.0, 25.0)
    sides = random.uniform(0.5, 2.0, 3)
    sides *= (max(volume, 14.0) / np.prod(sides)) ** (1 / 3)
    cell = np.diag(np.maximum(sides, 1.9)) + np.triu(random.uniform(-5.0, 5.0, (3, 3)), 1)
    rotation, _ = np.linalg.qr(random.normal(size=(3, 3)))
    pbc = random.random(3) < 0.75
    atoms = Atoms(f"Si{n}", cell=cell @ rotation, pbc=pbc)
    atoms.set_scaled_positions(random.random((n, 3)))
    return atoms


def layered(random: np.random.Generator, atoms: Atoms) -> Atoms:
    """A slab, a wire or a cluster of a crystal, with or without a vacuum that repeats."""
    axes = np.flatnonzero(random.random(3) < 0.5)
    repeats = random.random() < 0.4
    for axis in axes:
        cell = atoms.cell.array.copy()
        cell[axis] *= 1.0 + random.uniform(1.0, 16.0) / np.linalg.norm(cell[axis])
        atoms.set_cell(cell, scale_atoms=False)
        atoms.pbc[axis] = repeats
    return atoms


def flawed(random: np.random.Generator, atoms: Atoms) -> Atoms:
    """With vacancies, foreign atoms, or one displaced atom."""
    what = random.integers(3)
    some = random.choice(len(atoms), int(random.integers(1, 3)), replace=len(atoms) < 2)
    if what == 0 and len(atoms) > 2:
        del atoms[np.unique(some)]
    elif what == 1:
        atoms.symbols[some] = "C"
    else:
        atoms.positions[some[0]] += random.normal(0, 0.3, 3)
    return atoms


def make_case(seed: int) -> Case:
    """Raises nothing: systems that no simulator should be given are made again."""
    random = np.random.default_rng(seed)
    while True:
        case = _some_case(seed, random)
        if len(case.atoms) and _apart(case.atoms) > 0.3:
            return case


def _some_case(seed: int, random: np.random.Generator) -> Case:
    kind = str(random.choice(["crystal", "flawed", "layered", "alloy", "random", "random", "tiny"]))
    displaced = 0.0
    if kind == "random":
        atoms, displaced = random_atoms(random), np.inf
    elif kind == "tiny":
        cell = np.diag(random.uniform(1.9, 3.5, 3)) + np.triu(random.uniform(-1, 1, (3, 3)), 1)
        n = int(random.integers(1, 3))
        atoms = Atoms(f"Si{n}", cell=cell, pbc=random.random(3) < 0.8)
        atoms.set_scaled_positions(random.random((n, 3)))
        displaced = np.inf
    else:
        atoms = crystal(random)
        if random.random() < 0.8:
            atoms = supercell(random, atoms)
        if kind == "flawed":
            atoms = flawed(random, atoms)
        elif kind == "layered":
            atoms = layered(random, atoms)
        elif kind == "alloy":
            atoms.symbols = random.choice(ELEMENTS, len(atoms))
        if random.random() < 0.5:
            displaced = 10.0 ** random.uniform(-12.0, -0.7)
            atoms.positions += random.normal(0, displaced, (len(atoms), 3))
        if random.random() < 0.3:
            strain = np.eye(3) + random.normal(0, 0.03, (3, 3))
            atoms.set_cell(atoms.cell.array @ strain, scale_atoms=True)
    if displaced > 0.0 and random.random() < 0.5:
        atoms.symbols = random.choice(ELEMENTS, len(atoms))
    if random.random() < 0.3:
        atoms = skewed_cell(random, atoms)
    if random.random() < 0.3:
        atoms.positions += random.normal(0, 10.0 ** random.uniform(0, 4), 3)
    wrapped = random.random() < 0.8
    if not wrapped:  # as in a trajectory that nobody wrapped
        shifts = random.integers(-2, 3, (len(atoms), 3)) * atoms.pbc
        atoms.positions += shifts @ atoms.cell.array
    elif random.random() < 0.5:
        atoms.wrap()
    return Case(seed, kind, atoms, displaced, int(random.choice(LAYERS)), wrapped)


def _apart(atoms: Atoms) -> float:
    """The shortest distance, Å, at least up to 0.5."""
    from ase.neighborlist import neighbor_list

    distances = neighbor_list("d", atoms, 0.5)
    return float(distances.min()) if len(distances) else 0.5


# --- simulators -----------------------------------------------------------------------------------


def as_lammps(atoms: Atoms, reach: float, listed: float, random: Any) -> HandedOver:
    """All images in the box, made larger by ``reach`` on each side; see hand_over."""
    wrapped = atoms.copy()
    wrapped.wrap()
    atoms.positions = wrapped.positions
    cell = atoms.cell.complete().array
    inverse = np.linalg.inv(cell)
    halo = np.where(atoms.pbc, reach * np.linalg.norm(inverse, axis=0), 0.0)
    fractional = atoms.positions @ inverse
    most = np.ceil(halo).astype(int)
    everybody = np.arange(len(atoms))
    owner, shifts = [everybody], [np.zeros((len(atoms), 3), int)]
    for shift in np.array(list(np.ndindex(*(2 * most + 1)))) - most:
        if not shift.any():
            continue
        moved = fractional + shift
        inside = (moved >= -halo) & (moved < 1.0 + halo)
        near = (inside | ~np.asarray(atoms.pbc)).all(axis=1)
        owner.append(everybody[near])
        shifts.append(np.tile(shift, (near.sum(), 1)))
    owners, all_shifts = np.concatenate(owner), np.concatenate(shifts)
    order = np.arange(len(owners))
    if random is not None:
        order[len(atoms) :] = len(atoms) + random.permutation(len(owners) - len(atoms))
    system = HandedOver(
        owners[order], all_shifts[order], (order < len(atoms)).astype(int), np.empty((0, 3))
    )
    system.move(atoms)
    system.list_neighbours(listed)
    return system


def steps_of(case: Case, skin: float, random: np.random.Generator) -> Iterator[str]:
    """Changes the atoms as a simulation does between two neighbour lists; says how."""
    yield "first"
    for _ in range(int(random.integers(0, 3)) if skin else 0):
        if random.random() < 0.5:
            case.atoms.positions += random.normal(0, 0.02, case.atoms.positions.shape)
            yield "moved"
        else:
            strain = np.eye(3) + random.normal(0, 0.003, (3, 3))
            case.atoms.set_cell(case.atoms.cell.array @ strain, scale_atoms=True)
            yield "strained"


# --- comparison -----------------------------------------------------------------------------------


def codes_of(atoms: Atoms) -> np.ndarray:
    return np.array([ELEMENTS.index(name) for name in atoms.get_chemical_symbols()])


def difference(system: HandedOver, found: Any, expected: Expected) -> float:
    """The largest one, relative to the largest force or virial."""
    scale = max(1.0, abs(expected.energy), np.abs(expected.forces).max())
    wide = max(scale, np.abs(expected.particle_virials).max(), np.abs(expected.virial).max())
    return float(
        max(
            abs(found.energy - expected.energy) / scale,
            np.abs(system.on_atoms(found.forces) - expected.forces).max() / scale,
            np.abs(system.on_atoms(found.particle_energies) - expected.particle_energies).max()
            / scale,
            np.abs(found.virial - expected.virial).max() / wide,
            np.abs(found.particle_virials.sum(axis=0) - expected.virial).max() / wide,
        )
    )


def tolerance_of(case: Case, moved: bool) -> float:
    """Rounding; more where atoms are so near to a crystal's sites that they count as on them, and
    far from the origin, where coordinates have fewer digits."""
    far = 1e-14 * float(np.abs(case.atoms.positions).max())
    if 0.0 < case.displaced < DISTINCT and not moved:
        return 1e-6
    return 1e-10 + 1e3 * far


def check(case: Case, models: Mapping[tuple[int, str], Any], findings: Findings) -> None:
    """Adds to the findings what is wrong with a case in any mode, at any step, on parts."""
    from torchml_driver import Error

    random = np.random.default_rng(case.seed + 2**32)
    model = Directional(layers=case.layers)
    make = as_lammps if random.random() < 0.5 else hand_over
    order = random if random.random() < 0.6 else None
    systems = {}
    skin = float(random.choice([0.0, SKIN]))
    for mode in MODES:
        reach = (1 if mode == "fold" else case.layers) * CUTOFF + skin
        systems[mode] = make(case.atoms, reach + 1e-9, CUTOFF + SKIN, order)
    if max(len(system.owner) for system in systems.values()) > MOST_PARTICLES:
        findings.counts["too large"] += 1
        return
    clear = case.displaced > DISTINCT and case.wrapped
    for step in steps_of(case, skin, random):
        expected = on_a_periodic_graph(model, case.atoms)
        for mode, system in systems.items():
            system.move(case.atoms)
            if step != "first":
                system.list_neighbours(CUTOFF + SKIN)
            where = f"{case.seed} {case.kind} {step} {make.__name__} {case.layers} layers {mode}"
            potential = models[case.layers, mode]
            try:
                found = system.compute(
                    potential, codes_of(case.atoms), particle_energies=True, particle_virials=True
                )
            except Error as error:
                if mode == "fold":
                    findings.counts[f"{case.kind} fold refused: {_reason(error)}"] += 1
                    if clear:
                        findings.slow.append(f"{where}: refused, {_reason(error)}")
                else:
                    findings.wrong.append(f"{where}: {error}")
                continue
            graph = potential.graph
            findings.counts[f"{case.kind} {mode} {graph.mode}"] += 1
            if mode == "auto" and graph.mode == "staged" and clear:
                findings.slow.append(f"{where}: {graph.reason}")
            worst = difference(system, found, expected)
            if not worst < tolerance_of(case, step == "moved"):
                findings.wrong.append(f"{where}: off by {worst:.1e}")
    _check_parts(case, systems["stage"], models[case.layers, "rank"], expected, findings)


def _check_parts(
    case: Case, system: HandedOver, potential: Any, expected: Expected, findings: Findings
) -> None:
    """On several ranks, each with a part of the atoms: their results add up to the whole's."""
    from torchml_driver import Error

    random = np.random.default_rng(case.seed + 2**33)
    ranks = int(random.integers(2, 4))
    along = case.atoms.positions @ random.normal(size=3)
    part = np.argsort(np.argsort(along)) * ranks // len(along)
    total: Any = 0.0
    for rank in range(ranks):
        here = HandedOver(
            system.owner,
            system.shifts,
            system.contributing * (part[system.owner] == rank),
            system.coordinates,
            system.counts,
            system.neighbours,
        )
        try:
            found = here.compute(potential, codes_of(case.atoms))
        except Error as error:
            findings.wrong.append(f"{case.seed} {case.kind} on part {rank} of {ranks}: {error}")
            return
        mode = potential.graph.mode if here.contributing.any() else "nothing"
        findings.counts[f"{case.kind} parts {mode}"] += 1
        forces = here.on_atoms(found.forces)
        total = total + np.concatenate([[found.energy], found.virial, forces.ravel()])
    whole = np.concatenate([[expected.energy], expected.virial, expected.forces.ravel()])
    worst = np.abs(total - whole).max() / max(1.0, np.abs(whole).max())
    if not worst < tolerance_of(case, moved=False):
        findings.wrong.append(f"{case.seed} {case.kind} on {ranks} parts: off by {worst:.1e}")


def _reason(error: Exception) -> str:
    text = str(error).removeprefix("KIM_MODEL_GHOSTS is fold, but ")
    return " ".join(word for word in text.split(". ")[0].split() if not word[0].isdigit())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=0, help="number of the first system (0)")
    parser.add_argument("--number", type=int, default=1000, help="how many (1000)")
    options = parser.parse_args()
    findings = Findings()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        models = potentials(Path(folder))
        for seed in range(options.first, options.first + options.number):
            before = len(findings.wrong)
            check(make_case(seed), models, findings)
            for line in findings.wrong[before:]:
                print(line, flush=True)
    for line in findings.slow:
        print(f"not folded: {line}")
    for what, number in sorted(findings.counts.items()):
        print(f"{number:7} {what}")
    print(f"{len(findings.wrong)} wrong, {len(findings.slow)} not folded without need")
    return 1 if findings.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
