"""A model's results do not depend on the position of the origin, whatever its precision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms

from tests.support.edge_models import Directional, write_edge_model
from tests.support.graph_models import CUTOFF, Messages, on_a_plain_graph, write_graph_model
from tests.support.structures import cluster, rattled_crystal
from tests.support.torch_models import Springs, write_model

pytestmark = pytest.mark.usefixtures("in_collection")

FEWER = "edge_receiver_row 0\ndrop_unused_particles True"
PLACES = [5000.3, -50000.7, 1e6 + 0.1]  # Å; none of them is a float32 number


class SmoothSprings(Springs):
    """Springs that vanish smoothly at the cutoff, in the type of their weights."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(1, dtype=dtype))

    def energies(
        self,
        coords: torch.Tensor,
        n_neigh: torch.Tensor,
        nlist: torch.Tensor,
        contributing: torch.Tensor,
    ) -> torch.Tensor:
        row = torch.repeat_interleave(torch.arange(n_neigh.size(0)), n_neigh.long())
        owner = contributing.nonzero().view(-1).index_select(0, row)
        delta = coords.index_select(0, nlist.long()) - coords.index_select(0, owner)
        pair = self.scale * (9.0 - (delta * delta).sum(1)) ** 2 / 32.0
        return torch.zeros(n_neigh.size(0), dtype=coords.dtype).index_add(0, row, pair)


def load(folder: Path, convention: str, dtype: torch.dtype) -> Any:
    import torchml_driver

    if convention == "lists":
        return torchml_driver.Potential(write_model(folder, SmoothSprings(dtype), cutoff=CUTOFF))
    if convention == "edges":
        return torchml_driver.Potential(write_edge_model(folder, Directional(dtype=dtype)))
    settings = FEWER if convention == "few edges" else ""
    model = Messages().to(dtype)
    return torchml_driver.Potential(write_graph_model(folder, model, settings=settings))


def compute(potential: Any, atoms: Atoms, shift: float = 0.0) -> Any:
    positions = atoms.positions + shift * np.array([1.0, -0.7, 0.3])
    return potential.compute(atoms.get_chemical_symbols(), positions, atoms.cell.array, atoms.pbc)


CONVENTIONS = ["lists", "all edges", "few edges", "edges"]


# In float64, the rounding of coordinates at a million Å.
@pytest.mark.parametrize(
    ("convention", "dtype", "tolerance"),
    [
        *((convention, torch.float64, 1e-7) for convention in CONVENTIONS),
        *((convention, torch.float32, 1e-4) for convention in CONVENTIONS),
        ("lists", torch.float16, 0.3),
        ("lists", torch.bfloat16, 2.0),
    ],
)
def test_a_crystal_far_from_the_origin_has_the_same_forces(
    tmp_path: Path, convention: str, dtype: torch.dtype, tolerance: float
) -> None:
    atoms = rattled_crystal()
    exact = compute(load(tmp_path / "exact", convention, torch.float64), atoms)
    potential = load(tmp_path / "model", convention, dtype)
    for shift in (0.0, *PLACES):
        result = compute(potential, atoms, shift)
        np.testing.assert_allclose(result.forces, exact.forces, rtol=0, atol=tolerance)
        np.testing.assert_allclose(result.virial, exact.virial, rtol=0, atol=30 * tolerance)
        assert result.energy == pytest.approx(exact.energy, abs=10 * tolerance)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_parts_far_from_each_other_keep_their_digits(tmp_path: Path, convention: str) -> None:
    """The space between them is empty; the model gets them closer, but beyond its cutoff."""
    here, there = cluster(), cluster()
    there.rotate(40.0, "z")
    expected = [on_a_plain_graph(Messages(), atoms, ["Si"])[1] for atoms in (here, there)]
    exact = load(tmp_path / "exact", convention, torch.float64)
    potential = load(tmp_path / "model", convention, torch.float32)
    for apart in (6.1, 12.0, 500.0, 70000.0):
        both = here.copy()
        both += there
        edge = np.ptp(here.positions[:, 0]) + np.ptp(there.positions[:, 0])
        both.positions[len(here) :, 0] += edge + apart
        result = compute(potential, both)
        of_messages = convention in ("all edges", "few edges")
        forces = np.concatenate(expected) if of_messages else compute(exact, both).forces
        np.testing.assert_allclose(result.forces, forces, rtol=0, atol=1e-4)


def test_neither_long_boxes_nor_single_particles_bring_others_within_reach(tmp_path: Path) -> None:
    """Particles in a row, hundreds of Å long, with gaps of every size."""
    gaps = np.concatenate([np.linspace(0.5, 1.5, 40), np.linspace(1.9, 2.1, 20), [2.6, 30.0, 90.0]])
    positions = np.zeros((len(gaps) + 1, 3))
    positions[1:, 1] = np.cumsum(CUTOFF * gaps)
    atoms = Atoms("Si" * len(positions), positions=positions)
    single = load(tmp_path / "single", "all edges", torch.float32)
    exact = load(tmp_path / "exact", "all edges", torch.float64)
    assert np.ptp(positions) > 500.0
    result, expected = compute(single, atoms), compute(exact, atoms)
    np.testing.assert_allclose(result.forces, expected.forces, rtol=0, atol=1e-3)
    assert result.energy == pytest.approx(expected.energy, rel=1e-5)


@pytest.mark.parametrize("far", [2e3, 5e4, 5e8])
@pytest.mark.parametrize("periodic", [False, (False, True, False)], ids=["open", "one direction"])
def test_molecules_very_far_apart_do_not_end_python(
    periodic: Any, far: float, tmp_path: Path
) -> None:
    """Flat systems: a neighbour search may not have memory for all the space between them."""
    triangle = np.array([[0.0, 0.0, 0.0], [2.1, 0.0, 0.0], [1.0, 2.0, 0.0]])
    directions = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [-1.0, 0.0, 1.0]])
    atoms = Atoms("Si3", triangle, cell=[0.0, 9.0, 0.0], pbc=periodic)
    potential = load(tmp_path, "all edges", torch.float64)
    expected = compute(potential, atoms)
    many = Atoms(
        "Si12", (triangle + far * directions[:, None]).reshape(-1, 3), cell=atoms.cell, pbc=periodic
    )
    result = compute(potential, many)
    digits = 1e-15 * far
    assert result.energy == pytest.approx(4 * expected.energy, abs=1e-9 + 1e2 * digits)
    forces = np.tile(expected.forces, (4, 1))
    np.testing.assert_allclose(result.forces, forces, rtol=0, atol=1e-9 + 1e2 * digits)
