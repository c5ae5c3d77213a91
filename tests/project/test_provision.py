"""What ci/provision.py decides and says; what it installs is shown by every other test."""

from __future__ import annotations

import dataclasses
import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.support import ROOT


@pytest.fixture
def provision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module, with a .venv of its own."""
    path = ROOT / "ci" / "provision.py"
    spec = importlib.util.spec_from_file_location("provision", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "provision", module)
    spec.loader.exec_module(module)
    venv = tmp_path / ".venv"
    monkeypatch.setattr(module, "VENV", venv)
    monkeypatch.setattr(module, "VENV_PYTHON", venv / "bin" / "python")
    monkeypatch.setattr(module, "STAMP", venv / "provision.json")
    monkeypatch.setattr(module, "LOG", venv / "provision.log")
    return module


def lacking(module: ModuleType, monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Makes the system look as if it had everything but the named needs."""
    needs = [
        dataclasses.replace(need, present=lambda what=need.what: what not in names)
        for need in module.NEEDS
    ]
    monkeypatch.setattr(module, "NEEDS", needs)
    monkeypatch.setattr(module, "installed_by_dpkg", lambda packages: set())


@pytest.mark.parametrize("program", ["lmp", "lmp_mpi", "lmp_serial"])
def test_lammps_is_there_by_any_of_its_names(
    program: str, provision: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """conda-forge's has no lmp: it is not to be installed again and again."""
    monkeypatch.setenv("PATH", str(tmp_path))
    (lammps,) = (need for need in provision.NEEDS if need.what == "LAMMPS")
    assert not lammps.present()
    (tmp_path / program).write_text("#!/bin/sh\n")
    (tmp_path / program).chmod(0o755)
    assert lammps.present()


def test_without_root_what_is_missing_is_named_for_apt_and_conda(
    provision: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    lacking(provision, monkeypatch, "KIM-API", "LAMMPS")
    monkeypatch.setattr(provision, "superuser_prefix", lambda: None)
    monkeypatch.setattr(sys, "argv", ["provision.py"])
    assert provision.main() == 1
    printed = capsys.readouterr().out
    assert "sudo apt-get install lammps libkim-api-dev pkg-config" in printed
    assert "conda install -c conda-forge kim-api lammps pkg-config" in printed
    assert "openkim-models" not in printed
    assert not provision.VENV.exists()


def test_a_dry_run_installs_nothing(
    provision: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lacking(provision, monkeypatch, "xxd")
    monkeypatch.setattr(provision, "superuser_prefix", list)
    monkeypatch.setattr(provision.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(sys, "argv", ["provision.py", "--dry-run", "--no-kimpy"])
    assert provision.main() == 0
    printed = capsys.readouterr().out
    assert "xxd" in printed
    assert "torch==" in printed
    assert "kimpy" not in printed
    assert not provision.VENV.exists()


@pytest.mark.parametrize(
    ("purpose", "packages"),
    [
        ((), set()),
        (("--for", "test"), {"libtorch-dev"}),
        (("--for", "fuzz"), {"clang", "libclang-rt-dev"}),
        (("--for", "test-all"), {"libtorch-dev", "clang", "libclang-rt-dev", "g++-11"}),
    ],
    ids=["demo", "test", "fuzz", "test-all"],
)
def test_other_toolchains_come_only_with_the_tests_of_them(
    purpose: tuple[str, ...],
    packages: set[str],
    provision: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    lacking(provision, monkeypatch, "the oldest libtorch", "clang", "libFuzzer", "the oldest gcc")
    monkeypatch.setattr(provision, "superuser_prefix", list)
    monkeypatch.setattr(provision.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(sys, "argv", ["provision.py", "--dry-run", *purpose])
    assert provision.main() == 0
    printed = capsys.readouterr().out
    apt = [line for line in printed.splitlines() if "would install with apt: " in line]
    assert {word for line in apt for word in line.split("apt: ")[1].split()} == packages


def test_who_cannot_install_other_toolchains_gets_the_rest(
    provision: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lacking(provision, monkeypatch, "the oldest libtorch")
    monkeypatch.setattr(provision, "superuser_prefix", lambda: None)
    monkeypatch.setattr(sys, "argv", ["provision.py", "--dry-run", "--for", "test"])
    assert provision.main() == 0
    printed = capsys.readouterr().out
    assert "without the oldest libtorch (libtorch-dev): the tests of it are skipped" in printed
    assert "torch==" in printed


@pytest.mark.parametrize("others", [["xxd"], []], ids=["among others", "alone"])
def test_a_toolchain_that_apt_does_not_know_is_left_out(
    others: list[str],
    provision: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    installed: list[str] = []
    lacking(provision, monkeypatch, "the oldest gcc", *others)
    monkeypatch.setattr(provision, "superuser_prefix", list)
    monkeypatch.setattr(provision.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(provision, "succeeds", lambda command: "g++-11" not in command)

    def apt(command: list[str], prefix: list[str], progress: Any) -> None:
        if "install" in command:
            assert len(command) > command.index("--no-install-recommends") + 1
            installed.extend(command[command.index("--no-install-recommends") + 1 :])
            lacking(provision, monkeypatch, "the oldest gcc")

    monkeypatch.setattr(provision, "run_apt", apt)
    provision.install_system_packages(provision.Progress(0.0), dry_run=False, purpose="test-all")
    assert installed == others
    assert "without the oldest gcc (g++-11)" in capsys.readouterr().out


def test_an_old_python_is_told_which_newer_one_to_use(
    provision: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provision.sys, "version_info", (3, 9, 2))
    monkeypatch.setattr(
        provision.shutil, "which", lambda name: name if name == "python3.12" else None
    )
    monkeypatch.setattr(provision, "succeeds", lambda command: True)
    with pytest.raises(provision.ProvisionError, match=r"python3\.12 ci/provision\.py"):
        provision.check_python()


def test_a_full_disk_is_noticed_before_anything_is_downloaded(
    provision: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = provision.shutil.disk_usage(ROOT)
    monkeypatch.setattr(provision.shutil, "disk_usage", lambda path: usage._replace(free=10**8))
    with pytest.raises(provision.ProvisionError, match="make room"):
        provision.check_disk()


@pytest.mark.parametrize(
    ("output", "cause"),
    [
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("Failed to establish a new connection: [Errno -3] Temporary failure", "network"),
        ("ERROR: No matching distribution found for torch==99", "no such version"),
        ("fatal error: Python.h: No such file or directory", "python3-dev"),
        ("something else", ""),
    ],
)
def test_causes_are_recognised(provision: Any, output: str, cause: str) -> None:
    assert cause in provision.diagnosis(output)
    assert bool(provision.diagnosis(output)) == bool(cause)


def test_a_failed_step_shows_the_end_of_its_output(provision: Any) -> None:
    progress = provision.Progress(0.0)
    command = [sys.executable, "-c", "print('No space left on device'); raise SystemExit(3)"]
    with pytest.raises(provision.ProvisionError) as caught:
        provision.run_logged(command, "torch", progress, {})
    message = str(caught.value)
    assert "torch failed (exit 3)" in message
    assert "disk is full" in message
    assert str(provision.LOG) in message


def test_steps_are_done_again_only_when_something_changed(
    provision: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = provision.steps("torch==2.13.0", None, True)
    assert [step.name for step in plan] == ["torch", "packages", "kimpy", "project"]
    installed = {name for step in plan for name in step.distributions}
    monkeypatch.setattr(provision, "installed_distributions", lambda: installed)
    provision.VENV.mkdir()
    provision.write_stamp({step.name: step.fingerprint for step in plan})
    assert provision.pending(plan) == []

    other_torch = provision.steps("torch==2.7.0", None, True)
    assert [step.name for step in provision.pending(other_torch)] == ["torch"]
    installed.discard("kimpy")
    assert [step.name for step in provision.pending(plan)] == ["kimpy"]


@pytest.mark.parametrize("contents", ["", "{", "[1]"])
def test_a_damaged_stamp_means_that_nothing_is_known(provision: Any, contents: str) -> None:
    provision.VENV.mkdir()
    provision.STAMP.write_text(contents)
    assert provision.read_stamp() == {}


def test_a_look_at_what_is_there_takes_a_moment() -> None:
    if not (ROOT / ".venv" / "provision.json").exists():
        pytest.skip("the tests run in an environment that ci/provision.py did not make")
    command = [sys.executable, ROOT / "ci" / "provision.py", "--check"]
    done = subprocess.run(command, timeout=3, check=False, capture_output=True, text=True)
    assert done.stdout.startswith(("nothing is missing", "missing: "))
