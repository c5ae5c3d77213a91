"""ASE's KIM calculator and kimpy in programs that import torch and others in any order, use many
calculators, threads and forks, and exit in any way.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping

import pytest

from tests.support import ROOT, DriverEnvironment
from tests.support.structures import EXAMPLE_MODEL, REFERENCE_MODEL

ENERGY = -261.3538177342696  # eV, for the documented crystal

START = f"""\
import os, signal, sys
MODEL = {EXAMPLE_MODEL!r}
PUBLISHED = {REFERENCE_MODEL!r}

def crystal(model=MODEL):
    from ase.calculators.kim import KIM
    from tests.support.structures import rattled_crystal
    atoms = rattled_crystal()
    atoms.calc = KIM(model)
    return atoms

def energy(atoms):
    atoms.calc.reset()
    atoms.get_forces()
    return atoms.get_potential_energy()
"""


def python(program: str, env: Mapping[str, str], **variables: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", START + program],
        cwd=ROOT,
        env={**env, "OMP_NUM_THREADS": "2", **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    "first",
    [
        "import torch, numpy, kimpy",
        "import numpy, kimpy, torch",
        "import kimpy, torch",
        "import kimpy",
        "import torchml_driver, torch",
        "import torch, torchml_driver",
    ],
)
def test_imports_may_come_in_any_order(first: str, driver_environment: DriverEnvironment) -> None:
    """With ASE's defaults, kimpy holds Python's lock while a model computes."""
    printed = python(
        f"{first}\nprint(energy(crystal()))\nimport torch\n"
        "torch.ones(3, requires_grad=True).sum().backward()\nprint(energy(crystal()))",
        driver_environment.env,
    )
    assert [float(word) for word in printed.split()] == pytest.approx([ENERGY] * 2, abs=1e-9)


def test_both_modules_compute_in_one_process(driver_environment: DriverEnvironment) -> None:
    printed = python(
        f"""
from torchml_driver.ase import TorchMLCalculator
ours, through_kim = crystal(), crystal()
ours.calc = TorchMLCalculator({str(driver_environment.packed)!r})
for _ in range(2):
    print(energy(ours), energy(through_kim))
""",
        driver_environment.env,
    )
    assert [float(word) for word in printed.split()] == pytest.approx([ENERGY] * 4, abs=1e-9)


def test_many_calculators_live_beside_each_other(driver_environment: DriverEnvironment) -> None:
    printed = python(
        """
import torch
alive = [crystal(PUBLISHED if index % 3 == 0 else MODEL) for index in range(20)]
for _ in range(2):
    print(*(energy(atoms) for atoms in alive))
del alive[::2]
print(*(energy(atoms) for atoms in alive))
""",
        driver_environment.env,
    )
    assert [float(word) for word in printed.split()] == pytest.approx([ENERGY] * 50, abs=1e-9)


def test_threads_compute_at_once(driver_environment: DriverEnvironment) -> None:
    """One calculator per thread; and one model for all, with kimpy's lists releasing the lock."""
    printed = python(
        """
from concurrent.futures import ThreadPoolExecutor
from tests.support.kim_simulator import Particles, Simulator
from tests.support.structures import CUTOFF, rattled_crystal

def work(_):
    atoms = crystal()
    return [energy(atoms) for _ in range(5)]

with ThreadPoolExecutor(4) as threads:
    for energies in threads.map(work, range(4)):
        print(*energies)
    common, particles = Simulator(MODEL), Particles.of(rattled_crystal(), CUTOFF)
    for result in threads.map(lambda _: common.compute(particles), range(20)):
        print(result.energy)
""",
        driver_environment.env,
    )
    assert [float(word) for word in printed.split()] == pytest.approx([ENERGY] * 40, abs=1e-9)


def test_a_fork_after_use_gives_an_error_and_one_before_works(
    driver_environment: DriverEnvironment,
) -> None:
    printed = python(
        """
import torch

def in_child(action):
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        try:
            print("child:", action())
        except RuntimeError as problem:
            print("child: failed")
        sys.stdout.flush()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0

atoms = crystal()
in_child(lambda: energy(atoms))
energy(atoms)
in_child(lambda: energy(atoms))
in_child(lambda: energy(crystal()))
with open("kim.log") as log:
    print("log:", sum("spawn" in line for line in log))
os.remove("kim.log")
""",
        driver_environment.env,
    )
    before, *after, log = printed.splitlines()
    assert float(before.split()[1]) == pytest.approx(ENERGY, abs=1e-9)
    assert after == ["child: failed", "child: failed"]
    assert log == "log: 2"


# Makes `model` as a C program would, without Python's lock.
CREATED = """
import ctypes
kim, libc = ctypes.CDLL("libkim-api.so.2"), ctypes.CDLL(None)
class Named(ctypes.Structure):
    _fields_ = [("id", ctypes.c_int)]
def named(name):
    return Named.in_dll(kim, "KIM_" + name)
libc.malloc.restype = ctypes.c_void_p
model, accepted = ctypes.c_void_p(libc.malloc(8)), ctypes.c_int()
units = ["LENGTH_UNIT_A", "ENERGY_UNIT_eV", "CHARGE_UNIT_e", "TEMPERATURE_UNIT_K", "TIME_UNIT_ps"]
failed = kim.KIM_Model_Create(
    named("NUMBERING_zeroBased"), *map(named, units), MODEL.encode(), ctypes.byref(accepted), model
)
assert not failed
"""


def test_a_second_interpreter_does_not_confuse_who_holds_pythons_lock(
    driver_environment: DriverEnvironment,
) -> None:
    """With a subinterpreter, PyGILState_Check() returns 1 in every thread."""
    printed = python(
        f"""
try:
    import _interpreters as interpreters
except ImportError:  # before Python 3.13
    import _xxsubinterpreters as interpreters
interpreters.create()
{CREATED}
kim.KIM_Model_Destroy(model)
print(energy(crystal()))
""",
        driver_environment.env,
    )
    assert float(printed) == pytest.approx(ENERGY, abs=1e-9)


ENDS = {
    "globals that live": "",
    "computing at exit": "import atexit\natexit.register(lambda: print(energy(atoms)))\n",
    "a thread that never ends": """
import threading, time
def work():
    own = crystal()
    while True:
        energy(own)
threading.Thread(target=work, daemon=True).start()
time.sleep(0.5)
""",
    # As in a C program, after Python has been finalised.
    "a model destroyed after Python": CREATED
    + """
destroy = ctypes.cast(kim.KIM_Model_Destroy, ctypes.c_void_p)
assert libc.__cxa_atexit(destroy, model, None) == 0
""",
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())
def test_a_program_may_end_with_calculators_alive(
    end: str, driver_environment: DriverEnvironment
) -> None:
    python(
        "import torch\natoms = crystal()\nenergy(atoms)\nkept = [atoms.calc, crystal()]\n" + end,
        driver_environment.env,
    )


@pytest.mark.parametrize("end", ["", "import gc\ndel atoms\ngc.collect()\n"])
def test_the_profile_is_printed_once_whatever_the_end(
    end: str, driver_environment: DriverEnvironment
) -> None:
    program = "atoms = crystal()\nfor _ in range(3):\n    energy(atoms)\n"
    printed = python(program + end, driver_environment.env, KIM_MODEL_PROFILE="1")
    assert printed.count("TorchML profile") == 1
