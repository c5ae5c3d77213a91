"""A long run needs no more memory than a short one, and its steps touch no new pages."""

from __future__ import annotations

import io
import json
import re
import resource
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from tests.support import ROOT, DriverEnvironment, run
from tests.support.compiled_models import (
    messages,
    messages_folder,
    stillinger_weber_folder,
)
from tests.support.descriptor_models import TanhNetwork, write_descriptor_model
from tests.support.edge_models import Directional, write_edge_model
from tests.support.example_network import CUTOFF as NETWORK_CUTOFF
from tests.support.example_network import example_network
from tests.support.graph_models import CUTOFF as MESSAGES_CUTOFF
from tests.support.graph_models import Messages, write_graph_model
from tests.support.structures import CUTOFF
from tests.support.torch_models import Springs, SpringsInMemoryForEach, write_model

pytestmark = [pytest.mark.usefixtures("in_collection"), pytest.mark.measures]

Particles = tuple[np.ndarray, ...]  # species, coordinates, contributing, n_neigh, nlist

MODELS = {
    "neighbour lists": lambda folder: write_model(folder, Springs()),
    "graphs": lambda folder: write_graph_model(folder, Messages()),
    "edges": lambda folder: write_edge_model(folder, Directional()),
}


def resident() -> int:
    """This process's memory, KiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() // 1024


def potential_of(folder: Path | str) -> Any:
    import torchml_driver

    return torchml_driver.Potential(folder)


def few_particles(random: np.random.Generator) -> Particles:
    """Different numbers of particles, contributing particles and neighbours at each step."""
    n = int(random.integers(20, 60))
    coordinates = random.uniform(0.0, random.uniform(6.0, 9.0), (n, 3))
    distances = np.linalg.norm(coordinates[:, None] - coordinates, axis=2)
    near = (distances < 3.3) & (distances > 0.0)
    contributing = (random.random(n) < 0.7).astype(int)
    return (np.zeros(n, dtype=int), coordinates, contributing, near.sum(axis=1), near.nonzero()[1])


def growth(step: Callable[[], object], steps: int) -> int:
    """The memory that the second half of a run adds to the first, KiB."""
    most = [0, 0]
    for k in range(steps):
        step()
        if k % 10 == 9:
            half = 2 * k // steps
            most[half] = max(most[half], resident())
    return most[1] - most[0]


def growth_with_few_particles(model: Path, steps: int) -> int:
    potential, random = potential_of(model), np.random.default_rng(4)
    return growth(lambda: potential.compute_particles(*few_particles(random)), steps)


@pytest.mark.parametrize("write", MODELS.values(), ids=MODELS.keys())
def test_memory_does_not_grow_over_two_thousand_steps(
    write: Callable[[Path], Path], tmp_path: Path
) -> None:
    """A megabyte means a kilobyte per step, which is the smallest leak of a tensor."""
    assert growth_with_few_particles(write(tmp_path), 2000) < 1024


@pytest.mark.slow
@pytest.mark.parametrize("write", MODELS.values(), ids=MODELS.keys())
def test_memory_does_not_grow_over_a_hundred_thousand_steps(
    write: Callable[[Path], Path], tmp_path: Path
) -> None:
    assert growth_with_few_particles(write(tmp_path), 100_000) < 1024


def many_particles(reach: float) -> Callable[[], Particles]:
    """Systems of 500 to 2000 particles, at each step one of thirty at random. Most of their tensors
    are large enough to be kept in some steps, and too small in others."""
    random = np.random.default_rng(5)
    systems = []
    for n in np.linspace(500, 2000, 30).astype(int):
        edge = int(np.ceil((1.3 * n) ** (1 / 3)))
        sites = random.permutation(edge**3)[:n]
        places = 2.5 * np.stack(np.unravel_index(sites, (edge,) * 3), axis=1)
        atoms = Atoms(f"Si{n}", positions=places + random.uniform(-0.3, 0.3, (n, 3)))
        contributing = (random.random(n) < 0.7).astype(np.int32)
        codes = np.zeros(n, dtype=np.int32)
        systems.append((codes, atoms.positions, contributing, *neighbour_lists(atoms, reach)))
    return lambda: systems[random.integers(len(systems))]


def compiled_messages(folder: Path) -> Path:
    return messages_folder(folder / "compiled", messages().read_bytes())


#: How to write a model, how far its neighbours are, and how many steps take half a minute.
LARGE = {
    "neighbour lists": (MODELS["neighbour lists"], CUTOFF, 10_000),
    "graphs": (MODELS["graphs"], MESSAGES_CUTOFF, 5_000),
    "descriptors": (
        lambda folder: write_descriptor_model(folder, TanhNetwork(15), "every_kind"),
        5.0,
        2_000,
    ),
    "compiled": (compiled_messages, MESSAGES_CUTOFF, 5_000),
}


@pytest.mark.slow
@pytest.mark.parametrize(("write", "reach", "steps"), LARGE.values(), ids=LARGE.keys())
def test_memory_does_not_grow_where_tensors_are_now_large_now_small(
    write: Callable[[Path], Path], reach: float, steps: int, tmp_path: Path
) -> None:
    potential, particles = potential_of(write(tmp_path)), many_particles(reach)
    assert growth(lambda: potential.compute_particles(*particles()), steps) < 1024


def neighbour_lists(atoms: Atoms, reach: float) -> tuple[np.ndarray, np.ndarray]:
    import vesin

    found = vesin.NeighborList(cutoff=reach, full_list=True, sorted=True)
    first, second = found.compute(atoms.positions, np.eye(3), False, quantities="ij", copy=True)
    return np.bincount(first.astype(np.int64), minlength=len(atoms)), second.astype(np.int32)


def crystal(cells: int, reach: float) -> Particles:
    """Cells x cells x cells of 8 silicon atoms; all contribute."""
    atoms = bulk("Si", a=5.43, cubic=True) * (cells, cells, cells)
    atoms.rattle(0.05, seed=1)
    n = len(atoms)
    lists = neighbour_lists(atoms, reach)
    return (np.zeros(n, dtype=np.int32), atoms.positions, np.ones(n, dtype=np.int32), *lists)


def loners(n: int) -> Particles:
    """Particles without neighbours."""
    coordinates = np.zeros((n, 3))
    coordinates[:, 0] = np.arange(n)
    none = np.zeros(0, dtype=np.int32)
    return (np.zeros(n, np.int32), coordinates, np.ones(n, np.int32), np.zeros(n, np.int32), none)


def page_faults(potential: Any, steps: Iterable[Particles]) -> list[int]:
    """By step."""
    faults = []
    for particles in steps:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        result = potential.compute_particles(*particles)
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
        del result
    return faults


def in_process_of_its_own(call: str, model: Path, environment: DriverEnvironment) -> Any:
    """This module's function in a new process: this one still has earlier models' memory."""
    program = f"import json, sys, tests.driver.test_memory as t; print(json.dumps(t.{call}))"
    command = [sys.executable, "-c", program, model]
    printed = run(command, env=dict(environment.env), cwd=ROOT)
    return json.loads(printed.splitlines()[-1])


def faults_of_one_size(folder: str, reach: float) -> list[int]:
    return page_faults(potential_of(folder), [crystal(5, reach)] * 40)


def test_steps_of_one_size_fault_in_no_pages(driver_environment: DriverEnvironment) -> None:
    """Their tensors are so large that the C library would return them at each step."""
    call = f"faults_of_one_size(sys.argv[1], {CUTOFF})"
    faults = in_process_of_its_own(call, driver_environment.packed, driver_environment)
    assert sum(faults[:5]) > 100  # the tensors are not small
    assert np.median(faults[10:]) == 0
    assert np.mean(faults[10:]) < 5


def test_steps_of_one_size_of_a_graph_network_fault_in_no_pages(
    driver_environment: DriverEnvironment, tmp_path: Path
) -> None:
    model = write_graph_model(tmp_path, example_network(), cutoff=NETWORK_CUTOFF)
    call = f"faults_of_one_size(sys.argv[1], {NETWORK_CUTOFF})"
    faults = in_process_of_its_own(call, model, driver_environment)
    assert sum(faults[:5]) > 1000
    assert np.median(faults[10:]) == 0
    assert np.mean(faults[10:]) < 5


PAGE = resource.getpagesize()


def faults_of_growing_sizes(folder: str) -> list[int]:
    return page_faults(potential_of(folder), map(loners, growing_sizes()))


def growing_sizes() -> list[int]:
    """1 % larger at each step: tensors of 2 to 5 MiB, with 8 KiB per particle."""
    return [round(256 * 1.01**k) for k in range(90)]


def test_tensors_that_grow_fault_in_only_what_they_grow_by(
    driver_environment: DriverEnvironment, tmp_path: Path
) -> None:
    """All of them outgrow their memory in the same step."""
    model = write_model(tmp_path, SpringsInMemoryForEach())
    faults = in_process_of_its_own(
        "faults_of_growing_sizes(sys.argv[1])", model, driver_environment
    )
    sizes = np.array(growing_sizes())
    pages = 10 * 8192 * np.diff(sizes)[4:] // PAGE
    assert sum(faults[:2]) > 10 * 8192 * sizes[0] // PAGE
    assert (np.array(faults[5:]) < 1.5 * pages + 100).all(), faults


def faults_of_changing_sizes(folder: str) -> list[int]:
    sizes = np.random.default_rng(2).integers(300, 600, 300)
    return page_faults(potential_of(folder), map(loners, map(int, sizes)))


def test_steps_of_changing_sizes_fault_in_no_pages(
    driver_environment: DriverEnvironment, tmp_path: Path
) -> None:
    """After the largest systems."""
    model = write_model(tmp_path, SpringsInMemoryForEach())
    faults = in_process_of_its_own(
        "faults_of_changing_sizes(sys.argv[1])", model, driver_environment
    )
    assert np.median(faults[100:]) == 0
    assert np.mean(faults[100:]) < 5


def memory_of_a_potential(folder: str) -> dict[str, int]:
    """A process's memory, KiB, before, with and after a potential that uses much."""
    memory = {}
    page_faults(potential_of(folder), [loners(2)])  # torch and its threads are there
    memory["before"] = resident()
    potential = potential_of(folder)
    page_faults(potential, [loners(5000)])
    memory["with"] = resident()
    del potential
    memory["after"] = resident()
    return memory


def test_memory_goes_with_the_last_potential(
    driver_environment: DriverEnvironment, tmp_path: Path
) -> None:
    model = write_model(tmp_path, SpringsInMemoryForEach())
    call = "memory_of_a_potential(sys.argv[1])"
    memory = in_process_of_its_own(call, model, driver_environment)
    tensors = 10 * 5000 * 8
    assert memory["with"] - memory["before"] > 0.9 * tensors
    assert memory["after"] - memory["before"] < 0.1 * tensors


def energy_in_little_memory(folder: str, n: int) -> float:
    """With ten kept tensors of 40 MiB and little other memory available."""
    first, second = potential_of(folder), potential_of(folder)
    page_faults(first, [loners(5000)])
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * PAGE + 64 * 1024**2
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    return float(second.compute_particles(*loners(n)).energy)


@pytest.mark.parametrize("n", [2000, 5200])
def test_kept_memory_is_given_up_where_memory_is_short(
    n: int, driver_environment: DriverEnvironment, tmp_path: Path
) -> None:
    """For tensors that are too small for it, and too large, of which it fits only a few."""
    model = write_model(tmp_path, SpringsInMemoryForEach())
    call = f"energy_in_little_memory(sys.argv[1], {n})"
    assert in_process_of_its_own(call, model, driver_environment) == 0.0


def mappings() -> int:
    return len(Path("/proc/self/maps").read_text().splitlines())


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def left_by_loading(folder: str, times: int) -> dict[str, int]:
    """The growth of a process that has loaded, used and dropped a potential many times."""
    step = crystal(1, MESSAGES_CUTOFF)
    for _ in range(3):
        potential_of(folder).compute_particles(*step)
    before = {"mappings": mappings(), "files": open_files(), "KiB": resident()}
    for _ in range(times):
        potential_of(folder).compute_particles(*step)
    after = {"mappings": mappings(), "files": open_files(), "KiB": resident()}
    return {name: after[name] - before[name] for name in before}


def stillinger_weber_model(folder: Path) -> Path:
    return stillinger_weber_folder(folder / "compiled")


@pytest.mark.parametrize("write", [MODELS["neighbour lists"], stillinger_weber_model])
def test_loading_a_model_again_and_again_needs_no_more_memory(
    write: Callable[[Path], Path], driver_environment: DriverEnvironment, tmp_path: Path
) -> None:
    """The loader does not unmap compiled code, which took a megabyte each time."""
    call = "left_by_loading(sys.argv[1], 40)"
    left = in_process_of_its_own(call, write(tmp_path), driver_environment)
    assert left["mappings"] <= 2
    assert left["files"] == 0
    assert left["KiB"] < 4096


LAMBDA = 45.5322  # eV, of the Stillinger-Weber model: its energy is linear in it


def with_number_changed(package: bytes, old: float, new: float) -> bytes:
    """The package with another float64 in its machine code, and corrected checksums."""
    written = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(package)) as archive, zipfile.ZipFile(written, "w") as made:
        contents = {info.filename: archive.read(info) for info in archive.infolist()}
        (text_name,) = (name for name in contents if name.endswith("extra/torchml.txt"))
        text = contents.pop(text_name).decode()
        for name, data in contents.items():
            if name.endswith(".so"):
                assert struct.pack("<d", old) in data
                data = data.replace(struct.pack("<d", old), struct.pack("<d", new))
                record = name.partition("/")[2]
                line = f"file {record} {len(data)} {zlib.crc32(data):08x}"
                text, count = re.subn(rf"^file {re.escape(record)} .*$", line, text, flags=re.M)
                assert count == 1
            made.writestr(name, data)
        made.writestr(text_name, text)
    return written.getvalue()


def test_a_package_that_replaces_another_is_another_model(
    driver_environment: DriverEnvironment, tmp_path: Path
) -> None:
    """With the same name and size, during and after the previous one's life."""
    folder = stillinger_weber_model(tmp_path)
    package = folder / "model.pt2"
    original, step = package.read_bytes(), crystal(1, CUTOFF)
    alive, energies = [], []
    for factor in (1.0, 2.0, 3.0, 1.0):
        package.write_bytes(with_number_changed(original, LAMBDA, factor * LAMBDA))
        alive.append(potential_of(folder))
        energies.append(float(alive[-1].compute_particles(*step).energy))
    assert energies[3] == energies[0]
    assert energies[1] - energies[0] > 1e-3
    assert energies[2] - energies[0] == pytest.approx(2.0 * (energies[1] - energies[0]), rel=1e-9)
    again = [float(potential.compute_particles(*step).energy) for potential in alive]
    assert again == energies
    alive.clear()
    assert float(potential_of(folder).compute_particles(*step).energy) == energies[0]
