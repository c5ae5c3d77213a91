"""A prebuilt driver computes the known energy on a machine without compiler, CMake and network."""

from __future__ import annotations

import importlib.util
import json
import resource
import shlex
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clean.machines import ENVIRONMENT, CleanMachine, Outcome, machine, obstacle, seed
from tests.support.prebuilt import give_kim, wheelhouse
from torchml_installer import errors
from torchml_installer.driver.driver_check import write_files

pytestmark = pytest.mark.slow

_WHEELS = "/srv/wheels"
_COMPUTE = """\
import sys, torchml_driver
potential = torchml_driver.Potential(sys.argv[1], atomic_numbers=False, device="cpu")
print(repr(float(potential.compute(["Si", "Si"], [[0, 0, 0], [1.5, 0, 0]]).energy)))
"""
#: exp(-1.5), of the model that the installer tests with.
_ENERGY = 0.22313016014842982


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if reason := obstacle():
        pytest.skip(reason)
    return wheelhouse(tmp_path_factory.mktemp("wheels") / "wheels")


@pytest.fixture
def uncompiled(tmp_path: Path, wheels: Path) -> Iterator[CleanMachine]:
    """With torch, the KIM-API and the wheels, but without a compiler, CMake and a network."""
    environment = seed(tmp_path / "python")
    with machine(tmp_path / "machine", environment) as made:
        give_kim(made.path("/"))
        shutil.copytree(wheels, made.path(_WHEELS))
        spec = importlib.util.find_spec("torch")
        assert spec is not None
        assert spec.origin is not None
        torch = Path(spec.origin).parent
        packages = "{}/lib/python{}.{}/site-packages".format(ENVIRONMENT, *sys.version_info)
        made.administer(
            f"mkdir $root{packages}/torch\n"
            f"mount --bind {shlex.quote(str(torch))} $root{packages}/torch"
        )
        made.environment |= {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": "/dev/null"}
        yield made


def installed(clean: CleanMachine, *words: str) -> Outcome:
    outcome = clean.install("driver", *words, timeout=120).plain()
    assert outcome.code == 0, outcome.said
    assert "untested" not in outcome.err
    assert "Installing the prebuilt driver" in outcome.err
    assert "testing the driver with a known energy: done" in outcome.err
    return outcome


def energy_of_the_module(clean: CleanMachine) -> float:
    model = clean.give("/srv/model", user=0)
    write_files(model)
    parameters = next(model.glob("*.param"))
    place = f"/srv/model/{parameters.name}"
    done = clean.run(f"{ENVIRONMENT}/bin/python", "-c", _COMPUTE, place)
    assert done.code == 0, done.err
    return float(done.out)


def test_within_seconds_it_is_installed_and_computes_the_known_energy(
    uncompiled: CleanMachine,
) -> None:
    for program in ("cc", "gcc", "c++", "g++", "clang++", "cmake", "make", "ninja"):
        assert uncompiled.run("/bin/sh", "-c", f"command -v {program}").code != 0
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    outcome = installed(uncompiled, "--find-links", _WHEELS)
    wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"\n{wall:.1f} s, of which this machine computed {used:.1f} s")
    # Other programs may keep the machine busy, but do not count here.
    assert used < 10.0
    assert "Installed the Python module torchml_driver" in outcome.out
    assert energy_of_the_module(uncompiled) == pytest.approx(_ENERGY, abs=1e-12)


def test_the_installed_wheel_suffices(uncompiled: CleanMachine) -> None:
    """As after `pip install torchml_driver-….whl`; and uninstalling leaves what pip installed."""
    pip = [f"{ENVIRONMENT}/bin/python", "-m", "pip", "install", "--quiet"]
    done = uncompiled.run(*pip, "--find-links", _WHEELS, "torchml-driver", timeout=120)
    assert done.code == 0, done.err
    found = json.loads(uncompiled.install("doctor", "--json").out)
    assert (found["ok"], found["exit_code"]) == (True, 0)
    answer = json.loads(installed(uncompiled, "--json").out)
    assert answer["prebuilt"].endswith("site-packages/torchml_driver")
    assert answer["python_module"] == f"{ENVIRONMENT}/bin/python"
    assert energy_of_the_module(uncompiled) == pytest.approx(_ENERGY, abs=1e-12)
    shown = uncompiled.install("doctor").plain()
    assert "built with torch" in shown.out
    assert "The driver is installed" in shown.out or "Everything needed" in shown.out
    assert uncompiled.install("uninstall", "--all").plain().code == 0
    assert uncompiled.run(f"{ENVIRONMENT}/bin/python", "-c", "import torchml_driver").code == 0
    assert "Not installed yet" in uncompiled.install("doctor").out


def test_what_find_links_brought_goes_with_uninstall(uncompiled: CleanMachine) -> None:
    installed(uncompiled, "--find-links", _WHEELS)
    assert uncompiled.install("uninstall", "--all").plain().code == 0
    program = (
        "import importlib.util as u; print(u.find_spec('torchml_driver'), u.find_spec('numpy'))"
    )
    assert uncompiled.run(f"{ENVIRONMENT}/bin/python", "-c", program).out == "None None\n"


def test_compiling_is_refused_with_the_way_to_do_without(uncompiled: CleanMachine) -> None:
    outcome = uncompiled.install("driver").plain()
    assert outcome.code == errors.NoCompilerError.exit_code
    assert "--find-links DIR" in outcome.err
    built = uncompiled.install("driver", "--find-links", _WHEELS, "--build").plain()
    assert built.code == errors.NoCompilerError.exit_code


def test_one_of_another_torch_is_not_taken(uncompiled: CleanMachine) -> None:
    root = uncompiled.give("/srv/torch", user=0)
    for folder in ("lib", "include"):
        (root / folder).mkdir()
    for name in ("lib/libtorch_cpu.so", "lib/libc10.so"):
        (root / name).touch()
    for name in ("ATen/ATen.h", "torch/script.h"):
        (root / "include" / name).parent.mkdir(parents=True)
        (root / "include" / name).touch()
    (root / "version.py").write_text("__version__ = '2.6.0'\n")
    words = ("driver", "--prebuilt", "--find-links", _WHEELS, "--torch-root", "/srv/torch")
    outcome = uncompiled.install(*words).plain()
    assert outcome.code == errors.PrebuiltUnfitError.exit_code
    assert "the torch here is 2.6.0" in outcome.err
