"""Descriptor models give forces and virials that are consistent with their energy."""

from __future__ import annotations

import importlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk

from tests.support.descriptor_cases import assert_close, descriptor_file
from tests.support.descriptor_models import TanhNetwork, write_descriptor_model
from tests.support.structures import STRUCTURES, rattled_crystal, strained_triclinic_crystal

pytestmark = [pytest.mark.usefixtures("driver_environment"), pytest.mark.sanitize]


def potential_of(folder: Path, **options: Any) -> Any:
    return importlib.import_module("torchml_driver").Potential(folder, **options)


def compute(potential: Any, atoms: Atoms, **options: bool) -> Any:
    return potential.compute(
        atoms.get_chemical_symbols(), atoms.positions, atoms.cell.array, atoms.pbc, **options
    )


def silicon_carbide() -> Atoms:
    atoms = bulk("SiC", "zincblende", a=4.36, cubic=True)
    atoms.rattle(0.1, seed=3)
    return atoms


@pytest.fixture
def silicon_model(tmp_path: Path) -> Any:
    return potential_of(write_descriptor_model(tmp_path / "model", TanhNetwork(15), "every_kind"))


@pytest.mark.parametrize("name", STRUCTURES)
def test_energies_and_forces_are_those_of_torch_on_the_same_descriptors(
    silicon_model: Any, name: str
) -> None:
    atoms = STRUCTURES[name]()
    descriptors = importlib.import_module("torchml_driver.descriptors")
    descriptor = descriptors.Descriptor(descriptor_file("every_kind"), ["Si"])
    zeta = torch.tensor(descriptor.values(atoms), requires_grad=True)
    energies = TanhNetwork(15)(zeta).flatten()
    (gradient,) = torch.autograd.grad(energies.sum(), zeta)
    product = descriptor.vjp(atoms, gradient.numpy())
    found = compute(silicon_model, atoms, particle_energies=True)
    assert found.energy == pytest.approx(energies.sum().item(), rel=1e-13, abs=1e-13)
    assert_close(found.particle_energies, energies.detach().numpy(), 1e-12)
    np.testing.assert_allclose(found.forces, -product.gradient, atol=1e-12)
    np.testing.assert_allclose(found.virial, product.virial, atol=1e-11)


@pytest.mark.parametrize(("elements", "name"), [(["Si"], "every_kind"), (["C", "Si"], "set51_two")])
def test_forces_equal_negative_energy_gradient(
    tmp_path: Path, elements: list[str], name: str
) -> None:
    width = 15 if name == "every_kind" else 51
    folder = write_descriptor_model(tmp_path, TanhNetwork(width), name, elements=elements)
    potential = potential_of(folder)
    atoms = rattled_crystal() if elements == ["Si"] else silicon_carbide()
    forces = compute(potential, atoms).forces
    h = 1e-4
    for atom, axis in ((0, 0), (3, 1), (5, 2)):

        def energy(step: float, atom: int = atom, axis: int = axis) -> float:
            moved = atoms.copy()
            moved.positions[atom, axis] += step
            return float(compute(potential, moved, forces=False).energy)

        slope = (8 * (energy(h) - energy(-h)) - (energy(2 * h) - energy(-2 * h))) / (12 * h)
        assert -slope == pytest.approx(forces[atom, axis], abs=1e-8 * np.abs(forces).max())


def test_particle_virials_add_up_to_the_virial(silicon_model: Any) -> None:
    found = compute(silicon_model, strained_triclinic_crystal(), particle_virials=True)
    np.testing.assert_allclose(found.particle_virials.sum(axis=0), found.virial, atol=1e-10)


def test_a_particles_virial_is_that_of_its_own_energy(tmp_path: Path) -> None:
    """The derivative of one particle's energy with respect to a strain."""
    atoms = rattled_crystal()
    potential = potential_of(write_descriptor_model(tmp_path, TanhNetwork(15), "every_kind"))
    found = compute(potential, atoms, particle_virials=True).particle_virials

    def energies(step: float) -> np.ndarray:
        moved = atoms.copy()
        strain = np.eye(3)
        strain[0, 0] += step
        moved.set_cell(moved.cell.array @ strain, scale_atoms=True)
        return np.asarray(compute(potential, moved, particle_energies=True).particle_energies)

    h = 1e-4
    slope = (8 * (energies(h) - energies(-h)) - (energies(2 * h) - energies(-2 * h))) / (12 * h)
    assert_close(found[:, 0], slope, 1e-7)


def _as_simulators_do(
    atoms: Atoms, potential: Any, order: np.ndarray, skin: float
) -> tuple[np.ndarray, ...]:
    """A cluster's atoms in some order, every second contributing, and their neighbour lists."""
    positions = atoms.positions[order]
    contributing = (np.arange(len(atoms)) % 2 == 0).astype(int)[order]
    distances = np.linalg.norm(positions[:, None] - positions[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    rows = [np.flatnonzero(row < potential.cutoff + skin) for row in distances]
    rows = [row for row, own in zip(rows, contributing, strict=True) if own]
    counts = np.array([len(row) for row in rows])
    return np.zeros(len(atoms), dtype=int), positions, contributing, counts, np.concatenate(rows)


@pytest.mark.parametrize("skin", [0.0, 2.0])
def test_contributing_particles_may_come_in_any_order(silicon_model: Any, skin: float) -> None:
    atoms = STRUCTURES["cluster"]()
    plain = np.arange(len(atoms))
    order = np.random.default_rng(4).permutation(len(atoms))
    one, other = (
        silicon_model.compute_particles(
            *_as_simulators_do(atoms, silicon_model, which, reach),
            particle_energies=True,
            particle_virials=True,
        )
        for which, reach in ((plain, 0.0), (order, skin))
    )
    assert other.energy == pytest.approx(one.energy, abs=1e-10)
    np.testing.assert_allclose(other.forces, one.forces[order], atol=1e-11)
    np.testing.assert_allclose(other.particle_energies, one.particle_energies[order], atol=1e-12)
    np.testing.assert_allclose(other.particle_virials, one.particle_virials[order], atol=1e-11)
    np.testing.assert_allclose(other.virial, one.virial, atol=1e-10)
    assert (other.particle_energies[(order % 2) == 1] == 0.0).all()


@pytest.mark.parametrize("form", ["column", "flat", "sum"])
def test_energies_may_come_in_any_form(tmp_path: Path, form: str) -> None:
    atoms = rattled_crystal()
    network = TanhNetwork(15)
    expected = compute(
        potential_of(write_descriptor_model(tmp_path / "a", network, "every_kind")), atoms
    )
    network = TanhNetwork(15, form)
    found = compute(
        potential_of(write_descriptor_model(tmp_path / "b", network, "every_kind")), atoms
    )
    assert found.energy == pytest.approx(expected.energy, rel=1e-13)
    np.testing.assert_allclose(found.forces, expected.forces, atol=1e-12)


def test_a_single_precision_model_gets_single_precision(tmp_path: Path) -> None:
    atoms = rattled_crystal()
    double = compute(
        potential_of(write_descriptor_model(tmp_path / "a", TanhNetwork(15), "every_kind")), atoms
    )
    single = potential_of(
        write_descriptor_model(tmp_path / "b", TanhNetwork(15).float(), "every_kind")
    )
    assert single.precision == 32
    found = compute(single, atoms)
    assert found.energy == pytest.approx(double.energy, rel=1e-5)
    assert_close(found.forces, double.forces, 1e-4)


def test_atomic_numbers_as_species_codes_make_no_difference(tmp_path: Path) -> None:
    folder = write_descriptor_model(tmp_path, TanhNetwork(51), "set51_two", elements=["C", "Si"])
    one, other = (
        compute(potential_of(folder, atomic_numbers=numbers), silicon_carbide())
        for numbers in (False, True)
    )
    assert one.energy == other.energy
    np.testing.assert_array_equal(one.forces, other.forces)


def test_an_energy_alone_wants_no_gradient(tmp_path: Path) -> None:
    class NoGradient(TanhNetwork):
        def forward(self, descriptor: torch.Tensor) -> torch.Tensor:
            if descriptor.requires_grad:
                raise RuntimeError("a gradient is on its way")
            return descriptor.sum()

    folder = write_descriptor_model(tmp_path, NoGradient(15), "every_kind")
    assert np.isfinite(compute(potential_of(folder), rattled_crystal(), forces=False).energy)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"descriptor": "Bispectrum"}, "'Bispectrum', but descriptor.dat describes Symmetry"),
        ({"descriptor": "None"}, "'None', but descriptor.dat describes SymmetryFunctions"),
        ({"cutoff": 3.9}, "cutoff of 4 Å, more than the model's cutoff .* 3.9"),
        ({"returns_forces": True}, "a descriptor model .* cannot compute them"),
        ({"elements": ["Ge"]}, "descriptor file descriptor.dat, line .* 'Si' is not one of"),
    ],
)
def test_files_that_do_not_fit_each_other_are_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    folder = write_descriptor_model(tmp_path, TanhNetwork(15), "every_kind", **changes)
    with pytest.raises(importlib.import_module("torchml_driver").Error, match=message):
        potential_of(folder)


def test_one_descriptor_file_is_wanted(tmp_path: Path) -> None:
    error = importlib.import_module("torchml_driver").Error
    folder = write_descriptor_model(tmp_path, TanhNetwork(15), "every_kind")
    shutil.copy(folder / "descriptor.dat", folder / "second.dat")
    with pytest.raises(error, match=r"two descriptor files, descriptor\.dat and second\.dat"):
        potential_of(folder)
    for file in folder.glob("*.dat"):
        file.unlink()
    with pytest.raises(error, match="no descriptor file"):
        potential_of(folder)


PLACES = [[0, 0, 0], [2, 0.1, 0.3], [2, 0.1, 0.3], [0.3, 2.1, 0.9]]
KINDS = {
    "every_kind": ("SymmetryFunctions", 15),
    "bispectrum4": ("Bispectrum", 14),
    "soap": ("SOAP", 50),
}


@pytest.mark.parametrize("name", KINDS)
def test_two_neighbours_in_one_place_give_finite_forces(name: str, tmp_path: Path) -> None:
    descriptor, width = KINDS[name]
    folder = write_descriptor_model(
        tmp_path / "model", TanhNetwork(width), name, descriptor=descriptor
    )
    potential = potential_of(folder)
    near = np.array(PLACES)
    near[2, 0] += 1e-9
    # Seen from both atoms; they are ghosts, whose neighbourhoods are not requested.
    lists = {"contributing": [1, 0, 0, 1], "n_neigh": [3, 3], "nlist": [1, 2, 3, 0, 1, 2]}
    results = [
        potential.compute_particles([0] * 4, np.array(places), **lists) for places in (near, PLACES)
    ]
    assert np.isfinite(results[1].forces).all()
    assert np.abs(results[1].forces).max() > 1e-3
    assert_close(results[0].forces, results[1].forces, 1e-6)


@pytest.mark.parametrize("backend", ["", "libdescriptor"])
@pytest.mark.parametrize("name", KINDS)
def test_atoms_in_one_place_are_an_error_that_names_them(
    name: str,
    backend: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    if backend:
        root = request.getfixturevalue("libdescriptor_root")
        monkeypatch.setenv("LIBDESCRIPTOR_ROOT", str(root))
        monkeypatch.setenv("KIM_MODEL_DESCRIPTOR_BACKEND", backend)
    kind, width = KINDS[name]
    folder = write_descriptor_model(tmp_path / "model", TanhNetwork(width), name, descriptor=kind)
    potential = potential_of(folder)
    error = importlib.import_module("torchml_driver").Error
    with pytest.raises(error, match=r"particles 1 and 2 are at the same place, \(2, 0.1, 0.3\)"):
        potential.compute(["Si"] * 4, PLACES)
    # The same without a model or weights, for the descriptors alone.
    descriptor = importlib.import_module("torchml_driver.descriptors").Descriptor(
        descriptor_file(name), ["Si"]
    )
    with pytest.raises(error, match="particles 1 and 2 are at the same place"):
        descriptor.values(Atoms("Si4", PLACES))
    with pytest.raises(error, match="particles 1 and 2 are at the same place"):
        descriptor.vjp(Atoms("Si4", PLACES), np.ones((4, descriptor.width)))
    assert np.isfinite(potential.compute(["Si"] * 2, PLACES[:2]).energy)
