"""A failure, or no neighbours, on only one of several MPI ranks: the others do not wait."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pytest
from ase import Atoms

from tests.support import DriverEnvironment, edge_models, install_kim_model
from tests.support.graph_models import (
    FailsOnOneRank,
    FailsWithoutEdges,
    FailsWithoutEdgesOnce,
    Messages,
    graph_parameters,
    on_a_plain_graph,
)
from tests.support.lammps_runs import Lammps, read_static, static_script, write_data
from tests.support.torch_models import FailsWithoutPairs, parameter_text, torchscript

MODELS = {
    "TorchML_Fails_without_edges": FailsWithoutEdges(),
    "TorchML_Fails_without_edges_once": FailsWithoutEdgesOnce(),
    "TorchML_Fails_on_one_rank": FailsOnOneRank(),
    "TorchML_Fails_without_edges_of_one_graph": edge_models.FailsWithoutEdges(),
    "TorchML_Fails_without_pairs": FailsWithoutPairs("sum"),
}


@pytest.fixture(scope="module")
def installed(
    driver_environment: DriverEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> None:
    for name, model in MODELS.items():
        graph = isinstance(model, Messages)
        text = graph_parameters("m.pt") if graph else parameter_text("m.pt")
        if isinstance(model, edge_models.Continuous):
            text = edge_models.edge_parameters("m.pt")
        files = {"m.param": text.encode(), "m.pt": torchscript(model)}
        install_kim_model(driver_environment.folder, name, files, tmp_path_factory.mktemp("work"))


def atoms_on_two_ranks(*positions: tuple[float, float, float]) -> Atoms:
    """In a long box that is divided across its length."""
    atoms = Atoms("Si" * len(positions), positions=positions, cell=[40.0, 20.0, 20.0], pbc=True)
    atoms.positions += [0.0, 10.0, 10.0]
    return atoms


def script(atoms: Atoms, model: str) -> str:
    text = static_script(atoms, model, "metal")
    return text.replace("boundary", "processors 2 1 1\nboundary", 1)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    "name", ["TorchML_Fails_without_edges", "TorchML_Fails_without_edges_once"]
)
@pytest.mark.parametrize(
    "positions",
    [[(10.0, 0, 0), (30.0, 0, 0)], [(10.0, 0, 0), (12.0, 1.0, 0), (30.0, 0, 0)]],
    ids=["none with neighbours", "one without neighbours"],
)
def test_ranks_without_pairs_have_their_atoms_energies(
    name: str, positions: list[tuple[float, float, float]], lammps: Lammps
) -> None:
    atoms = atoms_on_two_ranks(*positions)
    write_data(lammps.folder / "data.test", atoms, "metal")
    result = read_static(lammps.run(script(atoms, name), 2), lammps.folder / "dump.test")
    energies, forces = on_a_plain_graph(Messages(), atoms, ["Si"])
    assert result.energy == pytest.approx(energies.sum(), abs=1e-10)
    np.testing.assert_allclose(result.forces, forces, rtol=0, atol=1e-10)


@pytest.mark.usefixtures("installed")
def test_ranks_without_edges_have_their_atoms_energies(lammps: Lammps) -> None:
    atoms = atoms_on_two_ranks((10.0, 0, 0), (12.0, 1.0, 0), (30.0, 0, 0))
    write_data(lammps.folder / "data.test", atoms, "metal")
    name = "TorchML_Fails_without_edges_of_one_graph"
    text = script(atoms, name)
    result = read_static(lammps.run(text, 2), lammps.folder / "dump.test")
    expected = edge_models.on_a_periodic_graph(edge_models.Directional(), atoms)
    assert result.energy == pytest.approx(expected.energy, abs=1e-10)
    np.testing.assert_allclose(result.forces, expected.forces, rtol=0, atol=1e-10)


@pytest.mark.usefixtures("installed")
def test_a_rank_with_empty_neighbour_lists_has_its_atoms_energy(lammps: Lammps) -> None:
    atoms = atoms_on_two_ranks((10.0, 0, 0), (12.4, 0, 0), (30.0, 0, 0))
    write_data(lammps.folder / "data.test", atoms, "metal")
    output = lammps.run(script(atoms, "TorchML_Fails_without_pairs"), 2)
    result = read_static(output, lammps.folder / "dump.test")
    assert result.energy == pytest.approx(3 * -3.0, abs=1e-12)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("setting", ["", "abort"])
def test_a_failure_on_one_rank_ends_the_job_with_the_message_on_the_screen(
    setting: str, lammps: Lammps
) -> None:
    """LAMMPS itself would let the other rank wait forever."""
    atoms = atoms_on_two_ranks((10.0, 0, 0), (12.0, 1.0, 0), (30.0, 0, 0), (28.0, 0, 0))
    write_data(lammps.folder / "data.test", atoms, "metal")
    (lammps.folder / "in.test").write_text(script(atoms, "TorchML_Fails_on_one_rank"))
    mpirun, lmp = shutil.which("mpirun"), shutil.which("lmp")
    assert mpirun is not None
    assert lmp is not None
    options = ("--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-np", "2")
    done = subprocess.run(
        [mpirun, *options, lmp, "-in", "in.test"],
        env={**lammps.env, "KIM_MODEL_ON_ERROR": setting},
        cwd=lammps.folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 1
    assert "ERROR on MPI rank 1 of 2: TorchML: the model in m.pt failed: " in done.stderr
    assert "this model fails beyond 15" in done.stderr
    assert "KIM_MODEL_ON_ERROR=return" in done.stderr
    assert "this model fails beyond 15" in (lammps.folder / "kim.log").read_text()


@pytest.mark.usefixtures("installed")
def test_a_failure_of_a_process_alone_is_lammpss_to_report(lammps: Lammps) -> None:
    atoms = atoms_on_two_ranks((30.0, 0, 0), (28.0, 0, 0))
    write_data(lammps.folder / "data.test", atoms, "metal")
    with pytest.raises(AssertionError) as caught:
        lammps.run(static_script(atoms, "TorchML_Fails_on_one_rank", "metal"), ranks=0)
    assert "ERROR: KIM Compute returned error" in str(caught.value)
    assert "ERROR on MPI rank" not in str(caught.value)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    "command", ["neigh_modify exclude type 1 1", "special_bonds lj/coul 0 0 0"]
)
def test_pairs_that_lammps_leaves_out_stand_in_the_log(command: str, lammps: Lammps) -> None:
    atoms = atoms_on_two_ranks((10.0, 0, 0), (12.3, 0, 0))
    write_data(lammps.folder / "data.test", atoms, "metal")
    text = static_script(atoms, "TorchML_Fails_without_edges", "metal")
    if command.startswith("special_bonds"):
        bonds = f"bond_style zero\nbond_coeff *\n{command}\ncreate_bonds single/bond 1 1 2\n"
        text = text.replace("boundary", "atom_style bond\nboundary", 1)
        text = text.replace(
            "read_data data.test",
            "read_data data.test extra/bond/per/atom 1 extra/special/per/atom 4",
        )
        data = lammps.folder / "data.test"
        changed = data.read_text().replace("1 atom types", "1 atom types\n1 bond types")
        head, _, rows = changed.partition("Atoms")
        lines = rows.splitlines()
        lines = [lines[0].replace("atomic", "bond")] + [
            " ".join([words[0], "1", *words[1:]]) if len(words := line.split()) > 3 else line
            for line in lines[1:]
        ]
        data.write_text(head + "Atoms" + "\n".join(lines) + "\n")
        text = text.replace("thermo_style", bonds + "thermo_style", 1)
    else:
        text = text.replace("thermo_style", f"{command}\nthermo_style", 1)
    lammps.run(text)
    log = (lammps.folder / "kim.log").read_text()
    assert log.count("leave out 2 of the 2 neighbours within the cutoff") == 1
    assert "special_bonds" in log
    assert "neigh_modify exclude" in log
