"""What a compiled model (.pt2) says of itself decides whether it runs here; and what becomes of the
folder that it is unpacked into. Nothing here is compiled, and no GPU is needed."""

from __future__ import annotations

import locale
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support import DriverEnvironment

pytestmark = pytest.mark.usefixtures("driver_environment")

TEXT = """\
torchml-package 1
torch 2.13.0
device {device}
machine x86_64
instructions avx2 fma
{capability}argument descriptor float64 * 51
gradient descriptor
entry energies_and_gradient
"""
ON_CPU = TEXT.format(device="cpu", capability="")
MACHINE: dict[str, Any] = {
    "torch": "2.13.0",
    "device": "cpu",
    "processor": "x86_64",
    "instructions": {"avx", "avx2", "fma"},
    "capability": "",
}


def on_gpu(capability: str) -> str:
    return TEXT.format(device="cuda", capability=f"capability {capability}\n")


def require(text: str, **machine: Any) -> None:
    from torchml_driver import _core

    _core.require_compatible(text, **{**MACHINE, **machine})


def refusal(text: str, **machine: Any) -> str:
    from torchml_driver import Error

    with pytest.raises(Error) as caught:
        require(text, **machine)
    return str(caught.value)


class TestMachines:
    @pytest.mark.parametrize("torch", ["2.13.0", "2.13.1", "2.13.99"])
    def test_a_series_of_torch_is_one(self, torch: str) -> None:
        require(ON_CPU, torch=torch)

    @pytest.mark.parametrize("torch", ["2.12.0", "2.14.0", "2.1.3", "3.13.0"])
    def test_another_series_is_told(self, torch: str) -> None:
        message = refusal(ON_CPU, torch=torch)
        assert f"compiled for torch 2.13, but this process runs torch {torch}" in message
        assert "torchml-install model compile" in message

    def test_another_kind_of_device_is_told_in_both_directions(self) -> None:
        assert "compiled for the device cpu, but is to run on cuda" in refusal(
            ON_CPU, device="cuda", capability="9.0"
        )
        message = refusal(on_gpu("9.0"))
        assert "compiled for the device cuda, but is to run on cpu" in message
        assert "KIM_MODEL_EXECUTION_DEVICE=cuda" in message

    def test_another_kind_of_processor_is_told(self) -> None:
        message = refusal(ON_CPU, processor="aarch64")
        assert "compiled for x86_64 CPUs; this machine has aarch64" in message

    def test_instructions_that_are_missing_are_named(self) -> None:
        message = refusal(ON_CPU, instructions={"avx", "sse2"})
        assert "this one lacks: avx2, fma." in message
        assert "--cpu x86-64-v3` (without AVX-512)" in message
        require(ON_CPU, instructions=set())  # where the system does not tell, nobody can know

    @pytest.mark.parametrize(
        ("compiled", "present"),
        [("9.0", "9.0"), ("8.0", "8.6"), ("8.0", "8.9"), ("12.0", "12.1"), ("9.0", "")],
    )
    def test_gpus_of_the_same_major_capability_run_what_older_ones_run(
        self, compiled: str, present: str
    ) -> None:
        require(on_gpu(compiled), device="cuda", capability=present)

    @pytest.mark.parametrize(
        ("compiled", "present"),
        [("9.0", "8.0"), ("8.0", "9.0"), ("8.6", "8.0"), ("12.1", "12.0"), ("1.2", "12.0")],
    )
    def test_other_gpus_are_told(self, compiled: str, present: str) -> None:
        message = refusal(on_gpu(compiled), device="cuda", capability=present)
        assert f"for GPUs of compute capability {compiled}; this one has {present}." in message
        assert "torchml-install model compile --device cuda" in message


class TestDescriptions:
    @pytest.mark.parametrize(
        ("line", "instead"),
        [
            ("torchml-package 1", "torchml-package 3"),
            ("argument descriptor float64 * 51\n", ""),
            ("gradient descriptor\n", ""),
            ("entry energies_and_gradient", "entry energies"),
            ("float64", "complex64"),
            ("* 51", "* 5x"),
            ("* 51", "* -5"),
            ("* 51", "* 99999999999999999999"),
            ("entry", "file a.so 12 zz\nentry"),
            ("entry", "file a.so 12\nentry"),
            ("entry", "file a.so -1 00\nentry"),
            ("entry", "file a.so 1.5 00\nentry"),
        ],
    )
    def test_one_that_makes_no_sense_is_told(self, line: str, instead: str) -> None:
        assert line in ON_CPU
        message = refusal(ON_CPU.replace(line, instead))
        assert "package model.pt2 " in message
        assert "torchml-install model compile" in message

    def test_steps_are_for_the_cpu(self) -> None:
        steps = "step energies_and_gradient part a 64 | 0* | 1* 2*\n"
        steps += "step energies_and_gradient return 1 2\n"
        require(ON_CPU + steps)
        message = refusal(on_gpu("9.0") + steps, device="cuda", capability="9.0")
        assert "is for the device cuda, but has steps" in message

    def test_a_programs_locale_changes_nothing(self) -> None:
        before = locale.setlocale(locale.LC_ALL)
        try:
            for name in ("de_DE.UTF-8", "fr_FR.UTF-8", "C"):
                try:
                    locale.setlocale(locale.LC_ALL, name)
                except locale.Error:
                    continue
                require(ON_CPU.replace("* 51", "* 1234567"))
        finally:
            locale.setlocale(locale.LC_ALL, before)


FOLDERS = """\
import os, sys
from pathlib import Path
from torchml_driver import _core

def in_child(action):
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        action()
        sys.stdout.flush()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0

folder = _core.TemporaryFolder()
path = Path(folder.path)
(path / "model.so").write_text("code")
"""


class TestFolders:
    def run(self, program: str, tmp_path: Path, environment: DriverEnvironment) -> None:
        done = subprocess.run(
            [sys.executable, "-c", FOLDERS + program],
            env={**environment.env, "TMPDIR": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert list(tmp_path.iterdir()) == []

    def test_it_goes_with_the_model(
        self, tmp_path: Path, driver_environment: DriverEnvironment
    ) -> None:
        self.run("del folder\nassert not path.exists()\n", tmp_path, driver_environment)

    @pytest.mark.parametrize("end", ["", "sys.exit(0)\n"])
    def test_it_goes_with_the_process_that_keeps_the_model(
        self, end: str, tmp_path: Path, driver_environment: DriverEnvironment
    ) -> None:
        keep = "import ctypes\nctypes.pythonapi.Py_IncRef(ctypes.py_object(folder))\n"
        self.run(keep + end, tmp_path, driver_environment)

    def test_a_forked_process_leaves_it_to_the_one_that_made_it(
        self, tmp_path: Path, driver_environment: DriverEnvironment
    ) -> None:
        self.run(
            """
def give_back():
    global folder
    del folder
in_child(give_back)
assert (path / "model.so").read_text() == "code"
in_child(lambda: sys.exit(0))
assert (path / "model.so").read_text() == "code"
in_child(lambda: _core.TemporaryFolder())
""",
            tmp_path,
            driver_environment,
        )
