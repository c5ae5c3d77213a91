"""env.sh sets what builds need, in every shell, and can be undone."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.installer.made_up import ODD_NAME, Machine, make_kim, make_torch, write
from torchml_installer.errors import NoTorchError, NotPermittedError

SHELLS = [shell for shell in ("bash", "dash", "zsh") if shutil.which(shell)]


def places(machine: Machine) -> list[str | Path]:
    """A torch and a KIM-API in folders with odd names."""
    torch = make_torch(machine.folder / ODD_NAME / "torch")
    kim = make_kim(machine.folder / ODD_NAME / "kim")
    (kim / "bin").mkdir()
    return ["--torch-root", torch, "--kim-root", kim]


def run_shell(shell: str, script: str, folder: Path, **environment: str) -> str:
    done = subprocess.run(
        [shell, "-eu", "-c", script],
        cwd=folder,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


SHOW = 'printf "%s\\n" "${TORCH_ROOT-unset}" "${KIM_API_CMAKE_PREFIX_DIR-unset}" "$PATH"'


@pytest.mark.parametrize("shell", SHELLS)
def test_sourcing_sets_odd_paths_and_sourcing_twice_changes_nothing(
    machine: Machine, shell: str
) -> None:
    outcome = machine.install("env", *places(machine))
    assert outcome.code == 0, outcome.err
    once = run_shell(shell, f". ./env.sh; {SHOW}", machine.folder)
    twice = run_shell(shell, f". ./env.sh; . ./env.sh; {SHOW}", machine.folder)
    assert once == twice
    odd = machine.folder / ODD_NAME
    torch_root, kim_root, path = once.splitlines()
    assert (torch_root, kim_root) == (str(odd / "torch"), str(odd / "kim"))
    assert str(odd / "kim/bin") in path.split(":")


@pytest.mark.parametrize("shell", SHELLS)
def test_deactivating_puts_everything_back(machine: Machine, shell: str) -> None:
    machine.install("env", *places(machine))
    script = f". ./env.sh; . ./env.sh; torchml_deactivate; torchml_deactivate; {SHOW}; set"
    untouched = run_shell(shell, script, machine.folder)
    assert untouched.splitlines()[:3] == ["unset", "unset", os.environ["PATH"]]
    assert "_TORCHML_" not in untouched.replace("torchml_deactivate", "").partition("()")[0]
    own = run_shell(shell, script, machine.folder, TORCH_ROOT="/my torch")
    assert own.splitlines()[:2] == ["/my torch", "unset"]


@pytest.mark.parametrize("shell", SHELLS)
def test_operator_libraries_are_set_and_put_back(machine: Machine, shell: str) -> None:
    root = machine.folder / ODD_NAME / "scatter"
    write(root / "lib/libtorchscatter.so")
    machine.environment["TorchScatter_ROOT"] = str(root)
    machine.install("env", *places(machine))
    show = 'printf "%s\\n" "${TorchScatter_ROOT-unset}" "${TorchSparse_ROOT-unset}"'
    script = f". ./env.sh; {show}; torchml_deactivate; {show}"
    printed = run_shell(shell, script, machine.folder, TorchSparse_ROOT="/my sparse")
    assert printed.splitlines() == [str(root), "/my sparse", "unset", "/my sparse"]


def test_the_library_path_is_left_alone(machine: Machine) -> None:
    outcome = machine.install("env", "-o", "-", *places(machine))
    code = "\n".join(line for line in outcome.out.splitlines() if not line.startswith("#"))
    assert "LD_LIBRARY_PATH" not in code
    assert not (machine.folder / "env.sh").exists()


def test_a_system_kim_is_not_set_since_cmake_finds_it(machine: Machine) -> None:
    if not Path("/usr/share/cmake/kim-api").exists():
        pytest.skip("the KIM-API is not in /usr here")
    torch = make_torch(machine.folder / "torch")
    outcome = machine.install("env", "-o", "-", "--torch-root", torch, "--kim-root", "/usr")
    assert "_torchml_kim_prefix=''" in outcome.out


def test_no_file_is_written_when_torch_is_missing(machine: Machine) -> None:
    outcome = machine.install("env", "--torch-root", "nowhere")
    assert outcome.code == NoTorchError.exit_code
    assert not (machine.folder / "env.sh").exists()


def test_a_file_that_cannot_be_written_is_told(machine: Machine) -> None:
    outcome = machine.install("env", "-o", "no/such/folder/env.sh", *places(machine))
    assert outcome.code == NotPermittedError.exit_code
    assert "no/such/folder/env.sh" in outcome.err
