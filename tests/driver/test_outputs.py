"""Results of a model: the shapes and precisions of energies and forces, and invalid ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.support.force_models import ForcesOfContributing, ForcesReshaped, ForcesTransposed
from tests.support.structures import cluster, primitive_cell, slab
from tests.support.torch_models import (
    BackwardFails,
    NotFiniteAt,
    Springs,
    SpringsByDirection,
    SpringsHalf,
    SpringsInParts,
    SpringsReshaped,
    SpringsWithForces,
    WholeNumbers,
    WrongForcesShape,
    WrongShape,
    write_model,
)

CUTOFF = 3.0
pytestmark = [pytest.mark.usefixtures("in_collection"), pytest.mark.sanitize]


def load(folder: Path, module: torch.nn.Module, **parameters: Any) -> Any:
    import torchml_driver

    return torchml_driver.Potential(write_model(folder, module, **parameters))


def compute(potential: Any, **options: bool) -> Any:
    """The cluster; every third atom belongs to another rank."""
    atoms = cluster()
    contributing = (np.arange(len(atoms)) % 3 != 0).astype(int)
    near = atoms.get_all_distances() < CUTOFF
    np.fill_diagonal(near, False)
    rows = [near[i].nonzero()[0] for i in contributing.nonzero()[0]]
    return potential.compute_particles(
        np.zeros(len(atoms), dtype=int),
        atoms.positions,
        contributing,
        [len(row) for row in rows],
        np.concatenate(rows),
        **options,
    )


def error(action: Any) -> str:
    import torchml_driver

    with pytest.raises(torchml_driver.Error) as caught:
        action()
    return str(caught.value)


@pytest.mark.parametrize(
    "module",
    [
        SpringsInParts(all_particles=False),
        SpringsInParts(all_particles=True),
        SpringsReshaped(-1, 1, 1),
        SpringsReshaped(1, -1),
        SpringsReshaped(1, -1, 1),
    ],
    ids=["[n_c, 3]", "[n, 2, 2]", "[n_c, 1, 1]", "[1, n_c]", "[1, n_c, 1]"],
)
def test_further_dimensions_are_added_up_for_each_particle(
    module: torch.nn.Module, tmp_path: Path
) -> None:
    expected = compute(load(tmp_path / "plain", Springs()), particle_energies=True)
    result = compute(load(tmp_path / "shaped", module), particle_energies=True)
    assert result.energy == pytest.approx(expected.energy, abs=1e-11)
    np.testing.assert_allclose(result.forces, expected.forces, rtol=0, atol=1e-11)
    np.testing.assert_allclose(
        result.particle_energies, expected.particle_energies, rtol=0, atol=1e-11
    )


@pytest.mark.parametrize("particles", [1, 2])
@pytest.mark.parametrize("shape", [(-1,), (-1, 1), (1, -1), (-1, 1, 1)])
def test_few_particles_are_no_special_case(
    shape: tuple[int, ...], particles: int, tmp_path: Path
) -> None:
    """For one particle, [1] is at once a sum, a row per particle and a batch of one."""
    potential = load(tmp_path, SpringsReshaped(*shape))
    positions = [[0.0, 0.0, 0.0], [2.0, 0.0, 0.0]][:particles]
    result = potential.compute(["Si"] * particles, positions, particle_energies=True)
    expected = 0.25 * 2.0 * 0.4**2 * particles if particles > 1 else 0.0
    assert result.energy == pytest.approx(expected, abs=1e-12)
    np.testing.assert_allclose(result.particle_energies, expected / particles, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_summed_in_double(dtype: torch.dtype, tmp_path: Path) -> None:
    expected = compute(load(tmp_path / "double", Springs()))
    potential = load(tmp_path / "half", SpringsHalf(dtype))
    assert potential.precision == 16
    result = compute(potential, particle_energies=True)
    assert result.energy == pytest.approx(expected.energy, rel=0.2)
    # float16 has three digits or fewer; the sum has double precision.
    assert result.energy == result.particle_energies.sum()
    same = torch.tensor(result.particle_energies).to(dtype).double().numpy()
    np.testing.assert_array_equal(same, result.particle_energies)
    assert np.abs(result.forces).max() > 0.1


def test_energies_in_whole_numbers_are_refused(tmp_path: Path) -> None:
    message = error(lambda: compute(load(tmp_path, WholeNumbers()), forces=False))
    for word in ("model.pt", "energies", "Long", "floating-point"):
        assert word in message


def test_a_wrong_shape_is_named_beside_the_right_ones(tmp_path: Path) -> None:
    n = len(cluster())
    n_contributing = n - (n + 2) // 3
    message = error(lambda: compute(load(tmp_path, WrongShape())))
    for text in (f"[{n + 1}]", f"[{n_contributing}]", f"[{n}]"):
        assert text in message
    potential = load(tmp_path, WrongForcesShape(), returns_forces=True)
    message = error(lambda: compute(potential))
    for text in (f"[{n}, 2]", f"[{n}, 3]"):
        assert text in message


@pytest.mark.parametrize(
    "shape", [(-1,), (-1, 1), (1, -1), (-1, 3), (1, -1, 3), (-1, 3, 1), (-1, 1, 3)]
)
def test_forces_in_any_shape_are_those_of_their_particles(
    shape: tuple[int, ...], tmp_path: Path
) -> None:
    expected = compute(load(tmp_path / "gradient", Springs()))
    potential = load(tmp_path / "shaped", ForcesReshaped(*shape), returns_forces=True)
    result = compute(potential)
    np.testing.assert_allclose(result.forces, expected.forces, rtol=0, atol=1e-11)
    np.testing.assert_allclose(result.virial, expected.virial, rtol=0, atol=1e-9)
    for particles in (1, 2, 3, 4):  # 3: the number of directions
        positions = np.array([[0.0, 0.0, 0.0], [1.0, 2.0, 0.0], [0.1, 0.2, 2.1], [1.7, 1.5, 1.4]])
        forces = potential.compute(["Si"] * particles, positions[:particles]).forces
        plain = load(tmp_path / "gradient", Springs())
        expected = plain.compute(["Si"] * particles, positions[:particles]).forces
        np.testing.assert_allclose(forces, expected, rtol=0, atol=1e-12)


def test_forces_in_another_order_are_refused(tmp_path: Path) -> None:
    """The size is right, but particles would get other particles' forces."""
    n = len(cluster())
    potential = load(tmp_path, ForcesTransposed(), returns_forces=True)
    message = error(lambda: compute(potential))
    for text in (f"[3, {n}]", f"[{n}, 3]", "transpose"):
        assert text in message
    potential = load(tmp_path / "pairs", ForcesReshaped(2, -1), returns_forces=True)
    assert f"[2, {3 * n // 2}]" in error(lambda: compute(potential))


@pytest.mark.parametrize("shape", [(-1, 3), (-1,), (1, -1, 3)])
def test_forces_on_contributing_particles_will_do_where_there_are_no_others(
    shape: tuple[int, ...], tmp_path: Path
) -> None:
    """Forces missing on ghosts would be missing on their owners: a silent error."""
    potential = load(tmp_path, ForcesOfContributing(*shape), returns_forces=True)
    atoms = cluster()
    forces = potential.compute(atoms.numbers, atoms.positions).forces
    np.testing.assert_array_equal(forces, atoms.positions**2)
    message = error(lambda: compute(potential))
    for text in ("ghosts", "owners", f"[{len(atoms)}, 3]"):
        assert text in message
    assert compute(potential, forces=False).forces is None


@pytest.mark.parametrize("shape", [(2, -1), (1, 2, -1)])
def test_as_many_numbers_in_another_shape_are_refused(
    shape: tuple[int, ...], tmp_path: Path
) -> None:
    """The driver could only guess which particles they belong to."""
    n = len(cluster())
    assert (n - (n + 2) // 3) % 2 == 0
    assert "shape" in error(lambda: compute(load(tmp_path, SpringsReshaped(*shape))))


def test_the_first_particle_whose_energy_is_not_finite_is_named(tmp_path: Path) -> None:
    message = error(lambda: compute(load(tmp_path, NotFiniteAt(energy=3, force=-1))))
    # Row 3 is the fourth contributing particle: of 1, 2, 4, 5, ...
    assert "particle 5 is not finite" in message
    assert "KIM_MODEL_ELEMENTS_MAP" in message


def test_the_first_particle_whose_force_is_not_finite_is_named(tmp_path: Path) -> None:
    potential = load(tmp_path, NotFiniteAt(energy=-1, force=7))
    assert "particle 7 is not finite" in error(lambda: compute(potential))
    assert np.isfinite(compute(potential, forces=False).energy)


def test_nothing_is_differentiated_for_an_energy(tmp_path: Path) -> None:
    potential = load(tmp_path, BackwardFails())
    result = compute(potential, forces=False, particle_energies=True)
    expected = compute(load(tmp_path / "plain", Springs()), forces=False)
    assert result.energy == pytest.approx(expected.energy, abs=1e-11)
    assert result.forces is None
    assert "gradient of the model in model.pt failed" in error(lambda: compute(potential))


@pytest.mark.parametrize("make", [cluster, slab, primitive_cell])
def test_the_virial_follows_from_the_forces_that_a_model_returns(make: Any, tmp_path: Path) -> None:
    atoms = make()
    arrays = (atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc)
    expected = load(tmp_path / "gradient", Springs()).compute(*arrays)
    potential = load(tmp_path / "forces", SpringsWithForces(), returns_forces=True)
    result = potential.compute(*arrays, particle_energies=True)
    np.testing.assert_allclose(result.forces, expected.forces, rtol=0, atol=1e-10)
    np.testing.assert_allclose(result.virial, expected.virial, rtol=0, atol=1e-9)
    assert np.abs(result.virial).max() > 0.1
    assert result.particle_energies.sum() == pytest.approx(result.energy, abs=1e-10)


def test_the_virial_is_that_of_symmetric_strains(
    tmp_path: Path,
) -> None:
    """The derivatives by both halves of a shear then differ; their mean is what a cell feels."""
    atoms = primitive_cell()
    potential = load(tmp_path, SpringsByDirection())
    found = potential.compute(atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc).virial
    step, derivative = 1e-5, []
    for row, column in ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)):
        energies = []
        for sign in (1, -1):
            strain = np.eye(3)
            strain[row, column] += 0.5 * sign * step
            strain[column, row] += 0.5 * sign * step
            cell, places = atoms.cell.array @ strain, atoms.positions @ strain
            energies.append(potential.compute(atoms.numbers, places, cell, atoms.pbc).energy)
        derivative.append((energies[0] - energies[1]) / (2 * step))
    np.testing.assert_allclose(found, derivative, rtol=0, atol=1e-5)
