"""Descriptors and derivatives equal libdescriptor's, in the Python module and in simulations."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from tests.support import DriverEnvironment
from tests.support.descriptor_cases import (
    assert_close,
    cases,
    descriptor_file,
    reference,
    structure,
)
from tests.support.structures import STRUCTURES, rattled_crystal

# Relative to a column's largest value and the largest derivative.
TOLERANCE = 1e-11
# SOAP's radial basis orthonormalises nearly equal functions: libdescriptor's rounding error is
# multiplied by the condition number of their overlap matrix, which grows with n_max.
SOAP_TOLERANCES = {"soap_fine": 2e-7}
SOAP_TOLERANCE = 5e-11  # n_max up to 4

INSTRUCTION_SETS = ("baseline", "avx2", "avx512")


@pytest.fixture(params=INSTRUCTION_SETS)
def instruction_set(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each set of vector instructions that the processor has; wider ones mean its widest."""
    monkeypatch.setenv("TORCHML_INSTRUCTION_SET", request.param)
    return str(request.param)


def tolerance(descriptor: str) -> float:
    if descriptor.startswith("soap"):
        return SOAP_TOLERANCES.get(descriptor, SOAP_TOLERANCE)
    return TOLERANCE


def make(descriptor: str | Path, elements: list[str]) -> Any:
    file = descriptor if isinstance(descriptor, Path) else descriptor_file(descriptor)
    return importlib.import_module("torchml_driver.descriptors").Descriptor(file, elements)


def strain_matrix(virial: np.ndarray) -> np.ndarray:
    xx, yy, zz, yz, xz, xy = virial
    return np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])


def undefined_in_libdescriptor(descriptor: str, system: str) -> bool:
    """SOAP's derivative if a neighbour is exactly above or below an atom."""
    return descriptor.startswith("soap") and system == "collinear"


@pytest.mark.usefixtures("driver_environment", "instruction_set")
@pytest.mark.parametrize(("name", "system"), cases(""))
def test_values_and_vjp_equal_libdescriptors(name: str, system: str) -> None:
    elements, atoms = structure(system)
    expected = reference(name, system)
    descriptor = make(name, elements)
    values = descriptor.values(atoms)
    assert values.shape == expected["values"].shape
    for column in range(descriptor.width):  # each on its own scale
        assert_close(values[:, column], expected["values"][:, column], tolerance(name))
    product = descriptor.vjp(atoms, expected["weights"])
    gradient, strain = product.gradient, strain_matrix(product.virial)
    if undefined_in_libdescriptor(name, system):
        assert np.isnan(expected["products"]).any()
        assert np.isfinite(gradient).all()
        assert np.isfinite(strain).all()
        return
    assert_close(gradient, expected["products"], tolerance(name))
    assert_close(strain, expected["strain_products"], tolerance(name))


@pytest.mark.usefixtures("driver_environment")
@pytest.mark.parametrize(
    ("name", "system"),
    [
        case
        for case in cases("")
        if "jacobian" in reference(*case) and not undefined_in_libdescriptor(*case)
    ],
)
def test_every_columns_derivative_equals_libdescriptors(name: str, system: str) -> None:
    elements, atoms = structure(system)
    expected = reference(name, system)["jacobian"]
    descriptor = make(name, elements)
    # Derivatives that cancel or vanish at a cutoff consist of the rounding error of others.
    rounding = 1e-15 * max(1.0, float(np.abs(expected).max()))
    for column in range(descriptor.width):
        weights = np.zeros((len(atoms), descriptor.width))
        weights[0, column] = 1.0
        found = descriptor.vjp(atoms, weights).gradient
        allowed = tolerance(name) * np.abs(expected[column]).max() + rounding
        assert np.abs(found - expected[column]).max() <= allowed


@pytest.mark.usefixtures("driver_environment", "instruction_set")
@pytest.mark.parametrize("name", ["set51_two", "every_kind_two", "bispectrum8_two", "soap_two"])
def test_vjp_equals_finite_differences(name: str) -> None:
    atoms = bulk("SiC", "zincblende", a=4.36, cubic=True)
    atoms.rattle(0.1, seed=3)
    descriptor = make(name, ["C", "Si"])
    weights = np.random.default_rng(5).normal(size=(len(atoms), descriptor.width))

    def energy(moved: Atoms) -> float:
        return float((weights * descriptor.values(moved)).sum())

    def slope(direction: np.ndarray, strain: np.ndarray) -> float:
        def at(step: float) -> float:
            moved = atoms.copy()
            moved.positions += step * direction
            moved.set_cell(moved.cell.array @ (np.eye(3) + step * strain), scale_atoms=True)
            return energy(moved)

        h = 1e-4
        return (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)

    product = descriptor.vjp(atoms, weights)
    scale = float(np.abs(product.gradient).max())
    still = np.zeros_like(atoms.positions)
    for atom, axis in ((0, 0), (3, 1), (7, 2)):
        direction = still.copy()
        direction[atom, axis] = 1.0
        found = slope(direction, np.zeros((3, 3)))
        assert found == pytest.approx(product.gradient[atom, axis], abs=1e-8 * scale)
    for place, (row, column) in enumerate([(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]):
        strain = np.zeros((3, 3))
        strain[row, column] += 0.5
        strain[column, row] += 0.5
        assert slope(still, strain) == pytest.approx(product.virial[place], rel=1e-6, abs=1e-6)


@pytest.mark.usefixtures("driver_environment")
def test_species_are_mapped_by_name(tmp_path: Path) -> None:
    atoms = bulk("SiC", "zincblende", a=4.36, cubic=True)
    atoms.rattle(0.1, seed=3)
    for name in ("every_kind_two", "set51_two"):
        one, other = (make(name, elements) for elements in (["Si", "C"], ["C", "Si"]))
        np.testing.assert_array_equal(one.values(atoms), other.values(atoms))
    # Weights, too, belong to names; all neighbours fade at the cutoff of the model's first element.
    text = descriptor_file("bispectrum8_two").read_text()
    for cutoffs in ("Si  C  3.6", "C  Si  3.6", "C  C  3.1"):
        text = text.replace(cutoffs, cutoffs[:-3] + "4.2")
    (tmp_path / "descriptor.dat").write_text(text)
    one, other = (
        make(tmp_path / "descriptor.dat", elements) for elements in (["Si", "C"], ["C", "Si"])
    )
    np.testing.assert_array_equal(one.values(atoms), other.values(atoms))


@pytest.mark.usefixtures("driver_environment")
@pytest.mark.parametrize("name", STRUCTURES)
@pytest.mark.parametrize("kind", ["every_kind", "bispectrum4", "soap"])
def test_moving_all_atoms_together_changes_nothing(name: str, kind: str) -> None:
    atoms = STRUCTURES[name]()
    descriptor = make(kind, ["Si"])
    weights = np.random.default_rng(1).normal(size=(len(atoms), descriptor.width))
    gradient = descriptor.vjp(atoms, weights).gradient
    assert np.abs(gradient.sum(axis=0)).max() <= 1e-12 * max(np.abs(gradient).max(), 1.0)


@pytest.mark.usefixtures("driver_environment")
@pytest.mark.parametrize("name", ["set51", "bispectrum4", "soap"])
def test_no_atoms_and_lonely_atoms_have_descriptors(name: str) -> None:
    descriptor = make(name, ["Si"])
    width = descriptor.width
    assert descriptor.values(Atoms()).shape == (0, width)
    assert descriptor.vjp(Atoms(), np.zeros((0, width))).gradient.shape == (0, 3)
    lonely = Atoms("Si2", [[0, 0, 0], [100, 0, 0]])
    alone = np.tile(reference(name, "alone")["values"], (2, 1))
    np.testing.assert_allclose(descriptor.values(lonely), alone, rtol=1e-13)
    product = descriptor.vjp(lonely, np.ones((2, width)))
    np.testing.assert_array_equal(product.gradient, np.zeros((2, 3)))
    np.testing.assert_array_equal(product.virial, np.zeros(6))


_SUMS = """
import sys, torch, numpy as np
from ase.build import bulk
from torchml_driver.descriptors import Descriptor
atoms = bulk("Si", a=5.43, cubic=True) * (3, 3, 3)
atoms.rattle(0.1, seed=7)
descriptor = Descriptor(sys.argv[1], ["Si"])
weights = np.random.default_rng(1).normal(size=(len(atoms), descriptor.width))
for threads in (1, 2, 3):
    torch.set_num_threads(threads)
    product = descriptor.vjp(atoms, weights)
    print(descriptor.values(atoms).tobytes().hex()[:64],
          hash(descriptor.values(atoms).tobytes() + product.gradient.tobytes()
               + product.virial.tobytes()))
"""


@pytest.mark.parametrize("name", ["every_kind", "bispectrum4", "soap"])
def test_results_do_not_depend_on_the_number_of_threads(
    driver_environment: DriverEnvironment, name: str
) -> None:
    env = {**os.environ, **driver_environment.env, "OMP_NUM_THREADS": "3"}
    command = [sys.executable, "-c", _SUMS, str(descriptor_file(name))]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    assert len(set(lines)) == 1


@pytest.mark.usefixtures("driver_environment")
def test_what_is_wrong_is_said() -> None:
    error = importlib.import_module("torchml_driver").Error
    descriptor = make("set51", ["Si"])
    with pytest.raises(error, match=r"atom 1 is C, which is not one of .* \(Si\)"):
        descriptor.values(Atoms("SiC", [[0, 0, 0], [0, 0, 2]]))
    with pytest.raises(error, match=r"weights has the shape \(2, 50"):
        descriptor.vjp(Atoms("Si2", [[0, 0, 0], [0, 0, 2]]), np.zeros((2, 50)))
    with pytest.raises(error, match="not finite"):
        descriptor.values(Atoms("Si2", [[0, 0, 0], [0, 0, np.nan]]))


@pytest.mark.usefixtures("driver_environment")
def test_what_a_descriptor_is_can_be_asked() -> None:
    descriptor = make("every_kind_two", ["C", "Si"])
    assert (descriptor.kind, descriptor.width, descriptor.cutoff) == ("SymmetryFunctions", 15, 4.2)
    assert descriptor.elements == ["C", "Si"]


@pytest.mark.usefixtures("driver_environment")
def test_normalisation_of_the_file_is_applied(tmp_path: Path) -> None:
    atoms = rattled_crystal()
    plain = make("every_kind", ["Si"])
    text = descriptor_file("every_kind").read_text()
    random = np.random.default_rng(2)
    mean, deviation = random.normal(size=15), random.uniform(0.5, 2.0, size=15)
    lines = [*map(repr, mean.tolist()), "# standard deviation", *map(repr, deviation.tolist())]
    beginning = text[: text.index("# mean")]
    (tmp_path / "descriptor.dat").write_text(beginning + "\n".join(["# mean", *lines, ""]))
    normalised = make(tmp_path / "descriptor.dat", ["Si"])
    assert_close(normalised.values(atoms), (plain.values(atoms) - mean) / deviation, 1e-14)
    weights = random.normal(size=(len(atoms), 15))
    found = normalised.vjp(atoms, weights)
    expected = plain.vjp(atoms, weights / deviation)
    assert_close(found.gradient, expected.gradient, 1e-13)
    assert_close(found.virial, expected.virial, 1e-13)
