"""Decisions and messages of ci/provision.py; all other tests show what it installs."""

from __future__ import annotations

import dataclasses
import importlib.util
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests.support import ROOT
from torchml_installer.deps import packages, providers
from torchml_installer.deps.needs import NEEDS as FOR_EVERYBODY
from torchml_installer.detect import lammps
from torchml_installer.errors import DiskFullError, PackageInstallError, TorchMLError


@pytest.fixture
def provision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module, with a separate .venv, in which it runs."""
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
    monkeypatch.setattr(module, "STAMP", venv / "provision.stamp")
    monkeypatch.setattr(module, "LOG", venv / "provision.log")
    monkeypatch.setattr(module, "IN_VENV", True)
    monkeypatch.setattr(module, "install_python_packages", lambda _torch, _index: None)
    # An administrator with an apt that has everything, whoever runs the tests.
    monkeypatch.setattr(providers, "superuser", lambda: ())
    everything = SimpleNamespace(which=lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(providers, "shutil", everything)
    monkeypatch.setattr(module, "succeeds", lambda _command: True)
    monkeypatch.delenv("CONDA_PREFIX", raising=False)
    return module


def lacking(module: ModuleType, monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Makes the system look as if it had everything but the named needs."""
    needs = [
        dataclasses.replace(need, present=lambda what=need.what: what not in names)
        for need in module.NEEDS
    ]
    known = {need.what for need in needs} | set(FOR_EVERYBODY)
    assert set(names) <= known
    everybodys = [FOR_EVERYBODY[name] for name in names if name in FOR_EVERYBODY]
    monkeypatch.setattr(module, "NEEDS", needs)
    monkeypatch.setattr(module, "installed_by_dpkg", lambda packages: set())
    monkeypatch.setattr(packages, "missing", lambda *_: everybodys)


@pytest.mark.parametrize("program", ["lmp", "lmp_mpi", "lmp_serial"])
def test_lammps_is_there_by_any_of_its_names(
    program: str, provision: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """conda-forge's has no lmp, but must not be installed again and again."""
    assert "lammps" in provision.words_of_deps(kimpy=True)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert lammps.detect().where is None
    (tmp_path / program).write_text("#!/bin/sh\n")
    (tmp_path / program).chmod(0o755)
    assert lammps.detect().where is not None


def test_everybodys_needs_are_those_of_deps(provision: Any) -> None:
    """torch is pip's, of the requested version; kimpy can be left out."""
    assert {*provision.words_of_deps(kimpy=True), "torch"} == set(FOR_EVERYBODY)
    assert {*provision.words_of_deps(kimpy=False), "torch", "kimpy"} == set(FOR_EVERYBODY)


def test_without_root_what_is_missing_is_named_for_apt_and_conda(
    provision: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    lacking(provision, monkeypatch, "kim-api", "lammps")
    monkeypatch.setattr(providers, "superuser", lambda: None)
    monkeypatch.setattr(sys, "argv", ["provision.py"])
    assert provision.main() == 1
    printed = capsys.readouterr().out
    assert "libkim-api-dev pkg-config lammps" in printed
    assert "sudo apt-get install" in printed
    assert "conda create -n torchml -c conda-forge" in printed
    assert "openkim-models" not in printed


def test_without_root_what_this_repository_needs_besides_is_named(
    provision: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lacking(provision, monkeypatch, "CMake", "web tool of KIM's commands", "shells")
    monkeypatch.setattr(providers, "superuser", lambda: None)
    monkeypatch.setattr(sys, "argv", ["provision.py", "--for", "test"])
    assert provision.main() == 1
    printed = capsys.readouterr().out
    assert "sudo apt-get install --no-install-recommends cmake wget`" in printed
    assert "conda install -c conda-forge cmake" in printed
    assert "without shells (fish tcsh zsh): the tests of it are skipped" in printed


def test_a_dry_run_installs_nothing(
    provision: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lacking(provision, monkeypatch, "xxd")
    monkeypatch.setattr(provision, "execute", None)
    monkeypatch.setattr(packages, "install", None)
    monkeypatch.setattr(sys, "argv", ["provision.py", "--dry-run", "--no-kimpy"])
    assert provision.main() == 0
    printed = capsys.readouterr().out
    assert "xxd" in printed
    assert "torch==" in printed
    assert "kimpy" not in printed
    assert not provision.VENV.exists()


def test_a_dry_run_without_an_environment_says_what_would_come(
    provision: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lacking(provision, monkeypatch, "CMake")
    monkeypatch.setattr(provision, "IN_VENV", False)
    monkeypatch.setattr(sys, "argv", ["provision.py", "--dry-run"])
    assert provision.main() == 0
    printed = capsys.readouterr().out
    assert f"would make {provision.VENV}" in printed
    assert "torch==" in printed
    assert "with apt: cmake\n" in printed
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
    monkeypatch.setattr(sys, "argv", ["provision.py", "--dry-run", *purpose])
    assert provision.main() == 0
    printed = capsys.readouterr().out
    apt = [line for line in printed.splitlines() if "would install with apt: " in line]
    assert {word for line in apt for word in line.split("apt: ")[1].split()} == packages


def test_who_cannot_install_other_toolchains_gets_the_rest(
    provision: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lacking(provision, monkeypatch, "the oldest libtorch")
    monkeypatch.setattr(providers, "superuser", lambda: None)
    monkeypatch.setattr(sys, "argv", ["provision.py", "--dry-run", "--for", "test"])
    assert provision.main() == 0
    printed = capsys.readouterr().out
    assert "without the oldest libtorch (libtorch-dev): the tests of it are skipped" in printed
    assert "torch==" in printed


@pytest.mark.parametrize("others", [["wget"], []], ids=["among others", "alone"])
def test_a_toolchain_that_apt_does_not_know_is_left_out(
    others: list[str],
    provision: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    installed: list[str] = []
    web_tool = ["web tool of KIM's commands"] if others else []
    lacking(provision, monkeypatch, "the oldest gcc", *web_tool)
    monkeypatch.setattr(provision, "succeeds", lambda command: "g++-11" not in command)
    monkeypatch.setattr(packages, "_would_work", lambda _step: True)
    monkeypatch.setattr(providers, "dpkg_was_interrupted", lambda: False)

    def execute(command: Sequence[str], title: str, provider: str, names: Sequence[str]) -> None:
        assert provider == "apt"
        if "install" in command:
            installed.extend(command[command.index("DPkg::Lock::Timeout=600") + 1 :])

    monkeypatch.setattr(provision, "execute", execute)
    assert provision.install_for_tests("test-all", dry_run=False) == bool(others)
    assert installed == others
    assert "without the oldest gcc (g++-11)" in capsys.readouterr().out


def test_an_old_python_is_told_which_newer_one_to_use(
    provision: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provision.sys, "version_info", (3, 9, 2))
    monkeypatch.setattr(
        provision.shutil, "which", lambda name: name if name == "python3.12" else None
    )
    with pytest.raises(provision.ProvisionError, match=r"python3\.12 ci/provision\.py"):
        provision.check_python()


def test_a_full_disk_is_noticed_before_anything_is_downloaded(
    provision: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = provision.shutil.disk_usage(ROOT)
    monkeypatch.setattr(provision.shutil, "disk_usage", lambda path: usage._replace(free=10**8))
    with pytest.raises(provision.ProvisionError, match="Free some space"):
        provision.check_disk()


@pytest.mark.parametrize(
    ("output", "failure", "told"),
    [
        ("OSError: [Errno 28] No space left on device", DiskFullError, "no space left"),
        (
            "Failed to establish a new connection: [Errno -3] Temporary failure in name resolution",
            PackageInstallError,
            "cannot fetch torch from",
        ),
        (
            "ERROR: No matching distribution found for torch==99",
            PackageInstallError,
            "No matching distribution found for torch==99",
        ),
        ("something else", PackageInstallError, "something else"),
    ],
)
def test_causes_are_recognised(
    provision: Any, output: str, failure: type[TorchMLError], told: str
) -> None:
    command = [sys.executable, "-c", f"print({output!r}); raise SystemExit(3)"]
    with pytest.raises(failure) as caught:
        provision.execute(command, "pip: installing torch", "pip", ["torch"])
    assert told in caught.value.message


def test_a_failed_step_shows_the_end_of_its_output(
    provision: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program = "print('cannot build that'); raise SystemExit(3)"
    command = [sys.executable, "-c", program]
    monkeypatch.setattr(
        provision, "install", lambda _options: provision.execute(command, "torch", "pip", ["torch"])
    )
    monkeypatch.setattr(sys, "argv", ["provision.py"])
    assert provision.main() == 1
    printed = capsys.readouterr().out
    assert "error: torch failed (exit code 3)" in printed
    assert "cannot build that" in printed
    assert str(provision.LOG) in printed


def test_packages_are_looked_at_again_only_when_something_changed(provision: Any) -> None:
    site = provision.VENV / "lib/python3.11/site-packages"
    for name in ("torchml_installer", "torch", "ase", "pytest", "mypy", "scikit_build_core"):
        (site / f"{name}-1.0.dist-info").mkdir(parents=True)
    assert not provision.is_complete("torch==2.13.0", None)
    provision.STAMP.write_text(provision.made_of("torch==2.13.0", None))
    assert provision.is_complete("torch==2.13.0", None)
    assert not provision.is_complete("torch==2.7.0", None)
    assert not provision.is_complete("torch==2.13.0", "https://example.org/whl/cpu")
    (site / "ase-1.0.dist-info").rmdir()
    assert not provision.is_complete("torch==2.13.0", None)


@pytest.mark.parametrize("contents", ["", "{", "[1]"])
def test_a_damaged_stamp_means_that_nothing_is_known(provision: Any, contents: str) -> None:
    test_packages_are_looked_at_again_only_when_something_changed(provision)
    (provision.VENV / "lib/python3.11/site-packages/ase-1.0.dist-info").mkdir()
    provision.STAMP.write_text(contents)
    assert not provision.is_complete("torch==2.13.0", None)


def test_only_this_repository_s_environment_is_installed_into(
    provision: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever one is active meanwhile."""
    provision.VENV.mkdir()
    for name in ("VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONPATH"):
        monkeypatch.setenv(name, "/home/somebody/else")
    made = provision.activated()
    assert made["VIRTUAL_ENV"] == str(provision.VENV)
    assert not {"CONDA_PREFIX", "PYTHONPATH"} & set(made)
    assert made["PATH"].startswith(f"{provision.VENV}/bin:")


def test_a_look_at_what_is_there_takes_a_moment() -> None:
    if not (ROOT / ".venv" / "provision.stamp").exists():
        pytest.skip("the tests run in an environment that ci/provision.py did not make")
    command = [sys.executable, ROOT / "ci" / "provision.py", "--dry-run"]
    done = subprocess.run(command, timeout=5, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(("nothing is missing", "would ", "# "))
