"""A small KIM simulator, so that a test sets a model's input exactly: contributing particles,
listed neighbours, requested results, and units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import kimpy
import numpy as np
from ase import Atoms
from ase.neighborlist import neighbor_list

ARGUMENT = kimpy.compute_argument_name


@dataclass
class Particles:
    """A simulator's input, in its own unit of length.

    species: chemical symbols; contributing: (n,) int32; neighbours: one array of indices per
    particle; image_of: (n,) the atom that each particle is, or is an image of.
    """

    species: list[str]
    coordinates: np.ndarray
    contributing: np.ndarray
    neighbours: list[np.ndarray]
    image_of: np.ndarray = field(default_factory=lambda: np.empty(0, int))

    @classmethod
    def of(cls, atoms: Atoms, cutoff: float, skin: float = 0.0) -> Particles:
        """The atoms, then their images within cutoff + skin of an atom."""
        first, second, shifts = neighbor_list("ijS", atoms, cutoff + skin)
        n = len(atoms)
        index_of: dict[tuple[int, ...], int] = {(i, 0, 0, 0): i for i in range(n)}
        listed: list[list[int]] = [[] for _ in range(n)]
        for i, j, shift in zip(first, second, shifts, strict=True):
            key = (int(j), *map(int, shift))
            listed[i].append(index_of.setdefault(key, len(index_of)))
        image_of = np.array([key[0] for key in index_of])
        offsets = np.array([key[1:] for key in index_of]) @ atoms.cell.array
        rows = listed + [[] for _ in range(len(index_of) - n)]
        return cls(
            species=[atoms.get_chemical_symbols()[k] for k in image_of],
            coordinates=atoms.positions[image_of] + offsets,
            contributing=(np.arange(len(index_of)) < n).astype(np.int32),
            neighbours=[np.array(row, dtype=np.int32) for row in rows],
            image_of=image_of,
        )

    def reordered(self, order: Sequence[int] | np.ndarray) -> Particles:
        """The same particles in another order: particle k was particle order[k]."""
        order = np.asarray(order)
        new_index = np.empty(len(order), dtype=np.int32)
        new_index[order] = np.arange(len(order))
        return Particles(
            species=[self.species[k] for k in order],
            coordinates=self.coordinates[order],
            contributing=self.contributing[order],
            neighbours=[new_index[self.neighbours[k]] for k in order],
            image_of=self.image_of[order],
        )

    def scaled(self, factor: float) -> Particles:
        """With coordinates in another unit of length."""
        return Particles(
            self.species,
            self.coordinates * factor,
            self.contributing,
            self.neighbours,
            self.image_of,
        )

    def on_atoms(self, values: np.ndarray) -> np.ndarray:
        """Sums over each atom's images: forces on particles become forces on atoms."""
        total = np.zeros((int(self.image_of.max()) + 1, *values.shape[1:]))
        np.add.at(total, self.image_of, values)
        return total


@dataclass
class Results:
    """The model's results, in the simulator's units; None for those not requested."""

    energy: float | None
    forces: np.ndarray | None
    particle_energies: np.ndarray | None
    virial: np.ndarray | None
    particle_virials: np.ndarray | None


#: The results of every model; only some also give particle virials.
EVERYTHING = ("energy", "forces", "particle_energies", "virial")


class Simulator:
    """One model, by its KIM name.

    Raises RuntimeError if KIM reports that a routine failed.
    """

    def __init__(self, model: str, length: str = "A", energy: str = "eV") -> None:
        accepted, self.model = kimpy.model.create(
            kimpy.numbering.zeroBased,
            getattr(kimpy.length_unit, length),
            getattr(kimpy.energy_unit, energy),
            kimpy.charge_unit.e,
            kimpy.temperature_unit.K,
            kimpy.time_unit.ps,
            model,
        )
        if not accepted:
            raise RuntimeError("the model does not accept the units")

    @property
    def influence_distance(self) -> float:
        return float(self.model.get_influence_distance())

    @property
    def neighbour_hints(self) -> tuple[np.ndarray, np.ndarray]:
        """Cutoffs, and whether each list needs only the rows of contributing particles."""
        cutoffs, hints = self.model.get_neighbor_list_cutoffs_and_hints()
        return np.asarray(cutoffs), np.asarray(hints)

    def species_code(self, symbol: str) -> int | None:
        supported, code = self.model.get_species_support_and_code(
            getattr(kimpy.species_name, symbol)
        )
        return int(code) if supported else None

    def gives_particle_virials(self) -> bool:
        """Whether the model says that they can be requested."""
        arguments = self.model.compute_arguments_create()
        status = arguments.get_argument_support_status(ARGUMENT.partialParticleVirial)
        return bool(status == kimpy.support_status.optional)

    def compute(
        self,
        particles: Particles,
        want: Sequence[str] = EVERYTHING,
    ) -> Results:
        """Requests only the results named in `want`."""
        arguments = self.model.compute_arguments_create()
        n = len(particles.coordinates)
        inputs: list[tuple[Any, np.ndarray]] = [
            (ARGUMENT.numberOfParticles, np.array([n], dtype=np.int32)),
            (
                ARGUMENT.particleSpeciesCodes,
                np.array([self.species_code(s) for s in particles.species], dtype=np.int32),
            ),
            (ARGUMENT.particleContributing, particles.contributing.astype(np.int32)),
            (ARGUMENT.coordinates, np.ascontiguousarray(particles.coordinates, dtype=np.float64)),
        ]
        # Impossible numbers show what a model left unwritten.
        outputs = {
            "energy": (ARGUMENT.partialEnergy, np.full(1, 1e300)),
            "forces": (ARGUMENT.partialForces, np.full((n, 3), 1e300)),
            "particle_energies": (ARGUMENT.partialParticleEnergy, np.full(n, 1e300)),
            "virial": (ARGUMENT.partialVirial, np.full(6, 1e300)),
            "particle_virials": (ARGUMENT.partialParticleVirial, np.full((n, 6), 1e300)),
        }
        wanted = {name: outputs[name] for name in want}
        for argument, array in [*inputs, *wanted.values()]:
            arguments.set_argument_pointer(argument, array)
        for name in set(EVERYTHING) - set(want):
            arguments.set_argument_null_pointer(outputs[name][0])

        def neighbours_of(data: dict[str, Any], *request: Any) -> tuple[np.ndarray, int]:
            return data["rows"][int(request[-1])], 0

        arguments.set_callback(
            kimpy.compute_callback_name.GetNeighborList,
            neighbours_of,
            {"rows": particles.neighbours},
        )
        self.model.compute(arguments, False)  # Python's lock is held: the callback is Python
        energy = wanted.get("energy")
        return Results(
            energy=None if energy is None else float(energy[1][0]),
            **{name: wanted[name][1] if name in wanted else None for name in [*outputs][1:]},
        )
