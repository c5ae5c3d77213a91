"""The Python module in programs with threads, forks, many potentials and sudden exits.

Each program runs in a separate process, with two threads for torch, which make forks dangerous.
"""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support import ROOT, DriverEnvironment
from tests.support.compiled_models import stillinger_weber_folder
from tests.support.structures import cluster, rattled_crystal
from tests.support.torch_models import Springs, SpringsSingle, SpringsWithForces, write_model

pytestmark = pytest.mark.usefixtures("in_collection")

START = """\
import os, signal, sys, threading
import numpy as np
from tests.support.structures import rattled_crystal

model = sys.argv[1]
atoms = rattled_crystal() * (2, 2, 2)

def load(**options):
    import torchml_driver
    return torchml_driver.Potential(model, **options)

def energy(potential):
    arrays = (atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc)
    return potential.compute(*arrays).energy

def in_child(action):
    # Prints what happens in a forked process; a hang ends after a while.
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        try:
            print("child:", action())
        except RuntimeError as problem:
            print("child:", type(problem).__name__, problem)
        sys.stdout.flush()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0, "the child did not end by itself"
"""
ENERGY = 8 * -261.3538177342696


@pytest.fixture(scope="module", params=["TorchScript", "compiled"])
def model(
    request: pytest.FixtureRequest,
    driver_environment: DriverEnvironment,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The example's folder, in each format."""
    if request.param == "TorchScript":
        return driver_environment.packed
    return stillinger_weber_folder(tmp_path_factory.mktemp("compiled"))


def python(
    program: str, environment: DriverEnvironment, model: Path | None = None, **variables: str
) -> str:
    """The program's output; its `model` is the example unless another is given."""
    done = subprocess.run(
        [sys.executable, "-c", START + program, str(model or environment.packed)],
        cwd=ROOT,
        env={**environment.env, "OMP_NUM_THREADS": "2", **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def child_energies(printed: str) -> list[float]:
    return [float(line.split()[1]) for line in printed.splitlines() if line.startswith("child:")]


def test_a_fork_after_use_gives_an_error_that_says_what_to_do(
    model: Path,
    driver_environment: DriverEnvironment,
) -> None:
    printed = python(
        """
potential, unused = load(), load()
energy(potential)
in_child(lambda: energy(potential))
in_child(lambda: energy(unused))
in_child(lambda: energy(load()))
in_child(lambda: load(device="cuda"))
print("parent:", energy(potential))
""",
        driver_environment,
        model,
    )
    children = [line for line in printed.splitlines() if line.startswith("child:")]
    assert len(children) == 4
    for line in children:
        assert line.startswith("child: Error")
        assert "forked" in line
        assert "spawn" in line
    assert float(printed.split("parent:")[1]) == pytest.approx(ENERGY, abs=1e-8)


def test_descriptors_in_a_fork_after_use_give_the_same_error(
    driver_environment: DriverEnvironment,
) -> None:
    printed = python(
        """
from torchml_driver.descriptors import Descriptor
descriptor = Descriptor("tests/data/descriptors/bispectrum4.kliff.dat", ["Si"])
descriptor.values(atoms)
in_child(lambda: descriptor.values(atoms))
""",
        driver_environment,
    )
    assert "child: Error" in printed
    assert "forked" in printed


def test_a_fork_before_any_use_works(model: Path, driver_environment: DriverEnvironment) -> None:
    printed = python(
        """
potential = load()
in_child(lambda: energy(potential))
in_child(lambda: energy(load()))
in_child(lambda: in_child(lambda: energy(load())) or energy(load()))
""",
        driver_environment,
        model,
    )
    assert child_energies(printed) == pytest.approx([ENERGY] * 4, abs=1e-8)


@pytest.mark.parametrize("loaded", ["before the fork", "after the fork"])
def test_a_fork_after_torch_was_used_otherwise_works(
    loaded: str, driver_environment: DriverEnvironment
) -> None:
    """The child has no torch threads; waiting for them would never end."""
    before = "import torchml_driver" if loaded == "before the fork" else ""
    printed = python(
        f"""
import torch
{before}
torch.randn(1000, 1000) @ torch.randn(1000, 1000)
weights = torch.randn(1_000_000, requires_grad=True)
weights.exp().sum().backward()
assert torch.get_num_threads() == 2
in_child(lambda: energy(load()))
""",
        driver_environment,
    )
    assert child_energies(printed) == pytest.approx([ENERGY], abs=1e-8)


def test_spawned_processes_work_at_any_time(
    driver_environment: DriverEnvironment, tmp_path: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        START
        + """
def work(_):
    return energy(load())

if __name__ == "__main__":
    import multiprocessing
    energy(load())
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        print(*pool.map(work, range(2)))
"""
    )
    done = subprocess.run(
        [sys.executable, script, driver_environment.packed],
        env={**driver_environment.env, "PYTHONPATH": _python_path(), "OMP_NUM_THREADS": "2"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [float(word) for word in done.stdout.split()] == pytest.approx([ENERGY] * 2, abs=1e-8)


def _python_path() -> str:
    return os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))


ENDS = {
    "globals that live": "",
    "computing at exit": """
import atexit
atexit.register(lambda: print(energy(potential)))
""",
    "a thread that never ends": """
import time
def work():
    while True:
        energy(potential)
threading.Thread(target=work, daemon=True).start()
time.sleep(0.5)
""",
    "sys.exit": "sys.exit(0)",
    "references that nobody gives back": """
import ctypes
ctypes.pythonapi.Py_IncRef(ctypes.py_object(potential))
""",
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())
def test_a_program_may_end_with_potentials_alive(
    end: str, driver_environment: DriverEnvironment
) -> None:
    program = "potential = load()\nenergy(potential)\nkept = [potential, load()]\n"
    python(program + end, driver_environment)


@pytest.mark.parametrize("end", ["", ENDS["references that nobody gives back"], "del potential"])
def test_the_profile_is_printed_once_whatever_the_end(
    end: str, driver_environment: DriverEnvironment
) -> None:
    program = """
potential = load()
for _ in range(3):
    energy(potential)
in_child(lambda: "nothing of its own")
"""
    printed = python(program + end, driver_environment, KIM_MODEL_PROFILE="1")
    assert printed.count("TorchML profile") == 1
    assert "3 steps" in printed


def compute(potential: Any, repeats: int = 1) -> list[Any]:
    atoms = rattled_crystal()
    arrays = (atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc)
    return [potential.compute(*arrays) for _ in range(repeats)]


@pytest.mark.parametrize("shared", [False, True], ids=["one each", "one for all"])
def test_threads_compute_at_once(shared: bool, model: Path) -> None:
    import torchml_driver

    def load() -> Any:
        return torchml_driver.Potential(model)

    common = load()
    (expected,) = compute(common)
    with ThreadPoolExecutor(4) as threads:
        work = [threads.submit(compute, common if shared else load(), 10) for _ in range(4)]
        for results in (one.result() for one in work):
            for result in results:
                assert result.energy == expected.energy
                np.testing.assert_array_equal(result.forces, expected.forces)


def test_threads_that_share_a_potential_may_have_different_systems(
    driver_environment: DriverEnvironment,
) -> None:
    import torchml_driver

    potential = torchml_driver.Potential(driver_environment.packed)
    systems = [rattled_crystal(), cluster(), rattled_crystal() * (2, 1, 1)]

    def energy(index: int) -> float:
        atoms = systems[index % len(systems)]
        return float(
            potential.compute(atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc).energy
        )

    expected = [energy(index) for index in range(3)]
    with ThreadPoolExecutor(3) as threads:
        assert list(threads.map(energy, range(30))) == expected * 10


def test_many_potentials_live_beside_each_other(tmp_path: Path) -> None:
    import torchml_driver

    folders = [
        write_model(tmp_path / "springs", Springs()),
        write_model(tmp_path / "single", SpringsSingle()),
        write_model(tmp_path / "forces", SpringsWithForces(), returns_forces=True),
    ]
    atoms = cluster()

    def energy(potential: Any) -> float:
        return float(potential.compute(atoms.numbers, atoms.positions).energy)

    expected = [energy(torchml_driver.Potential(folder)) for folder in folders]
    alive = [torchml_driver.Potential(folders[index % 3]) for index in range(21)]
    for _ in range(2):
        assert [energy(potential) for potential in alive] == expected * 7
    del alive[::2]
    assert [energy(potential) for potential in alive] == (expected * 7)[1::2]
