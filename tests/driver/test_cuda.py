"""On a GPU the driver gives the CPU's numbers, with one synchronisation per step.

    python -m pytest -m cuda

on a machine with an NVIDIA GPU, with a CUDA build of torch in the Python that runs the tests.
Elsewhere these tests are skipped.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms

from tests.support import EXAMPLE, DriverEnvironment, graph_models
from tests.support.compiled_models import compile_command, messages_folder, model_folder
from tests.support.descriptor_models import TanhNetwork, write_descriptor_model
from tests.support.edge_models import Directional, WithEdgeGradient, write_edge_model
from tests.support.graph_models import Messages, MessagesWithForces, write_graph_model
from tests.support.lammps_runs import Lammps
from tests.support.operator_cases import Case, cases, fresh
from tests.support.our_operators import namespaces
from tests.support.structures import CUTOFF, EXAMPLE_MODEL, STRUCTURES, cluster, rattled_crystal

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.usefixtures("driver_environment"),
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU that torch can use"),
]

DEVICE = "cuda"


def single(module: torch.nn.Module) -> torch.nn.Module:
    return module.float()


MODELS: dict[str, Callable[[Path], Path]] = {
    "graph": lambda folder: write_graph_model(folder, Messages()),
    "graph with fewer particles": lambda folder: write_graph_model(
        folder, Messages(), settings="edge_receiver_row 0\ndrop_unused_particles True"
    ),
    "single precision": lambda folder: write_graph_model(folder, single(Messages())),
    "returned forces": lambda folder: write_graph_model(
        folder, MessagesWithForces(), returns_forces=True
    ),
    "edges": lambda folder: write_edge_model(folder, Directional()),
    "edges that return a gradient": lambda folder: write_edge_model(
        folder, WithEdgeGradient(), returns_forces=True, settings="returns_edge_gradient True"
    ),
    "descriptors": lambda folder: write_descriptor_model(folder, TanhNetwork(15), "every_kind"),
}


def system(atoms: Atoms) -> tuple[Any, ...]:
    return atoms.get_chemical_symbols(), atoms.positions, atoms.cell.array, atoms.pbc


def assert_equal_on_both(slow: Path, fast: Path, atoms: Atoms, tolerance: float = 1e-9) -> None:
    """slow: on the CPU; fast: on the GPU. tolerance: relative to the largest number."""
    from torchml_driver import Potential

    on_cpu = Potential(slow, device="cpu").compute(*system(atoms), particle_energies=True)
    potential = Potential(fast, device=DEVICE)
    assert potential.device.startswith(DEVICE)
    on_gpu = potential.compute(*system(atoms), particle_energies=True)
    assert on_gpu.energy == pytest.approx(on_cpu.energy, rel=tolerance, abs=tolerance)
    for what in ("forces", "virial", "particle_energies"):
        found, expected = getattr(on_gpu, what), getattr(on_cpu, what)
        scale = max(float(np.abs(expected).max()), 1.0)
        np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * scale)
    alone = potential.compute(*system(atoms), forces=False)
    assert alone.energy == pytest.approx(on_cpu.energy, rel=tolerance, abs=tolerance)


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("name", MODELS)
def test_every_result_equals_the_cpus(name: str, structure: str, tmp_path: Path) -> None:
    folder = MODELS[name](tmp_path / "model")
    tolerance = 1e-4 if name == "single precision" else 1e-9
    assert_equal_on_both(folder, folder, STRUCTURES[structure](), tolerance)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_neighbour_lists_equal_the_cpus(
    structure: str, driver_environment: DriverEnvironment
) -> None:
    packed = driver_environment.packed
    assert_equal_on_both(packed, packed, STRUCTURES[structure]())


@pytest.mark.parametrize("device", ["cuda", "cuda:0"])
def test_a_gpu_can_be_named_by_its_number(
    device: str, driver_environment: DriverEnvironment
) -> None:
    from torchml_driver import Potential

    assert Potential(driver_environment.packed, device=device).device == "cuda:0"


def test_the_precision_on_a_gpu_is_the_models(tmp_path: Path) -> None:
    from torchml_driver import Potential

    folder = MODELS["single precision"](tmp_path / "model")
    assert Potential(folder, device=DEVICE).precision == 32


def moved(argument: Any) -> Any:
    return argument.to(DEVICE) if isinstance(argument, torch.Tensor) else argument


@pytest.mark.parametrize("case", list(cases()), ids=str)
def test_our_scatter_operators_equal_the_cpus(case: Case) -> None:
    operator = getattr(getattr(torch.ops, namespaces()[case.library]), case.operator)
    on_cpu = operator(*fresh(case.arguments))
    on_gpu = operator(*(moved(argument) for argument in fresh(case.arguments)))
    if not isinstance(on_cpu, tuple):
        on_cpu, on_gpu = (on_cpu,), (on_gpu,)
    # Any of several equal extremes may be named, so only the values must agree.
    extremes = ("_min", "_max")
    compared = (
        1 if any(word in case.operator for word in extremes) and "ties" in case.label else None
    )
    for one, other in zip(on_cpu[:compared], on_gpu[:compared], strict=True):
        if isinstance(one, torch.Tensor):
            assert other.device.type == DEVICE
            tolerance = {torch.float16: 2e-3, torch.float32: 1e-5}.get(one.dtype, 1e-12)
            torch.testing.assert_close(other.cpu(), one, rtol=tolerance, atol=tolerance)
        else:
            assert one == other


def test_two_potentials_compute_at_once(tmp_path: Path) -> None:
    from torchml_driver import Potential

    folders = [MODELS[name](tmp_path / name) for name in ("graph", "descriptors")]
    atoms = rattled_crystal()
    expected = [Potential(folder, device="cpu").compute(*system(atoms)) for folder in folders]
    potentials = [Potential(folder, device=DEVICE) for folder in folders]

    def compute(number: int) -> Any:
        return potentials[number].compute(*system(atoms))

    with ThreadPoolExecutor(4) as threads:
        for number, found in zip([0, 1] * 20, threads.map(compute, [0, 1] * 20), strict=True):
            assert found.energy == pytest.approx(expected[number].energy, rel=1e-9)
            np.testing.assert_allclose(found.forces, expected[number].forces, rtol=0, atol=1e-9)


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Compiled for this GPU."""
    folder = tmp_path_factory.mktemp("packages")
    sources = {
        "sw": (f"{EXAMPLE}/stillinger_weber.py:StillingerWeber", "--cutoff", str(CUTOFF)),
        "messages": (
            *("tests.support.graph_models:Messages", "--cutoff", str(graph_models.CUTOFF)),
            *("--pattern", "graph", "--layers", "3"),
        ),
    }
    for name, arguments in sources.items():
        output = folder / f"{name}.pt2"
        options = ("--elements", "Si", "--device", DEVICE, "--output", output)
        done = compile_command(*arguments, *options)
        assert done.returncode == 0, done.stderr
        if DEVICE == "cuda":
            assert "a GPU of compute capability" in done.stdout
    return {name: folder / f"{name}.pt2" for name in sources}


class TestCompiled:
    @pytest.mark.parametrize("structure", STRUCTURES)
    def test_neighbour_lists_equal_torchscript_on_the_cpu(
        self,
        structure: str,
        packages: Mapping[str, Path],
        driver_environment: DriverEnvironment,
        tmp_path: Path,
    ) -> None:
        fast = model_folder(tmp_path / "fast", packages["sw"].read_bytes(), "pt2", cutoff=CUTOFF)
        assert_equal_on_both(driver_environment.packed, fast, STRUCTURES[structure]())

    @pytest.mark.parametrize("structure", STRUCTURES)
    def test_messages_equal_torchscript_on_the_cpu(
        self, structure: str, packages: Mapping[str, Path], tmp_path: Path
    ) -> None:
        slow = write_graph_model(tmp_path / "slow", Messages())
        fast = messages_folder(tmp_path / "fast", packages["messages"].read_bytes())
        assert_equal_on_both(slow, fast, STRUCTURES[structure]())

    def test_on_the_cpu_the_package_is_refused(
        self, packages: Mapping[str, Path], tmp_path: Path
    ) -> None:
        from torchml_driver import Error, Potential

        with pytest.raises(Error, match="KIM_MODEL_EXECUTION_DEVICE=cuda"):
            Potential(
                messages_folder(tmp_path / "fast", packages["messages"].read_bytes()), device="cpu"
            )

    def test_nothing_stays_in_the_temporary_folder(
        self, packages: Mapping[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from torchml_driver import Potential

        temporary = tmp_path / "temporary"
        temporary.mkdir()
        monkeypatch.setenv("TMPDIR", str(temporary))
        potential = Potential(
            messages_folder(tmp_path / "fast", packages["messages"].read_bytes()), device=DEVICE
        )
        potential.compute(*system(cluster()))
        del potential
        assert list(temporary.iterdir()) == []


def events(potential: Any, systems: list[tuple[Any, ...]]) -> Counter[str]:
    """The events that torch's profiler records during these computations."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiler:
        for one in systems:
            potential.compute(*one)
    return Counter(event.name for event in profiler.events())


def waits(seen: Counter[str]) -> int:
    """The number of times that the host waited for the device."""
    waiting = re.compile(
        r"cuda(Stream|Event|Device)Synchronize|cudaMemcpy(2D)?$|cuda(Malloc|Free)$"
    )
    return sum(count for name, count in seen.items() if waiting.match(name))


def growing(n: int) -> list[tuple[Any, ...]]:
    """Systems with different numbers of particles and neighbours."""
    atoms = rattled_crystal()
    return [system(atoms[: len(atoms) - k]) for k in range(n)]


@pytest.mark.parametrize("name", [*MODELS, "compiled"])
def test_a_step_waits_once(name: str, packages: Mapping[str, Path], tmp_path: Path) -> None:
    from torchml_driver import Potential

    folder = tmp_path / "model"
    made = (
        messages_folder(folder, packages["messages"].read_bytes())
        if name == "compiled"
        else MODELS[name](folder)
    )
    potential = Potential(made, device=DEVICE)
    events(potential, growing(4))  # allocates memory, loads libraries
    few, many = (waits(events(potential, growing(4) * repeats)) for repeats in (1, 3))
    assert (many - few) / 8 == 1.0  # the profiler's own waits cancel


@pytest.mark.parametrize("name", ["graph", "compiled"])
def test_all_copies_are_from_and_to_pinned_memory(
    name: str, packages: Mapping[str, Path], tmp_path: Path
) -> None:
    from torchml_driver import Potential

    folder = tmp_path / "model"
    made = (
        messages_folder(folder, packages["messages"].read_bytes())
        if name == "compiled"
        else MODELS[name](folder)
    )
    potential = Potential(made, device=DEVICE)
    events(potential, growing(2))
    seen = events(potential, growing(2))
    copies = {event for event in seen if event.startswith("Memcpy") and "DtoD" not in event}
    assert any("HtoD" in copy for copy in copies)
    assert any("DtoH" in copy for copy in copies)
    assert not [copy for copy in copies if "Pageable" in copy], copies


def test_nothing_is_compiled_while_numbers_of_particles_change(tmp_path: Path) -> None:
    """Otherwise torch would fuse operations for the shapes of the first steps, and again later."""
    from torchml_driver import Potential

    potential = Potential(MODELS["graph"](tmp_path / "model"), device=DEVICE)
    seen = events(potential, growing(10))
    assert not [name for name in seen if re.search("fused_|TensorExpr|ProfiledGraph", name)]


@pytest.mark.usefixtures("in_collection")
class TestSimulators:
    def test_ase_through_kim(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from ase.calculators.kim import KIM

        results = []
        for device in ("cpu", DEVICE):
            monkeypatch.setenv("KIM_MODEL_EXECUTION_DEVICE", device)
            atoms = rattled_crystal()
            atoms.calc = KIM(EXAMPLE_MODEL)
            results.append((atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()))
        for on_cpu, on_gpu in zip(*results, strict=True):
            np.testing.assert_allclose(on_gpu, on_cpu, rtol=0, atol=1e-8)

    @pytest.mark.parametrize("ranks", [1, 2])
    def test_lammps(
        self, ranks: int, driver_environment: DriverEnvironment, tmp_path: Path
    ) -> None:
        on_cpu, on_gpu = (
            Lammps(
                tmp_path,
                {
                    **driver_environment.env,
                    "OMP_NUM_THREADS": "1",
                    "KIM_MODEL_EXECUTION_DEVICE": device,
                },
            ).static(rattled_crystal(), EXAMPLE_MODEL, ranks)
            for device in ("cpu", DEVICE)
        )
        assert on_gpu.energy == pytest.approx(on_cpu.energy, abs=1e-8)
        np.testing.assert_allclose(on_gpu.forces, on_cpu.forces, rtol=0, atol=1e-8)
        np.testing.assert_allclose(on_gpu.pressure, on_cpu.pressure, rtol=1e-9, atol=1e-5)
