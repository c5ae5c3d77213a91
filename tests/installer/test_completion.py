"""Shells complete the command's words."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from tests.installer.synthetic_machines import Machine, write
from torchml_installer.support import receipts

#: By shell: how it completes a line that is sourced after the script.
COMPLETE = {
    "bash": """\
source <(torchml-install completion bash)
COMP_WORDS=({line}) COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_torchml_install_completion torchml-install
printf '%s\\n' "${{COMPREPLY[@]}}"
""",
    "fish": """\
torchml-install completion fish | source
complete --do-complete '{line}' | cut -f1
""",
}


def completed(machine: Machine, shell: str, line: str) -> list[str]:
    if not shutil.which(shell):
        pytest.skip(f"there is no {shell} on this machine")
    programs = machine.folder / "bin"
    run = f'#!/bin/sh\nexec "{sys.executable}" -m torchml_installer "$@"\n'
    write(programs / "torchml-install", run, executable=True)
    options = ["--norc"] if shell == "bash" else ["--no-config"]
    done = subprocess.run(
        [shell, *options, "-c", COMPLETE[shell].format(line=line)],
        env={**machine.environment, "PATH": f"{programs}:{machine.environment['PATH']}"},
        cwd=machine.folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


@pytest.mark.parametrize("shell", COMPLETE)
class TestShells:
    def test_verbs_are_completed(self, machine: Machine, shell: str) -> None:
        assert completed(machine, shell, "torchml-install do") == ["doctor"]

    def test_values_of_options_are_completed(self, machine: Machine, shell: str) -> None:
        line = "torchml-install driver --collection e"
        assert completed(machine, shell, line) == ["environment"]

    def test_what_is_installed_is_completed(
        self, machine: Machine, shell: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("XDG_DATA_HOME", machine.environment["XDG_DATA_HOME"])
        library = write(machine.folder / "My_Model/library.so")
        receipts.write(receipts.Receipt("model", "My_Model", (library,), {}))
        receipts.write(receipts.Receipt("model", "My_Gone", (machine.folder / "gone",), {}))
        assert completed(machine, shell, "torchml-install uninstall My") == ["My_Model"]

    def test_what_deps_knows_is_completed_one_after_the_other(
        self, machine: Machine, shell: str
    ) -> None:
        line = "torchml-install deps --with sca"
        assert completed(machine, shell, line) == ["scatter"]
        if shell == "fish":  # click's script for it takes what is behind a comma for a comment
            return
        line = "torchml-install deps --with scatter,libd"
        assert completed(machine, shell, line) == ["scatter,libdescriptor"]


@pytest.mark.parametrize(
    "line",
    [
        "env --output ",
        "deps --libtorch ",
        "driver --cxx ",
        "model compile ",
        "model inspect ",
        "model pack ",
    ],
)
def test_files_are_completed_by_the_shell(machine: Machine, line: str) -> None:
    words = f"torchml-install {line}"
    machine.environment |= {
        "_TORCHML_INSTALL_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split())),
    }
    assert machine.install().out.startswith("file,")


def test_zsh_takes_the_script(machine: Machine) -> None:
    """zsh completes in its line editor only; what can be seen without is that the name is known."""
    if not shutil.which("zsh"):
        pytest.skip("there is no zsh on this machine")
    script = machine.install("completion", "zsh").out
    check = 'autoload -Uz compinit; compinit -D; eval "$SCRIPT"; print $_comps[torchml-install]'
    done = subprocess.run(
        ["zsh", "-f", "-c", check],
        env={**machine.environment, "SCRIPT": script},
        cwd=machine.folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["_torchml_install_completion"]
