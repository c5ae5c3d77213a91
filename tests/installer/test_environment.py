"""env.sh sets what builds need, in every shell, and can be undone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.installer.synthetic_machines import (
    ODD_NAME,
    Machine,
    make_kim,
    make_program,
    make_torch,
    write,
)
from torchml_installer.environment.formats import FORMATS
from torchml_installer.errors import NoTorchError, NotPermittedError, OutputExistsError

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


@pytest.mark.parametrize("exported", ["", "set -a; "], ids=["plain", "set -a"])
@pytest.mark.parametrize("shell", SHELLS)
def test_sourcing_in_a_child_shell_does_not_lengthen_path(
    machine: Machine, shell: str, exported: str
) -> None:
    machine.install("env", *places(machine))
    once = run_shell(shell, f". ./env.sh; {SHOW}", machine.folder)
    write(machine.folder / "child.sh", f". ./env.sh; {SHOW}; torchml_deactivate")
    child = run_shell(shell, f"{exported}. ./env.sh; {shell} ./child.sh", machine.folder)
    assert child == once


@pytest.mark.parametrize("shell", SHELLS)
def test_a_newer_cmake_comes_before_an_old_one_wherever_it_was(
    machine: Machine, shell: str
) -> None:
    old = make_program(machine.folder / "old/cmake", "cmake version 3.1.0").parent
    new = make_program(machine.folder / ODD_NAME / "new/cmake", "cmake version 4.0.0").parent
    path = machine.environment["PATH"] = f":{old}:{new}:{machine.environment['PATH']}:{new}:"
    assert machine.install("env", *places(machine)).code == 0
    shown = run_shell(shell, f". ./env.sh; {SHOW}", machine.folder, PATH=path).splitlines()[2]
    folders = shown.split(":")
    assert folders.count(str(new)) == 1
    assert folders.index(str(new)) < folders.index(str(old))
    assert [folder for folder in folders if folder == ""] == ["", ""]


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
    assert "TORCH_ROOT" in outcome.out
    assert "KIM_API_CMAKE_PREFIX_DIR" not in outcome.out


#: Prints the variables of interest as JSON: a shell's own printing has traps of its own.
_SHOW_PROGRAM = """\
import json, os
names = ("TORCH_ROOT", "KIM_API_CMAKE_PREFIX_DIR", "PATH")
print(json.dumps([os.environ.get(name) for name in names]))
"""
_SHOW_COMMAND = f"'{sys.executable}' show.py"
_LMOD = Path("/usr/share/lmod/lmod/init/bash")
#: By format: the command that runs a script, and how the environment is set and undone.
OTHERS = {
    "fish": (["fish", "--no-config", "-c"], "source env.fish", "torchml_deactivate"),
    "csh": (["tcsh", "-f", "-c"], "source env.csh", "torchml_deactivate"),
    "lmod": (
        ["bash", "-c"],
        f'. {_LMOD}; module use "$PWD"; module load torchml',
        "module unload torchml",
    ),
}


def needs_shell(kind: str) -> None:
    if not (_LMOD.is_file() if kind == "lmod" else shutil.which(OTHERS[kind][0][0])):
        pytest.skip(f"there is no {kind} on this machine")


def run_other(machine: Machine, kind: str, *steps: str, **environment: str) -> list[list[str]]:
    """What the environment is after each ``show`` of the steps."""
    write(machine.folder / "show.py", _SHOW_PROGRAM)
    command, use, undo = OTHERS[kind]
    commands = {"use": use, "undo": undo, "show": _SHOW_COMMAND}
    script = "\n".join(commands[step] for step in steps)
    done = subprocess.run(
        [*command, script],
        cwd=machine.folder,
        env={"PATH": os.environ["PATH"], "HOME": str(machine.folder), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return [json.loads(line) for line in done.stdout.splitlines()]


def odd_places(machine: Machine) -> list[str | Path]:
    """Like ``places``, and worse: csh looks for its history in exclamation marks."""
    odd = machine.folder / (ODD_NAME + " \\ !cat ![ `ls` *")
    torch, kim = make_torch(odd / "torch"), make_kim(odd / "kim")
    (kim / "bin").mkdir()
    return ["--torch-root", torch, "--kim-root", kim]


@pytest.mark.parametrize("kind", OTHERS)
class TestOtherShells:
    def test_odd_paths_are_set_once_and_put_back(self, machine: Machine, kind: str) -> None:
        needs_shell(kind)
        _, torch, _, kim = odd_places(machine)
        outcome = machine.install("env", "--format", kind, "--torch-root", torch, "--kim-root", kim)
        assert outcome.code == 0, outcome.err
        before, once, twice, after = run_other(
            machine, kind, "show", "use", "show", "use", "show", "undo", "show"
        )
        assert once[:2] == [str(torch), str(kim)]
        assert once[2].split(":").count(f"{kim}/bin") == 1
        assert twice == once
        assert after[:2] == [None, None]
        # Lmod drops repeated folders.
        assert list(dict.fromkeys(after[2].split(":"))) == list(dict.fromkeys(before[2].split(":")))

    def test_a_child_shell_does_not_lengthen_path(self, machine: Machine, kind: str) -> None:
        needs_shell(kind)
        _, torch, _, kim = odd_places(machine)
        machine.install("env", "--format", kind, "--torch-root", torch, "--kim-root", kim)
        (once,) = run_other(machine, kind, "use", "show")
        outcome = machine.install(
            *("env", "--format", "json", "-o", "-", "--torch-root", torch, "--kim-root", kim)
        )
        first = ":".join(json.loads(outcome.out)["prepend"]["PATH"])
        rest = once[2].removeprefix(f"{first}:")
        assert rest != once[2]
        environment = {"TORCH_ROOT": once[0], "PATH": f"/tmp:{once[2]}"}
        if kind == "lmod":
            environment["LOADEDMODULES"] = ""
        (child,) = run_other(machine, kind, "use", "show", **environment)
        assert child[2] == f"{first}:/tmp:{rest}"

    def test_what_the_user_had_comes_back(self, machine: Machine, kind: str) -> None:
        needs_shell(kind)
        machine.install("env", "--format", kind, *places(machine))
        mine = '/it\'s my "torch" $HOME !'
        during, after = run_other(machine, kind, "use", "show", "undo", "show", TORCH_ROOT=mine)
        assert during[0] == str(machine.folder / ODD_NAME / "torch")
        assert after[0] == mine


def test_programs_read_the_environment_as_json(machine: Machine) -> None:
    outcome = machine.install("env", "--format", "json", "-o", "-", *places(machine))
    document = json.loads(outcome.out)
    odd = machine.folder / ODD_NAME
    assert document["schema"] == 1
    assert document["variables"]["TORCH_ROOT"] == str(odd / "torch")
    assert str(odd / "kim/bin") in document["prepend"]["PATH"]


def test_each_format_says_how_it_is_used(machine: Machine) -> None:
    outcome = machine.install("env", "--format", "fish", *places(machine))
    assert "source" in outcome.out
    assert (machine.folder / "env.fish").exists()


def test_no_file_is_written_when_torch_is_missing(machine: Machine) -> None:
    outcome = machine.install("env", "--torch-root", "nowhere")
    assert outcome.code == NoTorchError.exit_code
    assert not (machine.folder / "env.sh").exists()


def test_a_file_that_cannot_be_written_is_told(machine: Machine) -> None:
    outcome = machine.install("env", "-o", "no/such/folder/env.sh", *places(machine))
    assert outcome.code == NotPermittedError.exit_code
    assert "no/such/folder/env.sh" in outcome.err


@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_of_the_users_own_is_not_replaced_unless_forced(machine: Machine, kind: str) -> None:
    """Many a project has an env.sh."""
    words = ["env", "--format", kind, *places(machine)]
    own = machine.folder / FORMATS[kind].file_name
    own.write_text("export MINE=1\n")
    outcome = machine.install(*words)
    assert outcome.code == OutputExistsError.exit_code
    assert "--force" in outcome.err
    assert own.read_text() == "export MINE=1\n"
    for more in (["--force"], []):  # the second time it is ours
        outcome = machine.install(*words, *more)
        assert outcome.code == 0, outcome.err
    assert "MINE" not in own.read_text()


def test_what_a_link_leads_to_is_written_and_the_link_stays(machine: Machine) -> None:
    (machine.folder / "kept").mkdir()
    words = places(machine)
    for name, there in (("old.sh", True), ("new.sh", False)):
        behind = machine.folder / "kept" / name
        if there:
            behind.touch()
        link = machine.folder / name
        link.symlink_to(f"kept/{name}")
        outcome = machine.install("env", "-o", name, *words)
        assert outcome.code == 0, outcome.err
        assert link.is_symlink()
        assert "TORCH_ROOT" in behind.read_text()


def test_a_pipe_is_written_to_and_not_replaced(machine: Machine) -> None:
    """So is a device: root would otherwise lose /dev/stdout."""
    pipe = machine.folder / "pipe"
    words = places(machine)
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE, text=True) as reader:
        outcome = machine.install("env", "-o", pipe, *words)
        if not pipe.is_fifo():
            reader.kill()
        assert pipe.is_fifo()
        assert reader.stdout is not None
        text = reader.stdout.read()
    assert outcome.code == 0, outcome.err
    assert text == machine.install("env", "-o", "-", *words).out
    assert outcome.out == ""  # what reads the script may read this, too
