"""The Python module's ASE calculator, without KIM."""

from __future__ import annotations

import copy
import io
import multiprocessing
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.calculator import (
    CalculatorSetupError,
    InputError,
    PropertyNotImplementedError,
)
from ase.calculators.fd import FiniteDifferenceCalculator
from ase.calculators.kim import KIM
from ase.calculators.mixing import AverageCalculator, SumCalculator
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms
from ase.db import connect
from ase.eos import EquationOfState
from ase.filters import ExpCellFilter, FrechetCellFilter, UnitCellFilter
from ase.io.trajectory import Trajectory
from ase.md.langevin import Langevin
from ase.md.nose_hoover_chain import NoseHooverChainNVT
from ase.md.nptberendsen import NPTBerendsen
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.md.verlet import VelocityVerlet
from ase.mep import NEB
from ase.optimize import BFGS, FIRE

from tests.support import SANITIZER_SETTINGS, DriverEnvironment
from tests.support.descriptor_models import TanhNetwork, write_descriptor_model
from tests.support.structures import (
    ENERGY_TOLERANCE,
    FORCE_TOLERANCE,
    REFERENCE_MODEL,
    STRUCTURES,
    cluster,
    energy_and_forces,
    primitive_cell,
    rattled_crystal,
    slab,
    strained_triclinic_crystal,
)
from tests.support.torch_models import SpringsTotal, write_model

PROPERTIES = ["energy", "free_energy", "forces", "energies", "stress"]


@pytest.fixture
def calculator(driver_environment: DriverEnvironment) -> Any:
    from torchml_driver.ase import TorchMLCalculator

    return TorchMLCalculator(driver_environment.packed)


@pytest.fixture
def evaluations(monkeypatch: pytest.MonkeyPatch, driver_environment: DriverEnvironment) -> Any:
    """The requests to the model, a dictionary for each run."""
    from torchml_driver import Potential

    asked: list[dict[str, bool]] = []
    compute = Potential.compute

    def counted(self: Any, *arrays: Any, **wanted: bool) -> Any:
        asked.append(wanted)
        return compute(self, *arrays, **wanted)

    monkeypatch.setattr(Potential, "compute", counted)
    return asked


@pytest.mark.parametrize("make", STRUCTURES.values(), ids=STRUCTURES.keys())
def testenergy_and_forces_equal_the_published_potential(
    make: Callable[[], Atoms], in_collection: DriverEnvironment
) -> None:
    from torchml_driver.ase import TorchMLCalculator

    ours, published = make(), make()
    ours.calc, published.calc = TorchMLCalculator(in_collection.packed), KIM(REFERENCE_MODEL)
    assert ours.get_potential_energy() == pytest.approx(
        published.get_potential_energy(), abs=ENERGY_TOLERANCE
    )
    np.testing.assert_allclose(
        ours.get_forces(), published.get_forces(), rtol=0, atol=FORCE_TOLERANCE
    )
    assert ours.get_potential_energies().sum() == pytest.approx(
        ours.get_potential_energy(), abs=1e-11
    )


def test_stress_equals_the_published_potential(in_collection: DriverEnvironment) -> None:
    from torchml_driver.ase import TorchMLCalculator

    ours, published = rattled_crystal(), rattled_crystal()
    ours.calc, published.calc = TorchMLCalculator(in_collection.packed), KIM(REFERENCE_MODEL)
    np.testing.assert_allclose(ours.get_stress(), published.get_stress(), rtol=0, atol=1e-11)


def test_a_cell_relaxes_to_the_lattice_constant_of_the_paper(
    in_collection: DriverEnvironment,
) -> None:
    """Stillinger and Weber fitted their potential to 5.431 Å and -4.337 eV per atom."""
    from torchml_driver.ase import TorchMLCalculator

    atoms = bulk("Si", a=5.6)
    atoms.calc = TorchMLCalculator(in_collection.packed)
    BFGS(FrechetCellFilter(atoms), logfile=None).run(fmax=1e-5, steps=100)
    assert (4 * atoms.get_volume()) ** (1 / 3) == pytest.approx(5.431, abs=1e-3)
    assert atoms.get_potential_energy() / 2 == pytest.approx(-4.3366, abs=1e-3)


def test_energy_is_conserved_in_a_run(in_collection: DriverEnvironment) -> None:
    from torchml_driver.ase import TorchMLCalculator

    atoms = rattled_crystal()
    atoms.calc = TorchMLCalculator(in_collection.packed)
    before = atoms.get_total_energy()
    VelocityVerlet(atoms, 0.5 * units.fs).run(200)
    assert atoms.get_total_energy() == pytest.approx(before, abs=0.02)
    assert atoms.get_kinetic_energy() > 0.5


def test_a_molecule_has_no_stress(in_collection: DriverEnvironment) -> None:
    from torchml_driver.ase import TorchMLCalculator

    atoms = cluster()
    atoms.calc = TorchMLCalculator(in_collection.packed)
    assert np.isfinite(atoms.get_potential_energy())
    with pytest.raises(PropertyNotImplementedError):
        atoms.get_stress()


def test_neither_kim_nor_environment_is_needed(
    driver_environment: DriverEnvironment,
) -> None:
    program = (
        "from ase.build import bulk\n"
        "from torchml_driver.ase import TorchMLCalculator\n"
        "atoms = bulk('Si', a=5.43)\n"
        f"atoms.calc = TorchMLCalculator({str(driver_environment.packed)!r})\n"
        "print(atoms.get_potential_energy())\n"
        "assert 'libkim-api' not in open('/proc/self/maps').read()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"HOME": os.environ.get("HOME", "/"), **SANITIZER_SETTINGS},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == pytest.approx(2 * -4.3366, abs=1e-2)


@pytest.mark.parametrize(
    ("cell_filter", "optimizer"),
    [
        (FrechetCellFilter, BFGS),
        (FrechetCellFilter, FIRE),
        (ExpCellFilter, BFGS),
        (UnitCellFilter, BFGS),
    ],
)
@pytest.mark.filterwarnings("ignore:Use FrechetCellFilter")
def test_every_cell_filter_and_optimizer_finds_the_lattice_constant(
    calculator: Any, cell_filter: Any, optimizer: Any
) -> None:
    atoms = bulk("Si", a=5.5)
    atoms.rattle(0.02, seed=1)
    atoms.calc = calculator
    optimizer(cell_filter(atoms), logfile=None).run(fmax=1e-3, steps=300)
    assert (4 * atoms.get_volume()) ** (1 / 3) == pytest.approx(5.431, abs=2e-3)
    assert atoms.get_potential_energy() / 2 == pytest.approx(-4.3366, abs=1e-3)


def test_free_energy_is_the_energy_that_forces_are_consistent_with(calculator: Any) -> None:
    atoms = rattled_crystal()
    atoms.calc = calculator
    assert atoms.get_potential_energy(force_consistent=True) == atoms.get_potential_energy()
    atoms = primitive_cell()
    atoms.calc = FiniteDifferenceCalculator(calculator, eps_disp=1e-4, eps_strain=1e-5)
    found = atoms.get_forces(), atoms.get_stress()
    atoms.calc = calculator
    np.testing.assert_allclose(atoms.get_forces(), found[0], atol=1e-5)
    np.testing.assert_allclose(atoms.get_stress(), found[1], atol=1e-6)


def test_asking_for_one_property_does_not_cost_another(calculator: Any, evaluations: Any) -> None:
    atoms = rattled_crystal()
    atoms.calc = calculator
    forces = atoms.get_forces()
    energy, stress = atoms.get_potential_energy(), atoms.get_stress()
    energies = atoms.get_potential_energies()
    assert len(evaluations) == 2
    assert evaluations[1]["forces"] is False
    assert sorted(calculator.results) == sorted(PROPERTIES)
    np.testing.assert_array_equal(atoms.get_forces(), forces)
    np.testing.assert_array_equal(atoms.get_stress(), stress)
    np.testing.assert_array_equal(atoms.get_potential_energies(), energies)
    assert atoms.get_potential_energy() == pytest.approx(energy, abs=1e-12)
    assert len(evaluations) == 2


def test_forces_are_not_computed_where_only_the_energy_is_wanted(
    calculator: Any, evaluations: Any
) -> None:
    atoms = rattled_crystal()
    atoms.calc = calculator
    atoms.get_potential_energy()
    assert evaluations == [{"forces": False, "particle_energies": False, "particle_virials": False}]


def test_every_change_of_the_atoms_is_noticed_and_nothing_else(
    calculator: Any, evaluations: Any
) -> None:
    atoms = rattled_crystal()
    atoms.calc = calculator
    before = atoms.get_potential_energy()
    atoms.set_initial_magnetic_moments([1.0] * len(atoms))  # no model uses them
    atoms.set_initial_charges([1.0] * len(atoms))
    atoms.set_tags(3)
    atoms.set_velocities(np.ones((len(atoms), 3)))
    assert atoms.get_potential_energy() == before
    assert len(evaluations) == 1
    energies = {before}
    atoms.positions[0] += 0.05
    energies.add(atoms.get_potential_energy())
    atoms.set_cell(atoms.cell * 1.01)
    energies.add(atoms.get_potential_energy())
    atoms.pbc = (True, True, False)
    energies.add(atoms.get_potential_energy())
    del atoms[0]
    energies.add(atoms.get_potential_energy())
    assert len(energies) == len(evaluations) == 5
    calculator.reset()
    assert atoms.get_potential_energy() in energies
    assert len(evaluations) == 6


def test_what_was_not_computed_is_not_computed_if_that_is_not_allowed(
    calculator: Any, evaluations: Any
) -> None:
    atoms = rattled_crystal()
    assert calculator.get_property("energy", atoms, allow_calculation=False) is None
    assert evaluations == []
    energy = calculator.get_property("energy", atoms)
    assert calculator.get_property("energy", atoms, allow_calculation=False) == energy
    assert calculator.get_property("forces", atoms, allow_calculation=False) is None
    assert not calculator.calculation_required(atoms, ["energy"])
    assert calculator.calculation_required(atoms, ["energy", "forces"])


def test_results_of_other_atoms_are_never_given_for_those_that_the_model_refuses(
    calculator: Any,
) -> None:
    from torchml_driver import Error

    known, unknown = rattled_crystal(), rattled_crystal()
    calculator.get_property("energy", known)
    unknown.numbers[3] = 6
    with pytest.raises(
        Error, match="particle 3 is C, which the model does not support; it supports"
    ):
        calculator.calculate(unknown, ["energy"])
    with pytest.raises(Error, match="particle 3 is C"):
        calculator.get_property("energy", unknown)
    assert calculator.get_property("energy", unknown, allow_calculation=False) is None
    assert np.isfinite(calculator.get_property("energy", known))


def test_energies_of_atoms_are_not_implemented_where_the_model_gives_only_their_sum(
    driver_environment: DriverEnvironment, tmp_path: Path
) -> None:
    from torchml_driver.ase import TorchMLCalculator

    atoms = rattled_crystal()
    atoms.calc = TorchMLCalculator(write_model(tmp_path, SpringsTotal()))
    forces = atoms.get_forces()
    for _ in range(2):
        with pytest.raises(PropertyNotImplementedError, match="their sum"):
            atoms.get_potential_energies()
    assert atoms.calc.implemented_properties == ["energy", "free_energy", "forces", "stress"]
    assert "energies" in TorchMLCalculator.implemented_properties
    np.testing.assert_array_equal(atoms.calc.results["forces"], forces)


@pytest.fixture
def descriptor_calculator(driver_environment: DriverEnvironment, tmp_path: Path) -> Any:
    from torchml_driver.ase import TorchMLCalculator

    return TorchMLCalculator(
        write_descriptor_model(tmp_path / "network", TanhNetwork(15), "every_kind")
    )


def test_stress_of_each_atom_is_the_derivative_of_its_energy_by_the_strain(
    descriptor_calculator: Any,
) -> None:
    """An atom's energy depends only on its neighbourhood, so finite differences give each part."""
    atoms = strained_triclinic_crystal()
    atoms.calc = descriptor_calculator
    stresses = atoms.get_stresses(include_ideal_gas=False)
    assert stresses.shape == (len(atoms), 6)
    np.testing.assert_allclose(stresses.sum(axis=0), atoms.get_stress(), atol=1e-12)
    assert atoms.get_stresses(voigt=False).shape == (len(atoms), 3, 3)
    size = 1e-5
    for index, (row, column) in enumerate(((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))):
        energies = []
        for sign in (1.0, -1.0):
            strain = np.eye(3)
            strain[row, column] += sign * size / 2
            strain[column, row] += sign * size / 2
            strained = atoms.copy()
            strained.set_cell(atoms.cell.array @ strain, scale_atoms=True)
            energies.append(descriptor_calculator.get_property("energies", strained))
        expected = (energies[0] - energies[1]) / (2 * size) / atoms.get_volume()
        np.testing.assert_allclose(stresses[:, index], expected, atol=1e-8)
    assert np.abs(stresses).max() > 1e-4


def test_stresses_bring_forces_and_keep_energies(
    descriptor_calculator: Any, evaluations: Any
) -> None:
    atoms = rattled_crystal()
    atoms.calc = descriptor_calculator
    energies = atoms.get_potential_energies()
    atoms.get_stresses()
    atoms.get_forces()
    atoms.get_stress()
    np.testing.assert_array_equal(atoms.get_potential_energies(), energies)
    assert len(evaluations) == 2
    assert sorted(atoms.calc.results) == sorted([*PROPERTIES, "stresses"])


def test_models_of_neighbour_lists_have_no_stresses_of_atoms(calculator: Any) -> None:
    atoms = rattled_crystal()
    atoms.calc = calculator
    assert calculator.implemented_properties == PROPERTIES
    with pytest.raises(PropertyNotImplementedError, match="descriptor model"):
        atoms.get_stresses()


@pytest.mark.parametrize("cell", [None, [9.0, 0, 0], [9.0, 9.0, 0], np.ones((3, 3))])
def test_no_stress_without_a_volume(descriptor_calculator: Any, cell: Any) -> None:
    atoms = cluster()
    atoms.cell = cell
    atoms.calc = descriptor_calculator
    for name in ("stress", "stresses"):
        with pytest.raises(PropertyNotImplementedError, match="without a volume"):
            descriptor_calculator.get_property(name, atoms)
    assert np.isfinite(atoms.get_forces()).all()
    descriptor_calculator.calculate(atoms, ["energy", "forces", "stress", "stresses"])
    assert sorted(descriptor_calculator.results) == ["energy", "forces", "free_energy"]


def left_handed() -> Atoms:
    atoms = strained_triclinic_crystal()
    atoms.set_cell(atoms.cell.array[[1, 0, 2]])
    assert np.linalg.det(atoms.cell.array) < 0
    return atoms


def wire() -> Atoms:
    """Periodic along the second vector, which is no axis; the other vectors are given."""
    atoms = strained_triclinic_crystal()
    atoms.pbc = (False, True, False)
    return atoms


def cluster_in_a_box() -> Atoms:
    atoms = cluster()
    atoms.cell = [30.0, 40.0, 50.0]
    return atoms


def unwrapped() -> Atoms:
    """Many of its atoms are outside the cell; the published potential gets them wrapped."""
    atoms = strained_triclinic_crystal()
    atoms.positions[::2] += 3 * atoms.cell[0] - 40 * atoms.cell[2]
    return atoms


@pytest.mark.parametrize("make", [left_handed, wire, cluster_in_a_box, unwrapped])
def test_unusual_cells_equal_the_published_potential(
    make: Callable[[], Atoms], in_collection: DriverEnvironment
) -> None:
    from torchml_driver.ase import TorchMLCalculator

    ours, published = make(), make()
    published.wrap()
    ours.calc, published.calc = TorchMLCalculator(in_collection.packed), KIM(REFERENCE_MODEL)
    assert ours.get_potential_energy() == pytest.approx(
        published.get_potential_energy(), abs=ENERGY_TOLERANCE
    )
    np.testing.assert_allclose(
        ours.get_forces(), published.get_forces(), rtol=0, atol=FORCE_TOLERANCE
    )
    np.testing.assert_allclose(ours.get_stress(), published.get_stress(), rtol=0, atol=1e-10)


def test_no_atoms_have_no_energy(descriptor_calculator: Any) -> None:
    atoms = Atoms(cell=[5.0, 5.0, 5.0], pbc=True)
    atoms.calc = descriptor_calculator
    assert atoms.get_potential_energy() == 0.0
    assert atoms.get_forces().shape == (0, 3)
    assert atoms.get_potential_energies().shape == (0,)
    assert atoms.get_stresses(include_ideal_gas=False).shape == (0, 6)
    np.testing.assert_array_equal(atoms.get_stress(), np.zeros(6))


def test_a_calculator_without_atoms_says_so(calculator: Any) -> None:
    with pytest.raises(CalculatorSetupError, match="no atoms yet"):
        calculator.get_potential_energy()


def test_keywords_that_mean_nothing_are_refused(
    driver_environment: DriverEnvironment, calculator: Any
) -> None:
    from torchml_driver import Error
    from torchml_driver.ase import TorchMLCalculator

    atoms = bulk("Si")
    with pytest.raises(InputError, match="no parameter devise; its parameters are model, atomic_n"):
        TorchMLCalculator(driver_environment.packed, devise="cuda", atoms=atoms)
    with pytest.raises(InputError, match=r"device .* Potential\(model, device='cpu'\)"):
        TorchMLCalculator(calculator.potential, device="cpu")
    with pytest.raises(Error, match="does not exist"):
        TorchMLCalculator(driver_environment.packed / "other", atoms=atoms)
    assert atoms.calc is None
    made = TorchMLCalculator(driver_environment.packed, atoms=atoms, label="silicon")
    assert atoms.calc is made
    assert made.label == "silicon"


def test_parameters_are_those_given_and_setting_them_loads_the_model_again(
    driver_environment: DriverEnvironment, tmp_path: Path, calculator: Any
) -> None:
    from torchml_driver import Error

    atoms = rattled_crystal()
    atoms.calc = calculator
    before = atoms.get_potential_energy()
    packed = str(driver_environment.packed)
    assert atoms.calc.parameters == {"model": packed, "atomic_numbers": None, "device": None}
    assert calculator.todict() == {"model": packed, "atomic_numbers": False}
    loaded = calculator.potential
    assert calculator.set(device=None, model=driver_environment.packed) == {}
    assert calculator.potential is loaded
    for wrong in ({"model": tmp_path / "none"}, {"device": "abacus"}, {"cutoff": 3.0}):
        with pytest.raises((Error, InputError)):
            calculator.set(**wrong)
        assert calculator.parameters["model"] == packed
        assert calculator.potential is loaded
        assert calculator.results["energy"] == before
    other = write_model(tmp_path / "springs", SpringsTotal())
    assert calculator.set(model=other, device="cpu") == {"model": str(other), "device": "cpu"}
    assert calculator.results == {}
    assert abs(atoms.get_potential_energy() - before) > 0.1
    calculator.set(model=loaded)
    assert calculator.potential is loaded
    assert calculator.todict() == {"model": packed, "atomic_numbers": False}
    assert atoms.get_potential_energy() == before


def test_a_calculator_made_of_its_recorded_parameters_gives_the_same(
    driver_environment: DriverEnvironment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from torchml_driver.ase import TorchMLCalculator

    monkeypatch.chdir(driver_environment.packed.parent)
    monkeypatch.setenv("KIM_MODEL_ELEMENTS_MAP", "yes")
    made = TorchMLCalculator(driver_environment.packed.name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KIM_MODEL_ELEMENTS_MAP")
    again = TorchMLCalculator(**made.todict())
    assert list(again.potential.species_codes) == list(made.potential.species_codes) == [14]


@pytest.mark.parametrize("name", ["results.db", "results.json"])
def test_databases_keep_results_and_parameters(calculator: Any, name: str, tmp_path: Path) -> None:
    atoms = rattled_crystal()
    atoms.calc = calculator
    forces = atoms.get_forces()
    with connect(tmp_path / name) as database:
        row = database[database.write(atoms)]
    assert row.calculator == "torchmlcalculator"
    assert row.calculator_parameters == calculator.todict()
    read = row.toatoms()
    assert read.get_potential_energy() == atoms.get_potential_energy()
    assert read.get_potential_energy(force_consistent=True) == atoms.get_potential_energy()
    np.testing.assert_allclose(read.get_forces(), forces, rtol=1e-14)
    np.testing.assert_allclose(read.get_stress(), atoms.get_stress(), rtol=1e-14)


def test_trajectories_keep_what_was_computed_and_compute_nothing(
    calculator: Any, evaluations: Any, tmp_path: Path
) -> None:
    atoms = rattled_crystal()
    atoms.calc = calculator
    with Trajectory(tmp_path / "run.traj", "w", atoms) as trajectory:
        trajectory.write()
        atoms.get_forces()
        trajectory.write()
    assert len(evaluations) == 1
    first, second = ase.io.read(tmp_path / "run.traj", ":")
    assert first.calc is None or first.calc.results == {}
    assert second.calc.name == "torchmlcalculator"
    np.testing.assert_array_equal(second.get_forces(), atoms.get_forces())
    np.testing.assert_array_equal(second.get_stress(), atoms.get_stress())
    atoms.get_potential_energies()
    text = io.StringIO()
    ase.io.write(text, atoms, format="extxyz")
    text.seek(0)
    read = ase.io.read(text, format="extxyz")
    np.testing.assert_allclose(read.get_forces(), atoms.get_forces(), atol=1e-7)
    np.testing.assert_allclose(
        read.get_potential_energies(), atoms.get_potential_energies(), atol=1e-7
    )


def test_results_can_be_kept_without_the_calculator(descriptor_calculator: Any) -> None:
    atoms = rattled_crystal()
    atoms.calc = descriptor_calculator
    found = atoms.get_properties([*PROPERTIES, "stresses"])
    atoms.calc = SinglePointCalculator(atoms, **descriptor_calculator.results)
    for name in found:
        if name != "natoms":
            np.testing.assert_array_equal(atoms.calc.get_property(name, atoms), found[name])


def test_changing_a_shallow_copy_does_not_change_the_calculator(
    calculator: Any, driver_environment: DriverEnvironment
) -> None:
    energy = calculator.get_property("energy", rattled_crystal())
    copied = copy.copy(calculator)
    copied.set(device="cpu")
    copied.get_property("forces", rattled_crystal())
    assert calculator.parameters["device"] is None
    assert calculator.results == {"energy": energy, "free_energy": energy}


def test_a_copy_is_independent_and_shares_the_model(calculator: Any) -> None:
    atoms = rattled_crystal()
    atoms.calc = calculator
    before = atoms.get_potential_energy()
    copied = copy.deepcopy(atoms)
    copied.positions[0] += 0.1
    assert copied.get_potential_energy() != before
    assert atoms.calc is not copied.calc
    assert atoms.calc.potential is copied.calc.potential
    assert calculator.get_property("energy", atoms, allow_calculation=False) == before


def test_pickled_atoms_compute_in_another_process(
    driver_environment: DriverEnvironment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from torchml_driver import Error
    from torchml_driver.ase import TorchMLCalculator

    for name, value in SANITIZER_SETTINGS.items():
        monkeypatch.setenv(name, value)
    folder = tmp_path / "model"
    shutil.copytree(driver_environment.packed, folder)
    calculator = TorchMLCalculator(folder)
    structures = [rattled_crystal(), primitive_cell(), slab()]
    for atoms in structures:
        atoms.calc = calculator
    expected = [energy_and_forces(atoms) for atoms in structures]
    calculator.reset()
    later = pickle.loads(pickle.dumps(structures[0]))
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found = pool.map_async(energy_and_forces, structures, chunksize=1).get(timeout=300)
        shutil.rmtree(folder)
        # Not during unpickling: then the worker would never answer.
        with pytest.raises(Error, match=f"{folder} does not exist"):
            pool.map_async(energy_and_forces, [later]).get(timeout=300)
    for (energy, forces), (other_energy, other_forces) in zip(expected, found, strict=True):
        assert energy == pytest.approx(other_energy, abs=1e-11)
        np.testing.assert_allclose(forces, other_forces, atol=1e-11)


def test_a_pickle_keeps_results_and_notices_that_its_model_is_gone_or_another(
    driver_environment: DriverEnvironment, tmp_path: Path
) -> None:
    from torchml_driver import Error
    from torchml_driver.ase import TorchMLCalculator

    folder = tmp_path / "model"
    shutil.copytree(driver_environment.packed, folder)
    (parameters,) = folder.glob("*.param")
    atoms = rattled_crystal()
    atoms.calc = TorchMLCalculator(folder)
    energy = atoms.get_potential_energy()
    pickled = pickle.dumps(atoms)
    text = parameters.read_text()
    parameters.write_text(text + "# another comment\n")
    changed = pickle.loads(pickled)
    assert changed.get_potential_energy() == energy
    with pytest.raises(Error, match=rf"{folder} was pickled, .*{parameters.name} has changed sin"):
        changed.get_forces()
    with pytest.raises(Error, match=rf"cannot be pickled.*{parameters.name}.* Load it again"):
        pickle.dumps(atoms)
    assert copy.deepcopy(atoms).get_forces().shape == (64, 3)
    parameters.write_text(text)
    np.testing.assert_allclose(changed.get_forces(), atoms.get_forces(), atol=1e-11)
    shutil.rmtree(folder)
    gone = pickle.loads(pickled)
    assert gone.get_potential_energy() == energy
    assert gone.calc.todict() == {"model": str(folder), "atomic_numbers": False}
    assert pickle.loads(pickle.dumps(gone)).get_potential_energy() == energy
    with pytest.raises(Error, match=f"{folder} does not exist"):
        gone.get_forces()


def test_threads_that_share_a_calculator_get_their_own_results(calculator: Any) -> None:
    structures = [rattled_crystal() for _ in range(8)]
    for index, atoms in enumerate(structures):
        atoms.rattle(0.05, seed=index)
        atoms.calc = calculator
    expected = [energy_and_forces(atoms) for atoms in structures]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(energy_and_forces, structures * 5))
    for (energy, forces), (other_energy, other_forces) in zip(found, expected * 5, strict=True):
        assert energy == pytest.approx(other_energy, abs=1e-11)
        np.testing.assert_allclose(forces, other_forces, atol=1e-11)


def test_calculators_add_up(calculator: Any, descriptor_calculator: Any) -> None:
    atoms = rattled_crystal()
    parts = (calculator, descriptor_calculator)
    for mixed, factor in ((SumCalculator(parts), 1.0), (AverageCalculator(parts), 0.5)):
        assert sorted(mixed.implemented_properties) == sorted(PROPERTIES)
        atoms.calc = mixed
        for name in PROPERTIES:
            expected = factor * sum(part.get_property(name, atoms) for part in parts)
            np.testing.assert_allclose(mixed.get_property(name, atoms), expected, rtol=1e-12)


def test_images_of_a_band_can_share_a_calculator(calculator: Any) -> None:
    first, last = cluster(), cluster()
    last.rattle(0.1, seed=9)

    def energies(calculators: list[Any]) -> list[float]:
        images = [first.copy(), *(first.copy() for _ in range(2)), last.copy()]
        for image, own in zip(images, calculators, strict=True):
            image.calc = own
        shared = len(set(map(id, calculators))) == 1
        band = NEB(images, method="improvedtangent", allow_shared_calculator=shared)
        band.interpolate()
        FIRE(band, logfile=None).run(fmax=0.01, steps=5)
        return [image.get_potential_energy() for image in images]

    found = energies([calculator] * 4)
    np.testing.assert_allclose(found, energies(copy.deepcopy([calculator] * 4)), atol=1e-9)
    separate = [copy.deepcopy(calculator) for _ in range(4)]
    np.testing.assert_allclose(found, energies(separate), atol=1e-9)


def test_equation_of_state_has_its_minimum_where_the_paper_has_it(calculator: Any) -> None:
    volumes, energies = [], []
    for a in np.linspace(5.3, 5.55, 7):
        atoms = bulk("Si", a=a)
        atoms.calc = calculator
        volumes.append(atoms.get_volume())
        energies.append(atoms.get_potential_energy())
    volume, energy, _ = EquationOfState(volumes, energies, eos="birchmurnaghan").fit()
    assert (4 * volume) ** (1 / 3) == pytest.approx(5.431, abs=2e-3)
    assert energy / 2 == pytest.approx(-4.3366, abs=1e-3)


@pytest.mark.parametrize(
    "make",
    [
        lambda atoms: Langevin(
            atoms, units.fs, temperature_K=300, friction=0.05, rng=np.random.RandomState(1)
        ),
        lambda atoms: NoseHooverChainNVT(atoms, units.fs, temperature_K=300, tdamp=50 * units.fs),
        lambda atoms: NPTBerendsen(
            atoms,
            units.fs,
            temperature_K=300,
            pressure_au=0.0,
            compressibility_au=0.01,
        ),
    ],
    ids=["Langevin", "NoseHooverChain", "NPTBerendsen"],
)
@pytest.mark.filterwarnings("ignore:.*fixcm", "ignore:Use thermalize")
def test_every_ensemble_runs_without_needless_evaluations(
    calculator: Any, evaluations: Any, make: Callable[[Atoms], Any]
) -> None:
    atoms = bulk("Si", a=5.431, cubic=True)
    atoms.set_constraint(FixAtoms([0]))
    atoms.calc = calculator
    MaxwellBoltzmannDistribution(atoms, temperature_K=300, rng=np.random.RandomState(2))
    run = make(atoms)
    evaluations.clear()
    run.run(20)
    # Berendsen's barostat needs the stress before and the forces after it changes the cell.
    assert len(evaluations) <= (2 if isinstance(run, NPTBerendsen) else 1) * 20 + 1
    assert 10 < atoms.get_temperature() < 1500
    assert np.isfinite(atoms.get_stress()).all()
