"""Every form in which models return energies and forces, for one with a known answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support import DriverEnvironment
from tests.support.structures import cluster, rattled_crystal
from tests.support.torch_models import (
    EnergyWithoutGradient,
    SpeciesAsEnergy,
    Springs,
    SpringsAllParticles,
    SpringsAllParticlesColumn,
    SpringsColumn,
    SpringsOfAnotherName,
    SpringsOfTwoSpecies,
    SpringsSingle,
    SpringsTotal,
    SpringsTotalInList,
    SpringsWithForces,
    write_model,
)

CUTOFF = 3.0
pytestmark = pytest.mark.usefixtures("in_collection")


def springs_by_hand() -> tuple[np.ndarray, np.ndarray]:
    """(particle energies, forces) of Springs in the cluster."""
    x = cluster().positions
    delta = x[None, :, :] - x[:, None, :]
    r = np.linalg.norm(delta, axis=2)
    np.fill_diagonal(r, np.inf)
    near = r < CUTOFF
    stretch = np.where(near, r - 2.4, 0.0)
    energies = (0.5 * stretch**2).sum(axis=1)
    forces = (2.0 * stretch / r)[:, :, None] * delta
    return energies, forces.sum(axis=1)


def compute(model: Path, **options: Any) -> Any:
    import torchml_driver

    atoms = cluster()
    potential = torchml_driver.Potential(model)
    return potential.compute(atoms.numbers, atoms.positions, **options)


PER_PARTICLE = [
    Springs,
    SpringsOfAnotherName,
    SpringsColumn,
    SpringsAllParticles,
    SpringsAllParticlesColumn,
]


@pytest.mark.parametrize("module", [*PER_PARTICLE, SpringsTotal, SpringsTotalInList])
def test_energies_in_any_shape_are_summed(module: type, tmp_path: Path) -> None:
    energies, forces = springs_by_hand()
    result = compute(write_model(tmp_path, module()))
    assert result.energy == pytest.approx(energies.sum(), abs=1e-11)
    np.testing.assert_allclose(result.forces, forces, rtol=0, atol=1e-11)


@pytest.mark.parametrize("module", PER_PARTICLE)
def test_particle_energies_belong_to_their_particles(module: type, tmp_path: Path) -> None:
    """If not all particles contribute."""
    import torchml_driver

    atoms = cluster()
    n = len(atoms)
    contributing = np.ones(n, dtype=int)
    contributing[[0, 3, 4, n - 1]] = 0
    near = np.linalg.norm(atoms.positions[None] - atoms.positions[:, None], axis=2) < CUTOFF
    np.fill_diagonal(near, False)
    rows = [near[i].nonzero()[0] for i in range(n) if contributing[i]]
    result = torchml_driver.Potential(write_model(tmp_path, module())).compute_particles(
        np.zeros(n, dtype=int),
        atoms.positions,
        contributing,
        [len(row) for row in rows],
        np.concatenate(rows),
        particle_energies=True,
    )
    energies, _ = springs_by_hand()
    np.testing.assert_allclose(
        result.particle_energies, energies * contributing, rtol=0, atol=1e-11
    )
    assert result.energy == pytest.approx((energies * contributing).sum(), abs=1e-11)


def test_forces_that_the_model_returns_are_used(tmp_path: Path) -> None:
    energies, forces = springs_by_hand()
    result = compute(write_model(tmp_path, SpringsWithForces(), returns_forces=True))
    assert result.energy == pytest.approx(energies.sum(), abs=1e-11)
    np.testing.assert_allclose(result.forces, forces, rtol=0, atol=1e-11)


def test_forces_that_a_model_returns_unasked_are_left_aside(tmp_path: Path) -> None:
    """The parameter file decides: the forces are then the gradient."""
    energies, forces = springs_by_hand()
    result = compute(write_model(tmp_path, SpringsWithForces(), returns_forces=False))
    assert result.energy == pytest.approx(energies.sum(), abs=1e-11)
    np.testing.assert_allclose(result.forces, forces, rtol=0, atol=1e-11)


def test_a_model_in_single_precision_is_fed_and_read_as_such(tmp_path: Path) -> None:
    energies, forces = springs_by_hand()
    result = compute(write_model(tmp_path, SpringsSingle()), particle_energies=True)
    assert result.forces.dtype == np.float64
    assert result.energy == pytest.approx(energies.sum(), abs=1e-4)
    np.testing.assert_allclose(result.forces, forces, rtol=0, atol=1e-4)
    np.testing.assert_allclose(result.particle_energies, energies, rtol=0, atol=1e-5)
    # Each energy is in single precision; they are summed in double precision.
    assert result.energy == pytest.approx(result.particle_energies.sum(), abs=1e-12)


def test_an_energy_alone_needs_no_gradient(tmp_path: Path) -> None:
    energies, _ = springs_by_hand()
    result = compute(write_model(tmp_path, EnergyWithoutGradient()), forces=False)
    assert result.energy == pytest.approx(energies.sum(), abs=1e-11)


def test_species_codes_follow_the_order_of_the_parameter_file(tmp_path: Path) -> None:
    import torchml_driver

    model = write_model(tmp_path, SpeciesAsEnergy(), elements="3\nTl Ar\nSi")
    potential = torchml_driver.Potential(model)
    assert potential.elements == ["Tl", "Ar", "Si"]
    positions = [[0, 0, 0], [2, 0, 0], [0, 2, 0]]
    result = potential.compute(["Si", "Tl", "Ar"], positions, particle_energies=True)
    assert list(result.particle_energies) == [2, 0, 1]


def test_species_codes_are_atomic_numbers_where_the_user_wants_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torchml_driver

    model = write_model(tmp_path, SpeciesAsEnergy(), elements="2\nSi C")
    positions = [[0, 0, 0], [2, 0, 0]]
    chosen = torchml_driver.Potential(model, atomic_numbers=True)
    monkeypatch.setenv("KIM_MODEL_ELEMENTS_MAP", "yes")
    for potential in (chosen, torchml_driver.Potential(model)):
        result = potential.compute(["C", "Si"], positions, particle_energies=True)
        assert list(result.particle_energies) == [6, 14]


@pytest.mark.parametrize("recorded", [True, False])
def test_a_package_that_records_its_species_codes_needs_nothing_else(
    recorded: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torchml_driver

    def total(**options: bool) -> float:
        potential = torchml_driver.Potential(tmp_path, **options)
        assert potential.atomic_numbers is recorded
        return float(potential.compute(["C", "Si"], [[0, 0, 0], [2, 0, 0]]).energy)

    write_model(tmp_path, SpeciesAsEnergy(), elements="2\nSi C")
    with (tmp_path / "model.param").open("a") as text:
        text.write(f"atomic_numbers {recorded}\n")
    monkeypatch.delenv("KIM_MODEL_ELEMENTS_MAP", raising=False)
    expected = 20.0 if recorded else 1.0
    assert total() == expected
    assert total(atomic_numbers=recorded) == expected
    message = rf"model\.param .*'atomic_numbers {recorded}'.*atomic_numbers={not recorded}"
    with pytest.raises(torchml_driver.Error, match=message):
        total(atomic_numbers=not recorded)
    monkeypatch.setenv("KIM_MODEL_ELEMENTS_MAP", "0" if recorded else "yes")
    with pytest.raises(torchml_driver.Error, match=r"model\.param .*KIM_MODEL_ELEMENTS_MAP="):
        total()
    assert total(atomic_numbers=recorded) == expected  # the caller decides


@pytest.mark.parametrize("value", ["0", "no", "FALSE", "Off"])
def test_a_variable_that_says_no_means_it(
    value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torchml_driver

    write_model(tmp_path, SpeciesAsEnergy(), elements="2\nSi C")
    monkeypatch.setenv("KIM_MODEL_ELEMENTS_MAP", value)
    with pytest.warns(torchml_driver.ModelWarning, match=f"KIM_MODEL_ELEMENTS_MAP is '{value}'"):
        potential = torchml_driver.Potential(tmp_path)
    assert not potential.atomic_numbers


def test_a_failure_that_species_codes_explain_names_who_chose_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torchml_driver

    write_model(tmp_path, SpringsOfTwoSpecies(), elements="2\nSi C")

    def message(**options: bool) -> str:
        potential = torchml_driver.Potential(tmp_path, **options)
        with pytest.raises(torchml_driver.Error) as caught:
            potential.compute(["C", "Si"], [[0, 0, 0], [2, 0, 0]])
        return str(caught.value)

    assert "The caller's atomic_numbers=True" in message(atomic_numbers=True)
    monkeypatch.setenv("KIM_MODEL_ELEMENTS_MAP", "yes")
    said = message()
    assert "index out of range" in said
    assert "KIM_MODEL_ELEMENTS_MAP makes species codes atomic numbers" in said


def test_all_elements_have_their_atomic_numbers(tmp_path: Path) -> None:
    import torchml_driver
    from ase.data import chemical_symbols

    symbols = chemical_symbols[1:119]
    model = write_model(tmp_path, SpeciesAsEnergy(), elements=f"118\n{' '.join(symbols)}")
    potential = torchml_driver.Potential(model, atomic_numbers=True)
    positions = [[5.0 * k, 0.0, 0.0] for k in range(118)]
    result = potential.compute(symbols, positions, particle_energies=True)
    assert list(result.particle_energies) == list(range(1, 119))


def test_a_model_may_stand_in_a_folder_with_any_name(
    driver_environment: DriverEnvironment, tmp_path: Path
) -> None:
    folder = tmp_path / 'it\'s a "model" of silicon, très bon; $HOME'
    energies, _ = springs_by_hand()
    result = compute(write_model(folder, Springs()))
    assert result.energy == pytest.approx(energies.sum(), abs=1e-11)


def test_the_first_result_is_bit_for_bit_that_of_all_later_ones(
    in_collection: DriverEnvironment,
) -> None:
    """A model's first calls give the same as later ones."""
    import torchml_driver

    potential = torchml_driver.Potential(in_collection.packed)
    atoms = rattled_crystal()
    arrays = (atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc)
    first, *others = [potential.compute(*arrays) for _ in range(5)]
    for other in others:
        assert other.energy == first.energy
        np.testing.assert_array_equal(other.forces, first.forces)
