"""Pairs that are missing from a simulator's neighbour lists are noticed."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms

from tests.support.descriptor_models import TanhNetwork, write_descriptor_model
from tests.support.edge_models import Directional, write_edge_model
from tests.support.graph_models import Messages, write_graph_model
from tests.support.structures import STRUCTURES, cluster
from tests.support.torch_models import Springs, write_model

pytestmark = pytest.mark.usefixtures("in_collection")

MODELS: dict[str, Callable[[Path], Path]] = {
    "lists": lambda folder: write_model(folder, Springs()),
    "graphs": lambda folder: write_graph_model(folder, Messages()),
    "edges": lambda folder: write_edge_model(folder, Directional()),
    "descriptors": lambda folder: write_descriptor_model(folder, TanhNetwork(15), "every_kind"),
}


def load(folder: Path, kind: str) -> Any:
    import torchml_driver

    return torchml_driver.Potential(MODELS[kind](folder))


def middle_of(atoms: Atoms) -> int:
    return int(np.argmin(np.linalg.norm(atoms.positions - atoms.positions.mean(axis=0), axis=1)))


def with_lists(potential: Any, atoms: Atoms, left_out: int = 0, ghosts: int = 0) -> Any:
    """Computes a cluster, with a skin, and without the central particle's shortest pairs."""
    distances = atoms.get_all_distances()
    np.fill_diagonal(distances, np.inf)
    listed = distances < potential.cutoff + 0.5
    middle = middle_of(atoms)
    nearest = np.argsort(distances[middle])[:left_out]
    listed[middle, nearest] = listed[nearest, middle] = False
    contributing = np.ones(len(atoms), dtype=int)
    contributing[len(atoms) - ghosts :] = 0
    rows = [row.nonzero()[0] for row in listed]
    return potential.compute_particles(
        np.zeros(len(atoms), dtype=int),
        atoms.positions,
        contributing,
        [len(row) for row in rows],
        np.concatenate(rows),
    )


@pytest.mark.parametrize("kind", MODELS)
def test_the_user_hears_of_pairs_that_are_left_out_once(kind: str, tmp_path: Path) -> None:
    from torchml_driver.potential import ModelWarning

    potential = load(tmp_path, kind)
    atoms = cluster()
    with pytest.warns(ModelWarning, match="special_bonds.*neigh_modify exclude") as caught:
        with_lists(potential, atoms, left_out=2)
    (told,) = caught
    # The descriptors' own cutoff is shorter than the model's.
    cutoff = 4.0 if kind == "descriptors" else potential.cutoff
    near = np.count_nonzero(atoms.get_all_distances() < cutoff) - len(atoms)
    assert f"leave out 4 of the {near} neighbours within the cutoff" in str(told.message)
    middle = middle_of(atoms)
    one, other = np.argsort(atoms.get_distances(middle, range(len(atoms))))[1:3]
    pairs = [{middle, one}, {middle, other}]
    found = re.search(r"particles (\d+) and (\d+), for example", str(told.message))
    assert found is not None
    assert {int(found[1]), int(found[2])} in pairs
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with_lists(potential, atoms, left_out=2)
        with_lists(potential, atoms, left_out=1)


@pytest.mark.parametrize("kind", MODELS)
def test_lists_that_change_later_are_looked_at_again(kind: str, tmp_path: Path) -> None:
    from torchml_driver.potential import ModelWarning

    potential = load(tmp_path, kind)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(3):
            with_lists(potential, cluster())
            with_lists(potential, cluster(), ghosts=9)
    with pytest.warns(ModelWarning, match="leave out 2 of"):
        with_lists(potential, cluster(), left_out=1)


@pytest.mark.parametrize("ghosts", [0, 20])
@pytest.mark.parametrize("kind", MODELS)
def test_complete_lists_are_never_complained_about(kind: str, ghosts: int, tmp_path: Path) -> None:
    """For particles at any place, also with pairs exactly at the cutoff."""
    potential = load(tmp_path, kind)
    random = np.random.default_rng(2)
    square = Atoms("Si27", np.stack(np.meshgrid(*[np.arange(3.0)] * 3), -1).reshape(-1, 3))
    square.positions *= potential.cutoff
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for atoms in (cluster(), square):
            for far in (0.0, 1e3, 1e7):
                for _ in range(3):
                    moved = atoms.copy()
                    moved.positions += far * random.normal(size=3)
                    with_lists(potential, moved[random.permutation(len(moved))], ghosts=ghosts)


def test_lists_of_our_own_are_complete(tmp_path: Path) -> None:
    potential = load(tmp_path, "lists")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for make in STRUCTURES.values():
            atoms = make()
            potential.compute(atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc)


def test_a_pair_left_out_among_many_steps_is_found_within_few_of_them(tmp_path: Path) -> None:
    """Only some changes of the lists are checked."""
    from torchml_driver.potential import ModelWarning

    potential = load(tmp_path, "lists")
    atoms = cluster()
    for step in range(200):
        with_lists(potential, atoms[: len(atoms) - step % 2])

    def some_steps() -> None:
        for step in range(2 * 64):
            with_lists(potential, atoms[: len(atoms) - step % 2], left_out=1)

    with pytest.warns(ModelWarning):
        some_steps()
