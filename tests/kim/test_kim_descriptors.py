"""Descriptor models in simulators: packed by the command, and in KLIFF's layout."""

from __future__ import annotations

import importlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.kim import KIM

from tests.support import DriverEnvironment, install_kim_model, torchml_install
from tests.support.descriptor_cases import descriptor_file
from tests.support.descriptor_models import TanhNetwork, write_descriptor_model
from tests.support.lammps_runs import Lammps

ELEMENTS = ["Si", "C"]
MODELS = {"set51_two": 5.0, "bispectrum8_two": 4.2, "soap_two": 3.6}  # Å, cutoff


def crystal() -> Atoms:
    atoms = bulk("SiC", "zincblende", a=4.36, cubic=True) * (2, 1, 1)
    atoms.rattle(0.1, seed=3)
    return atoms


def expected(descriptor: str) -> tuple[float, np.ndarray, np.ndarray]:
    """Energy, forces and virial, from torch and the Python module's descriptors."""
    module = importlib.import_module("torchml_driver.descriptors")
    made = module.Descriptor(descriptor_file(descriptor), ELEMENTS)
    zeta = torch.tensor(made.values(crystal()), requires_grad=True)
    energy = TanhNetwork(made.width)(zeta).sum()
    (gradient,) = torch.autograd.grad(energy, zeta)
    product = made.vjp(crystal(), gradient.numpy())
    return energy.item(), -product.gradient, product.virial


@pytest.fixture(scope="module", params=MODELS)
def packed(
    request: pytest.FixtureRequest,
    driver_environment: DriverEnvironment,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[str, str]:
    """The descriptor, and the name of a model with it."""
    descriptor, work = request.param, tmp_path_factory.mktemp("packing")
    module = importlib.import_module("torchml_driver.descriptors")
    width = module.Descriptor(descriptor_file(descriptor), ELEMENTS).width
    torch.jit.script(TanhNetwork(width)).save(work / "network.pt")
    name = f"TorchML_{descriptor}"
    env = driver_environment.env
    options: tuple[Any, ...] = ("--elements", "Si,C", "--cutoff", str(MODELS[descriptor]))
    options += ("--pattern", "descriptor", "--descriptor", descriptor_file(descriptor))
    answer = torchml_install(
        *("model", "pack", work / "network.pt", *options, "--name", name, "--json"),
        env=env,
        cwd=work,
    )
    answer = answer[answer.index("{") :]  # after the progress messages on stderr
    assert json.loads(answer)["descriptor"] in ("SymmetryFunctions", "Bispectrum", "SOAP")
    torchml_install("model", "install", name, "--collection", "environment", env=env, cwd=work)
    return descriptor, name


@pytest.mark.usefixtures("in_collection")
def test_a_packed_model_in_ase_is_torch_on_the_same_descriptors(packed: tuple[str, str]) -> None:
    descriptor, name = packed
    energy, forces, virial = expected(descriptor)
    atoms = crystal()
    atoms.calc = KIM(name)
    assert atoms.get_potential_energy() == pytest.approx(energy, rel=1e-12)
    np.testing.assert_allclose(atoms.get_forces(), forces, atol=1e-11)
    np.testing.assert_allclose(atoms.get_stress() * atoms.get_volume(), virial, atol=1e-9)


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_packed_model_in_lammps_is_torch_on_the_same_descriptors(
    driver_environment: DriverEnvironment, packed: tuple[str, str], ranks: int, tmp_path: Path
) -> None:
    descriptor, name = packed
    energy, forces, _ = expected(descriptor)
    lammps = Lammps(tmp_path, {**driver_environment.env, "OMP_NUM_THREADS": "1"})
    found = lammps.static(crystal(), name, ranks, elements=ELEMENTS)
    assert found.energy == pytest.approx(energy, rel=1e-9)
    # The data file has positions to about 1e-10.
    np.testing.assert_allclose(found.forces, forces, atol=1e-7)


@pytest.mark.usefixtures("in_collection")
def test_a_folder_laid_out_as_kliffs_runs_unchanged(
    driver_environment: DriverEnvironment, tmp_path: Path
) -> None:
    """KLIFF's file names, their order, and its parameter file."""
    folder = write_descriptor_model(
        tmp_path / "kliff", TanhNetwork(51), "set51_two", elements=ELEMENTS
    )
    files = {
        name: (folder / name).read_bytes()
        for name in ("model.pt", "descriptor.dat", "kim_model.param")
    }
    work = tmp_path / "work"
    work.mkdir()
    name = "TorchML_in_KLIFFs_layout"
    install_kim_model(driver_environment.folder, name, files, work)
    shutil.rmtree(folder)
    energy, forces, _ = expected("set51_two")
    atoms = crystal()
    atoms.calc = KIM(name)
    assert atoms.get_potential_energy() == pytest.approx(energy, rel=1e-12)
    np.testing.assert_allclose(atoms.get_forces(), forces, atol=1e-11)
