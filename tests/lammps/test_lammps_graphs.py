"""Message passing in LAMMPS: the same numbers for every decomposition among ranks."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from tests.support import DriverEnvironment, install_kim_model
from tests.support.graph_models import Messages, graph_parameters, on_a_plain_graph
from tests.support.lammps_runs import Lammps, Static, read_static, static_script, write_data
from tests.support.structures import cluster, rattled_crystal, slab, strained_triclinic_crystal
from tests.support.torch_models import torchscript

MODEL = "TorchML_Messages_in_LAMMPS"
MIXTURE = "TorchML_Messages_of_five_elements"
ELEMENTS = ["Si", "C", "O", "Al", "Mg"]
FEWER = "edge_receiver_row 0\ndrop_unused_particles True"


def install(
    environment: DriverEnvironment, name: str, model: Messages, work: Path, **parameters: str
) -> None:
    text = graph_parameters("m.pt", **parameters)
    files = {"m.param": text.encode(), "m.pt": torchscript(model)}
    install_kim_model(environment.folder, name, files, work)


@pytest.fixture(scope="module")
def installed(
    driver_environment: DriverEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> Messages:
    model = Messages()
    for name, settings in ((MODEL, ""), (MODEL + "_fewer", FEWER)):
        work = tmp_path_factory.mktemp("messages")
        install(driver_environment, name, model, work, settings=settings)
    return model


@pytest.fixture(scope="module")
def mixed(
    driver_environment: DriverEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> Messages:
    model = Messages(len(ELEMENTS))
    work = tmp_path_factory.mktemp("mixture")
    install(driver_environment, MIXTURE, model, work, elements=" ".join(ELEMENTS))
    return model


def assert_equal(
    result: Static, model: Messages, atoms: Atoms, elements: Sequence[str] = ("Si",)
) -> None:
    energies, forces = on_a_plain_graph(model, atoms, list(elements))
    assert result.energy == pytest.approx(energies.sum(), abs=1e-9)
    np.testing.assert_allclose(result.forces, forces, rtol=0, atol=1e-9)


@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
def test_any_number_of_ranks_gives_what_the_model_gives(
    lammps: Lammps, installed: Messages, ranks: int
) -> None:
    atoms = rattled_crystal()
    assert_equal(lammps.static(atoms, MODEL, ranks), installed, atoms)


@pytest.mark.parametrize("make", [cluster, slab, strained_triclinic_crystal])
def test_open_and_oblique_cells_too(
    lammps: Lammps, installed: Messages, make: Callable[[], Atoms]
) -> None:
    atoms = make()
    if atoms.pbc.all():  # LAMMPS needs triclinic cells in its own orientation
        standard, _ = atoms.cell.standard_form()
        atoms.set_cell(standard, scale_atoms=True)
    assert_equal(lammps.static(atoms, MODEL + "_fewer", 2), installed, atoms)


@pytest.mark.parametrize("grid", ["3 1 1", "1 1 4", "1 3 1"])
@pytest.mark.parametrize("skin", [0.3, 2.5])
def test_odd_grids_and_skins_change_nothing(
    lammps: Lammps, installed: Messages, grid: str, skin: float
) -> None:
    atoms = rattled_crystal()
    write_data(lammps.folder / "data.test", atoms, "metal")
    script = static_script(atoms, MODEL + "_fewer", "metal")
    script = script.replace("boundary", f"processors {grid}\nneighbor {skin} bin\nboundary", 1)
    ranks = int(np.prod([int(count) for count in grid.split()]))
    result = read_static(lammps.run(script, ranks), lammps.folder / "dump.test")
    assert_equal(result, installed, atoms)


def test_elements_may_be_named_in_another_order_than_the_models(
    lammps: Lammps, mixed: Messages
) -> None:
    atoms = rattled_crystal()
    atoms.symbols = np.random.default_rng(1).choice(ELEMENTS[1:], len(atoms))
    result = lammps.static(atoms, MIXTURE, 2, elements=["Mg", "O", "C", "Al"])
    assert_equal(result, mixed, atoms, ELEMENTS)


def test_real_units_are_metal_units_times_the_known_factor(
    lammps: Lammps, installed: Messages
) -> None:
    atoms = rattled_crystal()
    result = lammps.static(atoms, MODEL + "_fewer", 2, units="real")
    energies, forces = on_a_plain_graph(installed, atoms, ["Si"])
    # LAMMPS's factor: the physical constants are from different years.
    assert result.energy == pytest.approx(23.0605 * energies.sum(), rel=3e-6)
    np.testing.assert_allclose(result.forces, 23.0605 * forces, rtol=3e-6, atol=1e-6)


def trajectory(lammps: Lammps, model: str, ranks: int) -> np.ndarray:
    """Potential and total energy, eV, over 100 hot steps: atoms change ranks and neighbours."""
    write_data(lammps.folder / "data.test", rattled_crystal(), "metal")
    output = lammps.run(
        f"""\
kim init {model} metal
read_data data.test
mass 1 28.0855
kim interactions Si
velocity all create 3000.0 4711 mom yes rot yes loop geom
fix move all nve
timestep 0.001
neighbor 1.0 bin
neigh_modify delay 0 every 1 check yes
thermo 10
thermo_style custom step pe etotal
thermo_modify format float %.12f
run 100
""",
        ranks,
    )
    rows = re.findall(r"^ *\d+ +(-?\d+\.\d{12}) +(-?\d+\.\d{12}) *$", output, re.MULTILINE)
    return np.array(rows, dtype=float)


def test_a_trajectory_is_the_same_on_one_rank_and_on_several(
    lammps: Lammps, installed: Messages
) -> None:
    alone = trajectory(lammps, MODEL, 1)
    assert len(alone) == 11
    for model, ranks in ((MODEL, 2), (MODEL + "_fewer", 3)):
        np.testing.assert_allclose(trajectory(lammps, model, ranks), alone, rtol=0, atol=1e-7)
    potential, total = alone.T
    # Potential and kinetic energy are exchanged, and none is lost.
    assert np.abs(total - total[0]).max() < 0.01 * np.ptp(potential)


def test_a_rank_without_particles_takes_part(lammps: Lammps, installed: Messages) -> None:
    atoms = cluster()
    atoms.positions[:, 0] -= atoms.positions[:, 0].min()
    atoms.cell = [200.0, 40.0, 40.0]
    atoms.pbc = True
    atoms.positions += 1.0
    write_data(lammps.folder / "data.test", atoms, "metal")
    script = static_script(atoms, MODEL, "metal").replace(
        "boundary", "processors 4 1 1\nboundary", 1
    )
    result = read_static(lammps.run(script, 4), lammps.folder / "dump.test")
    assert_equal(result, installed, atoms)
