"""A simulator's periodic images are found to be images: folded and staged graphs agree."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from tests.support.edge_models import (
    CUTOFF,
    ELEMENTS,
    LAYERS,
    Directional,
    Edges,
    on_a_periodic_graph,
    write_edge_model,
)
from tests.support.handed_over import HandedOver, hand_over
from tests.support.structures import slab, strained_triclinic_crystal

pytestmark = pytest.mark.usefixtures("driver_environment")

MODES = ("auto", "fold", "stage")
SKIN = 0.5
#: Å around atoms that a simulator has images in, by mode.
REACH = {"auto": LAYERS * CUTOFF, "stage": LAYERS * CUTOFF, "fold": CUTOFF}
MODEL = Directional()


def load_in_mode(folder: Path, module: Any, mode: str) -> Any:
    import torchml_driver

    before = os.environ.get("KIM_MODEL_GHOSTS")
    os.environ["KIM_MODEL_GHOSTS"] = mode
    try:
        return torchml_driver.Potential(write_edge_model(folder, module))
    finally:
        del os.environ["KIM_MODEL_GHOSTS"]
        if before is not None:
            os.environ["KIM_MODEL_GHOSTS"] = before


@pytest.fixture(scope="module")
def potentials(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("folding")
    return {mode: load_in_mode(folder / mode, MODEL, mode) for mode in MODES}


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Callable[[HandedOver, Atoms], int]:
    """How many nodes the model gets in the mode auto, which shows whether anything was folded.
    With the owners that were found before: it has the potentials' history."""
    potential = load_in_mode(tmp_path_factory.mktemp("nodes"), Edges("nodes"), "auto")

    def count(system: HandedOver, atoms: Atoms) -> int:
        result = system.compute(potential, codes_of(atoms), particle_energies=True)
        return int(result.particle_energies.max())

    return count


def codes_of(atoms: Atoms) -> np.ndarray:
    return np.array([ELEMENTS.index(name) for name in atoms.get_chemical_symbols()])


def compare(
    atoms: Atoms, systems: Mapping[str, HandedOver], potentials: Mapping[str, Any]
) -> dict[str, float]:
    """By mode, the largest difference from a plain periodic graph, relative to the largest force or
    virial; modes that refuse the system are left out."""
    from torchml_driver import Error

    expected = on_a_periodic_graph(MODEL, atoms)
    scale = max(1.0, abs(expected.energy), np.abs(expected.forces).max())
    wide = max(scale, np.abs(expected.particle_virials).max(), np.abs(expected.virial).max())
    worst = {}
    for mode, system in systems.items():
        try:
            found = system.compute(
                potentials[mode], codes_of(atoms), particle_energies=True, particle_virials=True
            )
        except Error:
            assert mode == "fold"
            continue
        worst[mode] = max(
            abs(found.energy - expected.energy) / scale,
            np.abs(system.on_atoms(found.forces) - expected.forces).max() / scale,
            np.abs(system.on_atoms(found.particle_energies) - expected.particle_energies).max()
            / scale,
            np.abs(found.virial - expected.virial).max() / wide,
            np.abs(found.particle_virials.sum(axis=0) - expected.virial).max() / wide,
        )
    return worst


def everywhere(
    atoms: Atoms, random: np.random.Generator | None, modes: tuple[str, ...] = MODES
) -> dict[str, HandedOver]:
    """As much as each mode asks a simulator for."""
    return {mode: hand_over(atoms, REACH[mode] + SKIN, CUTOFF + SKIN, random) for mode in modes}


def random_system(random: np.random.Generator) -> Atoms:
    kind = random.integers(8)
    if kind == 0:
        atoms = bulk("Si", cubic=True) * tuple(random.integers(1, 3, 3))
    elif kind == 1:
        atoms = bulk("Si")
    elif kind == 2:
        atoms = bulk("Si") * tuple(random.integers(1, 4, 3))
        atoms.set_cell(atoms.cell.array + random.normal(0, 0.7, (3, 3)), scale_atoms=True)
    elif kind == 3:
        n = int(random.integers(1, 25))
        cell = np.diag(random.uniform(3, 9, 3)) + np.triu(random.uniform(-4, 4, (3, 3)), 1)
        atoms = Atoms(f"Si{n}", cell=cell, pbc=True)
        atoms.set_scaled_positions(random.random((n, 3)))
    elif kind == 4:
        atoms = bulk("Si", cubic=True) * (2, 1, 1)
        atoms.pbc = random.random(3) < 0.5
    elif kind == 5:
        n = int(random.integers(1, 4))
        cell = np.diag(random.uniform(2.5, 12, 3))
        atoms = Atoms(f"Si{n}", cell=cell, pbc=random.random(3) < 0.7)
        atoms.set_scaled_positions(random.random((n, 3)))
    elif kind == 6:
        atoms = bulk("Si", cubic=True) * (2, 2, 1)
        del atoms[[int(random.integers(len(atoms)))]]
    else:
        atoms = bulk("Cu", "hcp", a=2.6, c=4.2) * tuple(random.integers(1, 3, 3))
        atoms.symbols = ["Si"] * len(atoms)
    if random.random() < 0.6:
        atoms.positions += random.normal(0, 10.0 ** random.uniform(-12, -0.8), (len(atoms), 3))
    if random.random() < 0.5:
        atoms.symbols = random.choice(ELEMENTS, len(atoms))
    if random.random() < 0.3:
        atoms.positions += random.normal(0, 1000.0, 3)
    if random.random() < 0.3:
        atoms.wrap()
    return atoms


def check_random_systems(
    random: np.random.Generator, number: int, potentials: Mapping[str, Any]
) -> None:
    refused = 0
    for index in range(number):
        atoms = random_system(random)
        order = random if random.random() < 0.7 else None
        worst = compare(atoms, everywhere(atoms, order), potentials)
        refused += "fold" not in worst
        # Displacements of 1e-9 Å and less are no displacements where owners are sought.
        assert max(worst.values()) < 1e-7, (index, atoms, worst)
    assert refused < number / 2


@pytest.mark.parametrize("seed", range(4))
def test_all_modes_give_what_the_model_gives_on_a_plain_periodic_graph(
    seed: int, potentials: Mapping[str, Any]
) -> None:
    check_random_systems(np.random.default_rng(seed), 15, potentials)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 110))
def test_thousands_of_systems_are_right_in_all_modes(
    seed: int, potentials: Mapping[str, Any]
) -> None:
    check_random_systems(np.random.default_rng(seed), 300, potentials)


def rattled() -> Atoms:
    atoms = bulk("Si", cubic=True) * (2, 1, 1)
    atoms.rattle(0.1, seed=3)
    atoms.symbols = np.random.default_rng(2).choice(ELEMENTS, len(atoms))
    return atoms


@pytest.mark.parametrize("make", [rattled, slab, strained_triclinic_crystal])
def test_a_rattled_system_is_folded_and_not_refused(
    make: Callable[[], Atoms],
    potentials: Mapping[str, Any],
    nodes: Callable[[HandedOver, Atoms], int],
) -> None:
    atoms = make()
    systems = everywhere(atoms, np.random.default_rng(3))
    worst = compare(atoms, systems, potentials)
    assert set(worst) == set(MODES)
    assert max(worst.values()) < 1e-9
    assert nodes(systems["auto"], atoms) == len(atoms)


@pytest.mark.parametrize("side", [2.7, 3.3, 6.2, 9.4])
@pytest.mark.parametrize("periodic", [(True, True, True), (True, False, False)])
def test_one_atom_in_a_cell_of_any_size_can_be_folded(
    side: float, periodic: tuple[bool, bool, bool], potentials: Mapping[str, Any]
) -> None:
    """The more so where few images are near enough to be passed."""
    atoms = Atoms("Si", [[0.1, 0.2, 0.3]], cell=[side, 1.03 * side, 1.11 * side], pbc=periodic)
    worst = compare(atoms, everywhere(atoms, None), potentials)
    assert set(worst) == set(MODES)
    assert max(worst.values()) < 1e-10


def test_another_ranks_particles_are_staged(
    potentials: Mapping[str, Any], nodes: Callable[[HandedOver, Atoms], int]
) -> None:
    """Half of the atoms contribute here; parts of two ranks add up to the whole."""
    from torchml_driver import Error

    atoms = rattled() * (2, 1, 1)
    atoms.rattle(0.05, seed=8)  # the halves are no images of each other
    expected = on_a_periodic_graph(MODEL, atoms)
    system = hand_over(atoms, REACH["auto"] + SKIN, CUTOFF + SKIN, np.random.default_rng(1))
    mine = np.arange(len(atoms)) < len(atoms) // 2
    both = system.contributing
    energy, forces = 0.0, np.zeros((len(atoms), 3))
    for half in (mine, ~mine):
        system.contributing = both * half[system.owner]
        result = system.compute(potentials["auto"], codes_of(atoms))
        staged = system.compute(potentials["stage"], codes_of(atoms))
        np.testing.assert_array_equal(result.forces, staged.forces)
        energy += result.energy
        forces += system.on_atoms(result.forces)
        with pytest.raises(Error, match=r"KIM_MODEL_GHOSTS is fold.*not a periodic image.*rank"):
            system.compute(potentials["fold"], codes_of(atoms))
    assert energy == pytest.approx(expected.energy, abs=1e-9)
    np.testing.assert_allclose(forces, expected.forces, rtol=0, atol=1e-9)
    assert nodes(system, atoms) > len(atoms)


@pytest.mark.parametrize("distance", [1e-6, 1e-3, 0.3])
def test_a_displaced_image_is_a_particle_by_itself(
    distance: float, potentials: Mapping[str, Any]
) -> None:
    """At the first step, and between steps."""
    from torchml_driver import Error

    atoms = rattled()
    codes = codes_of(atoms)
    for first in (False, True):
        system = hand_over(atoms, REACH["auto"] + SKIN, CUTOFF + SKIN)
        if not first:
            for mode in MODES:
                system.compute(potentials[mode], codes)
        system.coordinates[len(atoms) + 5] += [0.0, distance, 0.0]
        result = system.compute(potentials["auto"], codes)
        staged = system.compute(potentials["stage"], codes)
        assert result.energy == staged.energy
        np.testing.assert_array_equal(result.forces, staged.forces)
        with pytest.raises(Error, match="KIM_MODEL_GHOSTS is fold"):
            system.compute(potentials["fold"], codes)


def test_an_image_of_another_species_is_a_particle_by_itself(
    potentials: Mapping[str, Any],
) -> None:
    atoms = rattled()
    system = hand_over(atoms, REACH["auto"] + SKIN, CUTOFF + SKIN)
    particles = codes_of(atoms)[system.owner]
    arrays = (system.contributing, system.counts, system.neighbours)
    for k in (0, 1):  # the image is another element only in the second step
        particles[len(atoms) + 5] ^= k
        results = [
            potentials[mode].compute_particles(particles, system.coordinates, *arrays)
            for mode in ("auto", "stage")
        ]
        assert results[0].energy == pytest.approx(results[1].energy, abs=1e-10)
        # Folded, forces on one particle and its images may be shared out in another way.
        one, other = (
            system.on_atoms(result.forces) if k == 0 else result.forces for result in results
        )
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-10)


def test_a_box_may_change_from_step_to_step(potentials: Mapping[str, Any]) -> None:
    """As with a barostat: particles stay what they are, and the cell changes size and shape."""
    random = np.random.default_rng(4)
    atoms = rattled()
    systems = everywhere(atoms, random)
    for _ in range(12):
        strain = np.eye(3) + random.normal(0, 0.004, (3, 3))
        atoms.set_cell(atoms.cell.array @ strain, scale_atoms=True)
        atoms.positions += random.normal(0, 0.01, atoms.positions.shape)
        for system in systems.values():
            system.move(atoms)
        worst = compare(atoms, systems, potentials)
        assert set(worst) == set(MODES)
        assert max(worst.values()) < 1e-9


def test_particles_come_go_and_change_places(potentials: Mapping[str, Any]) -> None:
    random = np.random.default_rng(5)
    atoms = rattled() * (1, 1, 2)
    atoms.rattle(0.05, seed=9)
    systems = everywhere(atoms, random)
    for step in range(24):
        what = step % 4
        if what == 0:  # moves, with the same lists
            atoms.positions += random.normal(0, 0.02, atoms.positions.shape)
            for system in systems.values():
                system.move(atoms)
        elif what == 1:  # one leaves
            del atoms[[int(random.integers(len(atoms)))]]
            systems = everywhere(atoms, random)
        elif what == 2:  # two change places, or species
            i, j = random.choice(len(atoms), 2, replace=False)
            if step % 8 == 2:
                atoms.positions[[i, j]] = atoms.positions[[j, i]]
            else:
                atoms.numbers[[i, j]] = atoms.numbers[[j, i]]
            systems = everywhere(atoms, None)
        else:  # one enters
            atoms += Atoms("C", [random.random(3) @ atoms.cell.array])
            systems = everywhere(atoms, random)
        worst = compare(atoms, systems, potentials)
        assert max(worst.values()) < 1e-9, step


def test_species_may_be_swapped_while_nothing_moves(potentials: Mapping[str, Any]) -> None:
    """As in Monte Carlo: the same particles, lists and places."""
    atoms = rattled()
    systems = everywhere(atoms, np.random.default_rng(6))
    for seed in range(5):
        atoms.symbols = np.random.default_rng(seed).permutation(atoms.get_chemical_symbols())
        worst = compare(atoms, systems, potentials)
        assert set(worst) == set(MODES)
        assert max(worst.values()) < 1e-10


def test_two_particles_at_one_place_are_two(potentials: Mapping[str, Any]) -> None:
    """Which of them is whose image nobody can know: each has its own force."""
    from torchml_driver import Error

    atoms = rattled()
    atoms.positions[3] = atoms.positions[5]
    atoms.symbols[[3, 5]] = "Si"
    systems = everywhere(atoms, None)
    codes = codes_of(atoms)
    expected = on_a_periodic_graph(MODEL, atoms)
    for mode in ("auto", "stage"):
        result = systems[mode].compute(potentials[mode], codes)
        assert result.energy == pytest.approx(expected.energy, abs=1e-10)
        forces = systems[mode].on_atoms(result.forces)
        np.testing.assert_allclose(forces, expected.forces, rtol=0, atol=1e-10)
    with pytest.raises(Error, match="at the same place"):
        systems["fold"].compute(potentials["fold"], codes)
    atoms.symbols[3] = "C"  # told apart by their species
    worst = compare(atoms, everywhere(atoms, None), potentials)
    assert set(worst) == set(MODES)
    assert max(worst.values()) < 1e-10


@pytest.mark.parametrize("skew", [0.0, 5.43])
def test_a_vacancy_far_from_the_boundary_is_not_multiplied(
    skew: float, potentials: Mapping[str, Any]
) -> None:
    """All that ghosts show is a perfect crystal, which has many lattices."""
    atoms = bulk("Si", cubic=True) * (3, 3, 2)
    atoms.cell[1, 0] += skew
    middle = atoms.positions.mean(axis=0)
    del atoms[[int(np.argmin(np.linalg.norm(atoms.positions - middle, axis=1)))]]
    worst = compare(atoms, everywhere(atoms, np.random.default_rng(7)), potentials)
    assert max(worst.values()) < 1e-9


CRYSTALS = {
    "diamond": bulk("Si", cubic=True) * (2, 2, 2),
    "larger": bulk("Si", cubic=True) * (4, 3, 3),
    "primitive": bulk("Si") * (3, 3, 2),
    "compounds": bulk("SiC", "zincblende", a=4.36, cubic=True) * (2, 2, 2),
    "one atom": bulk("Si", "bcc", a=3.1),
}


@pytest.mark.parametrize("name", CRYSTALS)
def test_a_perfect_crystal_can_be_folded(name: str, potentials: Mapping[str, Any]) -> None:
    """Many owners fit each image, and all have the same surroundings."""
    atoms = CRYSTALS[name].copy()
    worst = compare(atoms, everywhere(atoms, np.random.default_rng(7)), potentials)
    assert set(worst) == set(MODES)
    assert max(worst.values()) < 1e-9


def test_a_cluster_that_looks_like_a_crystal_is_none(potentials: Mapping[str, Any]) -> None:
    """Ghosts that are copies of contributing particles, but end where no crystal would: staged."""
    atoms = bulk("Cu", a=3.2, cubic=True)
    atoms.rattle(0.1, seed=3)
    atoms.symbols = ["Si", "C", "Si", "C"]
    atoms.pbc = False
    system = hand_over(atoms, 100.0, CUTOFF + SKIN, copies=(1, 0, 0))
    assert len(system.owner) == 3 * len(atoms)
    results = [system.compute(potentials[mode], codes_of(atoms)) for mode in ("auto", "stage")]
    whole = atoms * (3, 1, 1)
    periodic = atoms.copy()
    periodic.pbc = (True, False, False)
    expected = on_a_periodic_graph(MODEL, periodic)
    parts = on_a_periodic_graph(MODEL, whole).particle_energies[len(atoms) : 2 * len(atoms)]
    assert abs(parts.sum() - expected.energy) > 1e-4  # it makes a difference
    for result in results:
        assert result.energy == pytest.approx(parts.sum(), abs=1e-10)
    np.testing.assert_array_equal(results[0].forces, results[1].forces)


@pytest.mark.parametrize("far", [1e6, 1e12, 1e30, 1e200])
def test_a_particle_that_flew_away_takes_no_time(far: float, potentials: Mapping[str, Any]) -> None:
    atoms = rattled()
    codes = codes_of(atoms)
    system = hand_over(atoms, REACH["auto"] + SKIN, CUTOFF + SKIN)
    system.owner = np.append(system.owner, 0)
    system.coordinates = np.vstack([system.coordinates, [[far, 0.0, 0.0]]])
    system.contributing = np.append(system.contributing, 1)
    system.counts = np.append(system.counts, 0)
    results = [system.compute(potentials[mode], codes) for mode in ("auto", "stage")]
    assert results[0].energy == pytest.approx(results[1].energy, abs=1e-9)


def test_a_mode_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    from torchml_driver import Error

    with pytest.raises(Error, match=r"KIM_MODEL_GHOSTS.*auto.*fold.*stage"):
        load_in_mode(tmp_path, MODEL, "wrap")
