"""Message passing in LAMMPS: the same numbers however the system is cut among ranks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from ase import Atoms

from tests.graph_models import Messages, graph_parameters, on_a_plain_graph
from tests.lammps_runs import Lammps, Static, read_static, static_script, write_data
from tests.structures import cluster, rattled_crystal, slab, strained_triclinic_crystal
from tests.support import DriverEnvironment, install_kim_model
from tests.torch_models import torchscript

MODEL = "TorchML_Messages_in_LAMMPS"
FEWER = "edge_receiver_row 0\ndrop_unused_particles True"


@pytest.fixture(scope="module")
def installed(
    driver_environment: DriverEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> Messages:
    model = Messages()
    for name, settings in ((MODEL, ""), (MODEL + "_fewer", FEWER)):
        text = graph_parameters("m.pt", settings=settings)
        files = {"m.param": text.encode(), "m.pt": torchscript(model)}
        work = tmp_path_factory.mktemp("messages")
        install_kim_model(driver_environment.folder, name, files, work)
    return model


def assert_equal(result: Static, model: Messages, atoms: Atoms) -> None:
    energies, forces = on_a_plain_graph(model, atoms, ["Si"])
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
    if atoms.pbc.all():  # LAMMPS wants oblique cells turned its way
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
