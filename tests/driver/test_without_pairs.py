"""Isolated particles have their own energies, although many models fail for them.

The driver adds padding particles for such models; results do not show them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms

from tests.support import edge_models
from tests.support.graph_models import (
    CUTOFF,
    EveryonesEnergies,
    FailsWithoutEdges,
    FailsWithoutEdgesOnce,
    FailsWithoutEdgesWithForces,
    Messages,
    on_a_plain_graph,
    write_graph_model,
)
from tests.support.torch_models import (
    Complains,
    FailsWithoutPairs,
    FailsWithoutPairsWithForces,
    Springs,
    write_model,
)

pytestmark = pytest.mark.usefixtures("in_collection")

FEWER = "edge_receiver_row 0\ndrop_unused_particles True"


def apart(n: int) -> Atoms:
    """Some near each other, but beyond the cutoff."""
    positions = np.array([[0.0, 0.0, 0.0], [3.01, 0.0, 0.0], [0.0, 3.01, 0.0], [9.0, 8.0, -40.0]])
    return Atoms(["Si", "C", "C", "Si"][:n], positions[:n] - 200.0)


def compute(potential: Any, atoms: Atoms, **wanted: bool) -> Any:
    return potential.compute(atoms.get_chemical_symbols(), atoms.positions, **wanted)


@pytest.mark.parametrize("n", [1, 2, 4])
@pytest.mark.parametrize("settings", ["", FEWER], ids=["all edges", "fewer edges"])
@pytest.mark.parametrize("single", [False, True], ids=["float64", "float32"])
@pytest.mark.parametrize(
    "module", [FailsWithoutEdges, FailsWithoutEdgesOnce, FailsWithoutEdgesWithForces]
)
def test_a_graph_model_that_fails_without_edges_is_given_some(
    module: type, single: bool, settings: str, n: int, tmp_path: Path
) -> None:
    import torchml_driver

    returns = module is FailsWithoutEdgesWithForces
    model = module(2)
    folder = write_graph_model(
        tmp_path,
        model.float() if single else model,
        elements="Si C",
        returns_forces=returns,
        settings=settings,
    )
    potential = torchml_driver.Potential(folder)
    energies, _ = on_a_plain_graph(Messages(2), apart(n), ["Si", "C"])
    tolerance = 1e-5 if single else 1e-12
    wants = module is not FailsWithoutEdgesOnce or n == 1
    for forces in (True, False):
        result = compute(potential, apart(n), forces=forces, particle_energies=wants)
        assert result.energy == pytest.approx(energies.sum(), abs=tolerance)
        if wants:
            np.testing.assert_allclose(result.particle_energies, energies, rtol=0, atol=tolerance)
        if forces:
            np.testing.assert_array_equal(result.forces, np.zeros((n, 3)))
            np.testing.assert_array_equal(result.virial, np.zeros(6))


@pytest.mark.parametrize("single", [False, True], ids=["float64", "float32"])
@pytest.mark.parametrize("n", [1, 2, 4])
def test_a_model_on_edges_that_fails_without_them_is_given_some(
    n: int, single: bool, tmp_path: Path
) -> None:
    import torchml_driver

    model = edge_models.FailsWithoutEdges()
    model = model.float() if single else model
    potential = torchml_driver.Potential(edge_models.write_edge_model(tmp_path, model))
    expected = edge_models.on_a_periodic_graph(edge_models.Directional(), apart(n))
    tolerance = 1e-5 if single else 1e-12
    for forces in (True, False):
        result = compute(potential, apart(n), forces=forces, particle_energies=True)
        assert result.energy == pytest.approx(expected.energy, abs=tolerance)
        np.testing.assert_allclose(
            result.particle_energies, expected.particle_energies, rtol=0, atol=tolerance
        )
        if forces:
            np.testing.assert_array_equal(result.forces, np.zeros((n, 3)))
            np.testing.assert_array_equal(result.virial, np.zeros(6))


@pytest.mark.parametrize("summed", [False, True], ids=["each", "sum"])
@pytest.mark.parametrize("n", [1, 3])
def test_the_company_of_a_model_that_counts_everybody_is_not_counted(
    summed: bool, n: int, tmp_path: Path
) -> None:
    """It ignores `contributing`; the driver must find that its energies' sum stays the same."""
    import torchml_driver

    model = EveryonesEnergies(summed)
    potential = torchml_driver.Potential(write_graph_model(tmp_path, model))
    atoms = apart(n)
    atoms.symbols[:] = "Si"
    energies, _ = on_a_plain_graph(Messages(), atoms, ["Si"])
    for _ in range(2):
        assert compute(potential, atoms).energy == pytest.approx(energies.sum(), abs=1e-11)
    pair = Atoms("Si2", [[0.0, 0.0, 0.0], [2.0, 1.0, 0.0]])
    energies, _ = on_a_plain_graph(Messages(), pair, ["Si"])
    assert compute(potential, pair).energy == pytest.approx(energies.sum(), abs=1e-11)


@pytest.mark.parametrize("n", [1, 2, 4])
@pytest.mark.parametrize("form", ["particles", "all", "sum", "nan", "forces"])
def test_a_model_that_fails_on_an_empty_neighbour_list_is_given_another(
    form: str, n: int, tmp_path: Path
) -> None:
    import torchml_driver

    returns = form == "forces"
    model = FailsWithoutPairsWithForces() if returns else FailsWithoutPairs(form)
    folder = write_model(tmp_path, model, elements="2\nSi C", returns_forces=returns)
    potential = torchml_driver.Potential(folder)
    for forces in (True, False, True):
        wants = form != "sum" or n == 1
        result = compute(potential, apart(n), forces=forces, particle_energies=wants)
        assert result.energy == pytest.approx(-3.0 * n, abs=1e-12)
        if wants:
            np.testing.assert_allclose(result.particle_energies, -3.0, rtol=0, atol=1e-12)
        if forces:
            np.testing.assert_array_equal(result.forces, np.zeros((n, 3)))


def test_a_model_that_needs_no_company_is_left_alone(tmp_path: Path) -> None:
    """Springs without a neighbour have exactly zero energy."""
    import torchml_driver

    folder = write_model(tmp_path, Springs(), elements="2\nSi C")
    result = compute(torchml_driver.Potential(folder), apart(3), particle_energies=True)
    assert result.energy == 0.0
    assert not result.particle_energies.any()


def test_a_model_that_fails_with_company_too_says_what_it_says_without(tmp_path: Path) -> None:
    import torchml_driver

    folder = write_model(tmp_path, Complains(), elements="2\nSi C")
    with pytest.raises(torchml_driver.Error, match="this model never works"):
        compute(torchml_driver.Potential(folder), apart(2))


@pytest.mark.parametrize("settings", ["", FEWER], ids=["all edges", "fewer edges"])
def test_ghosts_out_of_reach_change_nothing(settings: str, tmp_path: Path) -> None:
    """As on an MPI rank whose particles have no neighbours, but whose ghosts do."""
    import torchml_driver

    folder = write_graph_model(tmp_path, FailsWithoutEdges(), settings=settings)
    positions = np.array([[20.0, 0.0, 0.0], [22.0, 1.0, 0.0], [0.0, 0.0, 0.0], [21.0, 2.0, 1.0]])
    near = np.linalg.norm(positions[:, None] - positions, axis=2) < CUTOFF
    np.fill_diagonal(near, False)
    result = torchml_driver.Potential(folder).compute_particles(
        [0] * 4,
        positions,
        [0, 0, 1, 0],
        near.sum(axis=1),
        np.concatenate([row.nonzero()[0] for row in near]),
        particle_energies=True,
    )
    energies, _ = on_a_plain_graph(Messages(), Atoms("Si"), ["Si"])
    assert result.energy == pytest.approx(energies.sum(), abs=1e-12)
    np.testing.assert_allclose(result.particle_energies, [0, 0, energies.sum(), 0], atol=1e-12)
    assert not result.forces.any()


@pytest.mark.parametrize("far", [0.0, 1e5, 1e12, 1e300])
def test_company_is_there_however_far_the_particles_are(far: float, tmp_path: Path) -> None:
    import torchml_driver

    potential = torchml_driver.Potential(write_graph_model(tmp_path, FailsWithoutEdges().float()))
    result = potential.compute_particles([0], [[far, -far, 0.0]], [1], [0], [])
    energies, _ = on_a_plain_graph(Messages(), Atoms("Si"), ["Si"])
    assert result.energy == pytest.approx(energies.sum(), abs=1e-5)
