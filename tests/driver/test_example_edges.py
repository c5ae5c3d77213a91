"""The equivariant network of examples/edge_network: through the driver what it is in plain torch,
as accurate as its page says, and smooth where vectors have no length."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.kim import KIM
from ase.neighborlist import neighbor_list

from tests.support import ROOT, DriverEnvironment
from tests.support.edge_models import write_edge_model
from tests.support.structures import (
    ENERGY_TOLERANCE,
    FORCE_TOLERANCE,
    REFERENCE_MODEL,
    STRUCTURES,
    rattled_crystal,
    slab,
)

EXAMPLE = ROOT / "examples" / "edge_network"


@pytest.fixture(scope="module")
def make_model() -> Any:
    """The example's module of this name, which imports its neighbours."""
    loaded: dict[str, ModuleType] = {}
    with pytest.MonkeyPatch.context() as patch:
        for name in ("edge_network", "make_model"):
            spec = importlib.util.spec_from_file_location(name, EXAMPLE / f"{name}.py")
            assert spec is not None
            assert spec.loader is not None
            loaded[name] = importlib.util.module_from_spec(spec)
            patch.setitem(sys.modules, name, loaded[name])  # TorchScript needs their source
            patch.setattr(sys, "path", [*sys.path])
            spec.loader.exec_module(loaded[name])
        yield loaded["make_model"]


@pytest.fixture(scope="module")
def potential(
    make_model: Any, driver_environment: DriverEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> Any:
    from torchml_driver import Potential

    settings = {"elements": "Si", "cutoff": make_model.CUTOFF, "layers": make_model.LAYERS}
    return Potential(
        write_edge_model(tmp_path_factory.mktemp("packed"), make_model.trained(), **settings)
    )


def through_the_driver(potential: Any, atoms: Atoms) -> tuple[float, np.ndarray]:
    found = potential.compute(
        atoms.get_chemical_symbols(), atoms.positions, atoms.cell.array, atoms.pbc
    )
    return found.energy, found.forces


def directly(make_model: Any, atoms: Atoms) -> tuple[float, np.ndarray]:
    """Energy, eV, and forces, eV/Å: ASE's neighbour list, and the gradient by positions."""
    first, second, shifts = neighbor_list("ijS", atoms, make_model.CUTOFF)
    positions = torch.tensor(atoms.positions, requires_grad=True)
    vectors = positions[second] - positions[first] + torch.tensor(shifts @ atoms.cell.array)
    one = torch.ones(len(atoms), dtype=torch.int64)
    edges = torch.tensor(np.stack([first, second]))
    energy = make_model.trained()(0 * one, edges, vectors, one).sum()
    (gradient,) = torch.autograd.grad(energy + 0.0 * positions.sum(), positions)
    return energy.item(), -gradient.numpy()


@pytest.mark.parametrize("name", STRUCTURES)
def test_the_driver_computes_what_plain_torch_does(
    name: str, potential: Any, make_model: Any
) -> None:
    atoms = STRUCTURES[name]()
    energy, forces = through_the_driver(potential, atoms)
    right_energy, right_forces = directly(make_model, atoms)
    assert energy == pytest.approx(right_energy, abs=ENERGY_TOLERANCE)
    np.testing.assert_allclose(forces, right_forces, rtol=0, atol=FORCE_TOLERANCE)


@pytest.mark.parametrize("distance", [np.inf, 2.4, 4.5 - 1e-9, 4.5])
def test_atoms_alone_and_in_line_have_finite_forces_that_cancel(
    distance: float, potential: Any
) -> None:
    """Where vector features are zero, or add up to zero, as those of the middle atom do."""
    places = [[0.0, 0.0, x] for x in ((0.0,) if np.isinf(distance) else (-distance, 0.0, distance))]
    energy, forces = through_the_driver(potential, Atoms("Si" * len(places), positions=places))
    assert np.isfinite(energy)
    assert np.isfinite(forces).all()
    np.testing.assert_allclose(forces[len(places) // 2], 0.0, atol=1e-12)
    np.testing.assert_allclose(forces.sum(0), 0.0, atol=1e-12)


def test_forces_turn_with_the_atoms(potential: Any) -> None:
    atoms = rattled_crystal()
    energy, forces = through_the_driver(potential, atoms)
    turn = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]  # or a reflection
    turned = atoms.copy()
    turned.set_cell(atoms.cell.array @ turn, scale_atoms=False)
    turned.positions = atoms.positions @ turn
    other_energy, other_forces = through_the_driver(potential, turned)
    assert other_energy == pytest.approx(energy, abs=ENERGY_TOLERANCE)
    np.testing.assert_allclose(other_forces, forces @ turn, rtol=0, atol=FORCE_TOLERANCE)


@pytest.mark.parametrize("structure", [rattled_crystal, slab], ids=lambda make: make.__name__)
def test_it_is_as_near_to_its_reference_as_its_page_says(structure: Any, potential: Any) -> None:
    page = (EXAMPLE / "README.md").read_text(encoding="utf-8")
    energy_error, force_error = (
        float(re.search(rf"^\| {what} \| ([\d.]+) ", page, re.MULTILINE)[1])  # type: ignore[index]
        for what in ("energy", "force component")
    )
    atoms = structure()
    energy, forces = through_the_driver(potential, atoms)
    atoms.calc = KIM(REFERENCE_MODEL)
    # Root mean squares; a single error may be several times as large.
    assert abs(energy - atoms.get_potential_energy()) / len(atoms) < 3e-3 * energy_error
    assert np.sqrt(np.mean((forces - atoms.get_forces()) ** 2)) < 2 * force_error


def test_its_pages_name_the_cutoff_and_layers_of_the_model(make_model: Any) -> None:
    page = Path(EXAMPLE / "README.md").read_text(encoding="utf-8")
    options = f"--cutoff {make_model.CUTOFF} --pattern edges --layers {make_model.LAYERS} "
    assert page.count(options) == 2  # pack, compile
    assert make_model.KIM_NAME in page
