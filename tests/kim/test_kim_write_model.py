"""A model loaded in a simulator can write itself as a portable model, which KIM installs."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest

from tests.kim.test_kim_graphs import particles_with_ghosts
from tests.support import DRIVER, DriverEnvironment, compiled_models, install_kim_model, run
from tests.support.descriptor_cases import descriptor_file
from tests.support.descriptor_models import TanhNetwork
from tests.support.edge_models import WithEdgeGradient, edge_parameters
from tests.support.graph_models import Messages, graph_parameters
from tests.support.kim_simulator import Particles, Simulator
from tests.support.original_parameter_file import read_as_original
from tests.support.structures import CUTOFF, EXAMPLE_MODEL, primitive_cell, rattled_crystal
from tests.support.torch_models import parameter_text, torchscript
from torchml_installer.models.parameter_file import CallingConvention, GraphSettings, Parameters

pytestmark = [pytest.mark.usefixtures("in_collection"), pytest.mark.sanitize]


def write(simulator: Simulator, folder: Path, name: str) -> Path:
    folder.mkdir()
    simulator.model.write_parameterized_model(str(folder), name)
    return folder


def install(folder: Path) -> None:
    run(["kim-api-collections-management", "install", "environment", folder], cwd=folder.parent)


def test_a_written_model_installs_and_gives_the_same_numbers(
    in_collection: DriverEnvironment, tmp_path: Path
) -> None:
    simulator = Simulator(EXAMPLE_MODEL)
    folder = write(simulator, tmp_path / "copy", "TorchML_copy")
    for suffix in (".pt", ".param"):
        written = (folder / f"{EXAMPLE_MODEL}{suffix}").read_bytes()
        assert written == (in_collection.packed / f"{EXAMPLE_MODEL}{suffix}").read_bytes()
    install(folder)
    particles = Particles.of(rattled_crystal(), CUTOFF)
    expected, result = (one.compute(particles) for one in (simulator, Simulator("TorchML_copy")))
    assert result.energy == expected.energy
    np.testing.assert_array_equal(result.forces, expected.forces)


def test_a_graph_model_is_written_too(in_collection: DriverEnvironment, tmp_path: Path) -> None:
    settings = "edge_receiver_row 0\ndrop_unused_particles True"
    files = {
        "m.param": graph_parameters("m.pt", settings=settings).encode(),
        "m.pt": torchscript(Messages()),
    }
    install_kim_model(in_collection.folder, "TorchML_Messages_to_copy", files, tmp_path / "source")
    simulator = Simulator("TorchML_Messages_to_copy")
    install(write(simulator, tmp_path / "copy", "TorchML_Messages_copy"))
    particles = particles_with_ghosts(primitive_cell(), skin=0.3)
    copy = Simulator("TorchML_Messages_copy")
    assert copy.compute(particles).energy == simulator.compute(particles).energy


def test_a_model_on_edges_is_written_too(in_collection: DriverEnvironment, tmp_path: Path) -> None:
    text = edge_parameters("m.pt", returns_forces=True, settings="returns_edge_gradient True")
    files = {"m.param": text.encode(), "m.pt": torchscript(WithEdgeGradient())}
    written_and_installed(in_collection, "TorchML_Edges_to_copy", files, tmp_path, 9.0)


def test_a_descriptor_model_is_written_with_all_its_three_files(
    in_collection: DriverEnvironment, tmp_path: Path
) -> None:
    text = parameter_text(
        "m.pt", cutoff=5.0, preprocessing="Descriptor", descriptor="SymmetryFunctions"
    )
    files = {
        "m.param": text.encode(),
        "m.pt": torchscript(TanhNetwork(15)),
        "m.dat": descriptor_file("every_kind").read_bytes(),
    }
    written_and_installed(in_collection, "TorchML_Network", files, tmp_path, 5.0)


def test_a_compiled_model_is_written_too(in_collection: DriverEnvironment, tmp_path: Path) -> None:
    files = {
        "m.param": parameter_text("m.pt2", cutoff=CUTOFF).encode(),
        "m.pt2": compiled_models.stillinger_weber().read_bytes(),
    }
    written_and_installed(in_collection, "TorchML_Compiled", files, tmp_path, CUTOFF)


def written_and_installed(
    environment: DriverEnvironment,
    name: str,
    files: dict[str, bytes],
    work: Path,
    cutoff: float,
) -> None:
    """The model writes identical files; installed by KIM, they give the same results."""
    install_kim_model(environment.folder, name, files, work / "source")
    simulator = Simulator(name)
    folder = write(simulator, work / "copy", f"{name}_copy")
    assert {path.name for path in folder.iterdir()} == {"CMakeLists.txt", *files}
    for file, contents in files.items():
        assert (folder / file).read_bytes() == contents
    install(folder)
    particles = Particles.of(rattled_crystal(), cutoff)
    expected, result = (one.compute(particles) for one in (simulator, Simulator(f"{name}_copy")))
    assert result.energy == expected.energy
    np.testing.assert_array_equal(result.forces, expected.forces)


@pytest.mark.parametrize("length", ["A", "nm"])
def test_another_cutoff_changes_the_model_and_what_it_writes(length: str, tmp_path: Path) -> None:
    scale = {"A": 1.0, "nm": 0.1}[length]
    atoms = rattled_crystal()
    particles = Particles.of(atoms, CUTOFF).scaled(scale)
    simulator = Simulator(EXAMPLE_MODEL, length)
    before = simulator.compute(particles).energy
    simulator.model.set_parameter(0, 0, 2.5 * scale)
    simulator.model.clear_then_refresh()
    assert simulator.influence_distance == 2.5 * scale
    cutoffs, _ = simulator.neighbour_hints
    assert list(cutoffs) == [2.5 * scale]
    after = simulator.compute(particles).energy
    assert abs(after - before) > 1.0
    name = f"TorchML_shorter_{length}"
    install(write(simulator, tmp_path / "copy", name))
    copy = Simulator(name, length)
    assert copy.influence_distance == pytest.approx(2.5 * scale, rel=1e-15)
    assert copy.compute(particles).energy == pytest.approx(after, rel=1e-14)


def test_the_original_driver_reads_what_a_model_writes_with_another_cutoff(
    in_collection: DriverEnvironment, tmp_path: Path
) -> None:
    packed = Parameters(
        ("Si",),
        CallingConvention.GRAPH,
        4.0,
        "m.pt",
        n_inputs=6,
        n_layers=3,
        graph=GraphSettings(0, True),
    )
    files = {"m.param": packed.as_text().encode(), "m.pt": torchscript(Messages())}
    name = "TorchML_Messages_with_another_cutoff"
    install_kim_model(in_collection.folder, name, files, tmp_path / "source")
    simulator = Simulator(name)
    cutoff = 10 / 3  # with the most digits possible
    simulator.model.set_parameter(0, 0, cutoff)
    simulator.model.clear_then_refresh()
    folder = write(simulator, tmp_path / "copy", f"{name}_copy")
    written = read_as_original((folder / "m.param").read_text())
    assert (written.cutoff, written.n_layers) == (cutoff, 3)
    assert (written.elements, written.model_file) == (["Si"], "m.pt")


@pytest.mark.parametrize("cutoff", [0.0, -1.0, np.nan, np.inf])
def test_a_cutoff_that_is_none_is_refused_and_the_old_one_stays(
    cutoff: float, tmp_path: Path
) -> None:
    simulator = Simulator(EXAMPLE_MODEL)
    simulator.model.set_parameter(0, 0, cutoff)
    with contextlib.suppress(RuntimeError):  # kimpy 2.1.4 reports nothing
        simulator.model.clear_then_refresh()
    assert "the cutoff must be a positive length" in (tmp_path / "kim.log").read_text()
    assert simulator.influence_distance == CUTOFF


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    simulator = Simulator(EXAMPLE_MODEL)
    with pytest.raises(RuntimeError):
        simulator.model.write_parameterized_model(str(tmp_path / "nowhere"), "TorchML_copy")
    log = (tmp_path / "kim.log").read_text()
    assert "cannot be written" in log
    assert "nowhere" in log


def test_kim_lists_the_driver_of_a_written_model(tmp_path: Path) -> None:
    folder = write(Simulator(EXAMPLE_MODEL), tmp_path / "copy", "TorchML_copy")
    assert DRIVER in (folder / "CMakeLists.txt").read_text()
    names = {path.name for path in folder.iterdir()}
    assert names == {"CMakeLists.txt", f"{EXAMPLE_MODEL}.param", f"{EXAMPLE_MODEL}.pt"}


def test_models_that_come_and_go_leave_no_open_files() -> None:
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    Simulator(EXAMPLE_MODEL)
    before = descriptors()
    for _ in range(5):
        Simulator(EXAMPLE_MODEL)
    assert descriptors() == before
