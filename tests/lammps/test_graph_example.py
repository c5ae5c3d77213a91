"""The example network gives its own Python's results in the driver and in its LAMMPS input."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from tests.support import DriverEnvironment, run, torchml_install
from tests.support.example_network import CUTOFF, EXAMPLE, LAYERS, directly, example_network
from tests.support.lammps_runs import Lammps, example_run
from tests.support.structures import primitive_cell, slab, strained_triclinic_crystal
from tests.support.torch_models import torchscript

SCRIPT = EXAMPLE / "in.silicon"
NAME = "TorchML_GN_Si"


def install(model_file: Path, name: str, environment: DriverEnvironment) -> Path:
    """Packs and installs it as the README says, and returns the folder that `pack` wrote."""
    pattern = ("--pattern", "graph", "--layers", str(LAYERS))
    options = ("--elements", "Si", "--cutoff", str(CUTOFF), *pattern, "--name", name)
    work = model_file.parent
    torchml_install("model", "pack", model_file, *options, env=environment.env, cwd=work)
    where = ("--collection", "environment")
    torchml_install("model", "install", work / name, *where, env=environment.env, cwd=work)
    return work / name


@pytest.fixture(scope="module")
def packed(driver_environment: DriverEnvironment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("network") / "GN_Si.pt"
    file.write_bytes(torchscript(example_network()))
    return install(file, NAME, driver_environment)


def test_packing_finds_that_it_can_do_with_less(packed: Path) -> None:
    lines = (packed / f"{NAME}.param").read_text().splitlines()
    assert lines[-2:] == ["edge_receiver_row 0", "drop_unused_particles True"]


@pytest.mark.usefixtures("in_collection")
@pytest.mark.parametrize("make", [primitive_cell, slab, strained_triclinic_crystal])
def test_the_driver_gives_what_the_network_gives(packed: Path, make: Callable[[], Atoms]) -> None:
    import torchml_driver

    atoms = make()
    energy, forces = directly(example_network(), atoms)
    assert np.abs(forces).max() > 1e-3
    potential = torchml_driver.Potential(packed)
    result = potential.compute(atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc)
    assert result.energy == pytest.approx(energy, abs=1e-10)
    np.testing.assert_allclose(result.forces, forces, rtol=0, atol=1e-10)


def test_the_example_input_conserves_energy_on_any_number_of_ranks(
    packed: Path, lammps: Lammps
) -> None:
    alone, totals = example_run(lammps, SCRIPT, NAME, 1)
    assert len(totals) == 11
    assert np.ptp(totals) < 1e-3  # eV, of 216 atoms
    together, same_totals = example_run(lammps, SCRIPT, NAME, 2)
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-9)
    np.testing.assert_allclose(same_totals, totals, rtol=0, atol=2e-8)  # as printed


@pytest.mark.slow
def test_a_short_training_makes_a_model_that_runs(
    driver_environment: DriverEnvironment, lammps: Lammps, tmp_path: Path
) -> None:
    file = tmp_path / "GN_Si.pt"
    printed = run(
        [sys.executable, EXAMPLE / "train.py", "--epochs", "3", "--output", file], cwd=tmp_path
    )
    held_out = re.search(r"held out: energy (\S+) meV/atom \(spread (\S+)\)", printed)
    assert held_out is not None, printed
    assert float(held_out[1]) < float(held_out[2])  # it is better than no model
    install(file, NAME + "_trained", driver_environment)
    _, totals = example_run(lammps, SCRIPT, NAME + "_trained", 1)
    assert np.ptp(totals) < 0.1
