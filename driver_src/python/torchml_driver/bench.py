"""Measures how long one step of a simulation takes with a portable model, by the number of atoms.

    python -m torchml_driver.bench MODEL [--atoms 32,2048 | --structure FILE] [--seconds 2] [--json]

A step is a simulator's: neighbour lists with a skin exist, positions have moved a little since the
step before, and energy, forces and virial are computed. Structures are rattled crystals of the
model's elements, or come from a file that ASE reads; periodic images are particles, too. Threads
and device are chosen as for a simulation (OMP_NUM_THREADS, KIM_MODEL_EXECUTION_DEVICE).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ._core import Error
from ._progress import report
from ._requests import RefusedError, is_request, serve
from .potential import GraphFacts, Potential
from .structures import PARTICLES_PER_CELL, Structure, rattled_crystal

#: Å: as much farther than the cutoff as simulators let neighbour lists reach.
SKIN = 1.0
#: Å: how far positions are from those of the step before.
_MOVE = 0.01
#: Models are compiled for what they are given in their first steps.
_WARM_UP = 5


@dataclass(frozen=True)
class Measurement:
    """Of one number of atoms.

    atoms: in the cell. particles: with images. milliseconds: the median of a step, and
    fastest, slowest. peak_memory: MiB, of the process up to here. graph: see Potential.graph.
    """

    atoms: int
    particles: int
    steps: int
    milliseconds: float
    fastest: float
    slowest: float
    peak_memory: float
    graph: GraphFacts | None

    @property
    def microseconds_per_atom(self) -> float:
        return 1e3 * self.milliseconds / self.atoms

    @property
    def nanoseconds_per_day(self) -> float:
        """Of simulated time, with steps of 1 fs."""
        return 86400.0 / self.milliseconds * 1e-3


@dataclass(frozen=True)
class Particles:
    """A structure as a simulator holds it; owner: (n,) of which atom each particle is an image."""

    codes: npt.NDArray[np.int32]
    positions: npt.NDArray[np.float64]
    contributing: npt.NDArray[np.int32]
    n_neigh: npt.NDArray[np.int32]
    nlist: npt.NDArray[np.int32]
    owner: npt.NDArray[np.int64]


def crystal(potential: Potential, atoms: int) -> Structure:
    """A rattled crystal of a cube of cells, with the number of atoms nearest to this."""
    return rattled_crystal(potential, max(1, round((atoms / PARTICLES_PER_CELL) ** (1 / 3))))


def read(file: Path) -> Structure:
    """A structure that ASE can read; it repeats in all directions or in none.

    Raises:
        Error: if there is no ASE, or it cannot read the file.
    """
    try:
        import ase.io
    except ImportError as error:
        raise Error("Files are read with ASE, which is not installed: pip install ase.") from error
    try:
        atoms = ase.io.read(file)
    except Exception as error:  # ASE's readers raise whatever comes up
        raise Error(f"{file} cannot be read as a structure: {error}") from error
    periodic = np.asarray(atoms.pbc)
    if periodic.any() and not periodic.all():
        raise Error(f"{file} is periodic in some directions only; expected all or none.")
    return Structure(
        atoms.get_chemical_symbols(), atoms.positions, atoms.cell.array, bool(periodic.all())
    )


def measure(potential: Potential, structure: Structure, seconds: float = 2.0) -> Measurement:
    """Runs steps for some seconds, at least ten of them.

    Raises:
        Error: if the model fails, or does not know an element.
    """
    n_atoms = len(structure.species)
    particles = spell_out(potential, structure)
    random = np.random.default_rng(2)
    times: list[float] = []
    begin = time.perf_counter()
    while len(times) < _WARM_UP + 10 or time.perf_counter() - begin < seconds:
        moves = random.normal(scale=_MOVE, size=(n_atoms, 3))
        positions = particles.positions + moves[particles.owner]
        start = time.perf_counter()
        potential.compute_particles(
            particles.codes, positions, particles.contributing, particles.n_neigh, particles.nlist
        )
        times.append(time.perf_counter() - start)
    measured = 1e3 * np.array(times[_WARM_UP:])
    return Measurement(
        atoms=n_atoms,
        particles=len(particles.codes),
        steps=len(measured),
        milliseconds=float(np.median(measured)),
        fastest=float(measured.min()),
        slowest=float(measured.max()),
        peak_memory=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        graph=potential.graph,
    )


def spell_out(potential: Potential, structure: Structure) -> Particles:
    """With every image that is near enough to matter, and the neighbours of all particles."""
    import vesin

    reach = potential._core.ghost_reach + SKIN
    n = len(structure.species)
    owner, positions = [np.arange(n)], [structure.positions]
    if structure.periodic:
        for near, moved in _images(structure, reach):
            owner.append(near)
            positions.append(moved)
    owners, coordinates = np.concatenate(owner), np.concatenate(positions)
    neighbours = vesin.NeighborList(cutoff=potential.cutoff + SKIN, full_list=True, sorted=True)
    first, second = neighbours.compute(coordinates, np.eye(3), False, quantities="ij", copy=True)
    code = dict(zip(potential.elements, potential.species_codes, strict=True))
    if unknown := sorted(set(structure.species) - set(code)):
        raise Error(f"The model does not know {', '.join(unknown)}; it knows {', '.join(code)}.")
    codes = np.array([code[name] for name in structure.species], dtype=np.int32)
    contributing = np.zeros(len(owners), dtype=np.int32)
    contributing[:n] = 1
    return Particles(
        codes[owners],
        coordinates,
        contributing,
        np.bincount(first.astype(np.int64), minlength=len(owners)).astype(np.int32),
        second.astype(np.int32),
        owners,
    )


def _images(
    structure: Structure, reach: float
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]]:
    """Atoms, and where they are in another cell, within ``reach`` of this one's."""
    others = np.cross(np.roll(structure.cell, -1, 0), np.roll(structure.cell, -2, 0))
    heights = abs(np.linalg.det(structure.cell)) / np.linalg.norm(others, axis=1)
    fractional = structure.positions @ np.linalg.inv(structure.cell)
    low, high = fractional.min(axis=0) - reach / heights, fractional.max(axis=0) + reach / heights
    ranges = [np.arange(-count, count + 1) for count in np.ceil(high - low).astype(int)]
    for shift in np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1).reshape(-1, 3):
        if shift.any():
            moved = fractional + shift
            near = np.flatnonzero(((moved >= low) & (moved <= high)).all(axis=1))
            yield near, moved[near] @ structure.cell


def answered(request: Mapping[str, Any]) -> dict[str, Any]:
    """Measurements of ``model`` with ``atoms`` (a list) or a ``structure`` (a file), ``seconds``
    each; see _requests.

    With ``report``, the command that the user typed, also ``about`` (see the module) and
    ``threads``. With ``found``, all of that and what LAMMPS measured: ``html``, a report on them.
    """
    if "found" in request:
        from .report.of_bench import html

        return {"html": html(request["found"])}
    file = request["structure"]
    try:
        potential = Potential(request["model"])
        structures = _structures(potential, request["atoms"], None if file is None else Path(file))
        sizes = len(request["atoms"]) if file is None else 1
        found = []
        for number, structure in enumerate(structures):
            report(number, sizes, f"{len(structure.species)} atoms")
            found.append(measure(potential, structure, request["seconds"]))
    except ValueError as error:
        raise RefusedError("model", str(error)) from error
    measured = _as_json(potential, found)
    if request.get("report") is None:
        return measured
    from .about import about

    measured["about"] = about(potential, request["report"])
    measured["threads"] = by_threads(potential, found, file, request["seconds"])
    return measured


def by_threads(
    potential: Potential, found: Sequence[Measurement], file: str | None, seconds: float
) -> dict[str, Any]:
    """The time of a step with 1, 2, 4, … threads, up to one for each core.

    atoms: of the largest system that takes less than half a second for a step. measured: for each
    number of threads the milliseconds of a step (median, fastest, slowest). reason: why there are
    none.
    """
    if potential.device != "cpu":
        return _not_measured(f"The model runs on {potential.device}; threads are for CPUs.")
    quick = [one for one in found if one.milliseconds < 500.0]
    chosen = max(quick, key=lambda one: one.atoms) if quick else min(found, key=lambda o: o.atoms)
    measured = []
    for threads in powers_of_two(len(os.sched_getaffinity(0))):
        what = ["--atoms", str(chosen.atoms)] if file is None else ["--structure", file]
        command = [sys.executable, "-m", "torchml_driver.bench"]
        command += [str(potential.model), *what, "--seconds", str(min(seconds, 1.5)), "--json"]
        env = {**os.environ, "KIM_MODEL_NUM_THREADS": str(threads)}
        # In a process of its own: a model keeps the threads that it was loaded with.
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
        if done.returncode != 0:
            return _not_measured(done.stderr.strip().splitlines()[-1])
        (size,) = json.loads(done.stdout)["sizes"]
        times = {name: size[name] for name in ("milliseconds", "fastest", "slowest")}
        measured.append({"threads": threads, **times})
    return {"atoms": chosen.atoms, "measured": measured, "reason": ""}


def powers_of_two(most: int) -> list[int]:
    """1, 2, 4, … and the largest itself."""
    return sorted({2**power for power in range(most.bit_length())} | {most})


def _not_measured(reason: str) -> dict[str, Any]:
    return {"atoms": 0, "measured": [], "reason": reason}


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints a line for each size; 0, or 2 if the model fails."""
    parser = argparse.ArgumentParser(
        prog="python -m torchml_driver.bench", description=(__doc__ or "").split("\n", 1)[0]
    )
    parser.add_argument("model", type=Path, help="portable-model folder or its *.param file")
    parser.add_argument("--atoms", default="32,256,2048", help="numbers of atoms")
    parser.add_argument("--structure", type=Path, help="file with a structure, instead")
    parser.add_argument("--seconds", type=float, default=2.0, help="for each of them")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    given = parser.parse_args(arguments)
    try:
        potential = Potential(given.model)
        atoms = [int(word) for word in given.atoms.split(",")]
        found = []
        for structure in _structures(potential, atoms, given.structure):
            found.append(measure(potential, structure, given.seconds))
            if not given.json:
                print(_line(found[-1]), flush=True)
    except (Error, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if given.json:
        print(json.dumps(_as_json(potential, found)))
    return 0


def _structures(
    potential: Potential, atoms: Sequence[int], file: Path | None
) -> Iterator[Structure]:
    """Of a file, or else crystals with so many atoms each. Raises ValueError, Error."""
    if file is not None:
        yield read(file)
    else:
        yield from (crystal(potential, number) for number in atoms)


def _as_json(potential: Potential, found: Sequence[Measurement]) -> dict[str, Any]:
    derived = [
        {
            **asdict(one),
            "microseconds_per_atom": one.microseconds_per_atom,
            "nanoseconds_per_day": one.nanoseconds_per_day,
        }
        for one in found
    ]
    return {"device": potential.device, "sizes": derived}


def _line(one: Measurement) -> str:
    return (
        f"{one.atoms} atoms, {one.particles} particles: {one.milliseconds:.2f} ms a step "
        f"({one.fastest:.2f} to {one.slowest:.2f}), {one.microseconds_per_atom:.2f} µs an atom, "
        f"{one.peak_memory:.0f} MiB" + ("" if one.graph is None else f", {one.graph.mode}")
    )


if __name__ == "__main__":
    sys.exit(serve(answered) if is_request() else main())
