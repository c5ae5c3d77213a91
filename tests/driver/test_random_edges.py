"""Random periodic systems on models on edges: in all modes as on a plain periodic graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ase.build import bulk

from tests import random_edges
from tests.random_edges import SKIN, codes_of
from tests.support.edge_models import CUTOFF, Directional, on_a_periodic_graph
from tests.support.handed_over import hand_over

pytestmark = pytest.mark.usefixtures("driver_environment")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[int, str], Any]:
    return random_edges.potentials(tmp_path_factory.mktemp("models"))


def check(first: int, number: int, models: dict[tuple[int, str], Any]) -> random_edges.Findings:
    findings = random_edges.Findings()
    for seed in range(first, first + number):
        random_edges.check(random_edges.make_case(seed), models, findings)
    assert findings.wrong == []
    return findings


def test_random_systems_are_right_in_all_modes(models: dict[tuple[int, str], Any]) -> None:
    counts = check(0, 60, models).counts
    for mode in ("auto", "fold"):
        assert any(what.endswith(f"{mode} folded") for what in counts)
    assert any(what.endswith("parts staged") for what in counts)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(1000, 6000, 500))
def test_thousands_of_random_systems_are_right_in_all_modes(
    first: int, models: dict[tuple[int, str], Any]
) -> None:
    check(first, 500, models)


def test_another_ranks_part_of_a_crystal_is_not_taken_for_images(
    models: dict[tuple[int, str], Any],
) -> None:
    """One rank sees a perfect slab, the other one a vacancy in it, too far away for the first."""
    atoms = bulk("Si", cubic=True) * (8, 1, 1)
    atoms.pbc = (True, True, False)
    place = np.array([6.1 * 5.43, 2.7, 2.7])
    del atoms[[int(np.argmin(np.linalg.norm(atoms.positions - place, axis=1)))]]
    first = atoms.positions[:, 0] < 4 * 5.43 - 0.01
    system = hand_over(atoms, 3 * CUTOFF + SKIN, CUTOFF + SKIN)
    expected = on_a_periodic_graph(Directional(), atoms)
    both = system.contributing
    forces, energy = np.zeros((len(atoms), 3)), 0.0
    for half in (first, ~first):
        system.contributing = both * half[system.owner]
        result = system.compute(models[3, "rank"], codes_of(atoms))
        assert models[3, "rank"].graph.mode == "staged"
        assert "several MPI ranks" in models[3, "rank"].graph.reason
        forces += system.on_atoms(result.forces)
        energy += result.energy
    assert energy == pytest.approx(expected.energy, abs=1e-10)
    np.testing.assert_allclose(forces, expected.forces, rtol=0, atol=1e-10)
