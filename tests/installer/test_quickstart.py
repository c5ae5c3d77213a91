"""The quickstart compares two potentials, and never passes wrong numbers off as right ones."""

from __future__ import annotations

import contextlib
import math
import os
import pty
import subprocess
import sys

import pytest

from tests.installer.packages_machine import PackagesMachine
from tests.installer.synthetic_machines import Machine
from tests.support.example_model import REFERENCE_MODEL
from torchml_installer import errors
from torchml_installer.quickstart import (
    MODEL_NAME,
    RunResult,
    as_table,
    compare,
    parse_result,
)


def results(energy: float, fmax: float = 5.9) -> list[RunResult]:
    """Ours with these numbers, and the reference's, in both programs."""
    return [
        RunResult(program, model, *numbers)
        for program in ("LAMMPS", "ASE")
        for model, numbers in (
            (MODEL_NAME, (energy, fmax)),
            (REFERENCE_MODEL, (-261.353817734, 5.9)),
        )
    ]


def test_the_last_result_line_of_a_run_counts() -> None:
    output = (
        "LAMMPS (29 Sep 2021)\n"
        "torchml-result energy -1.0 fmax 1.0\n"
        "torchml-result energy -261.353817734270 fmax 5.903617675445\n"
        "Total wall time\n"
    )
    result = parse_result(output, "LAMMPS", MODEL_NAME)
    assert (result.energy, result.fmax) == (-261.35381773427, 5.903617675445)


@pytest.mark.parametrize("output", ["", "ERROR: no such model", "torchml-result energy x fmax y"])
def test_a_run_without_a_result_is_a_failure(output: str) -> None:
    with pytest.raises(errors.RunFailedError, match="LAMMPS with a_model printed"):
        parse_result(output, "LAMMPS", "a_model")


def test_equal_numbers_pass_and_are_shown_side_by_side() -> None:
    compare(results(-261.353817734))
    table = as_table(results(-261.353817734))
    assert "LAMMPS energy (eV)" in table
    assert table.count("-261.353817734000") == 4


@pytest.mark.parametrize(
    ("energy", "fmax"),
    [(-261.3538176, 5.9), (math.nan, 5.9), (-261.353817734, 5.9001), (-261.353817734, math.nan)],
)
def test_different_numbers_fail(energy: float, fmax: float) -> None:
    with pytest.raises(errors.ResultsDifferError, match="In LAMMPS"):
        compare(results(energy, fmax))


@pytest.fixture
def lacking(machine: Machine) -> PackagesMachine:
    """Without LAMMPS and more; its conda notes what it is asked for, and installs nothing."""
    made = PackagesMachine(machine)
    made.conda("")
    return made


def test_without_a_terminal_nothing_is_asked_or_installed(lacking: PackagesMachine) -> None:
    outcome = lacking.install("quickstart")
    assert outcome.code != 0
    assert "what to do: " in outcome.err
    assert lacking.called() == []


def test_what_is_missing_is_installed_first_on_request(lacking: PackagesMachine) -> None:
    outcome = lacking.install("quickstart", "--yes")
    assert outcome.code != 0, "the stand-in has installed nothing"
    assert "conda: installing " in outcome.err
    assert "lammps" in lacking.called()
    assert "configuring" not in outcome.err


@pytest.mark.parametrize("answer", ["y", "n"])
def test_on_a_terminal_it_shows_the_commands_and_asks(
    lacking: PackagesMachine, answer: str
) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "torchml_installer", "quickstart"],
        cwd=lacking.folder,
        env=lacking.environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # the program has ended
        while block := os.read(ours, 4096):
            shown += block
            if shown.endswith(b"[y/N]: "):
                os.write(ours, f"{answer}\n".encode())
    os.close(ours)
    assert process.wait(timeout=60) != 0
    assert b"conda" in shown.partition(b"Run these commands?")[0]
    assert ("lammps" in lacking.called()) == (answer == "y")


def test_what_is_missing_is_told_first(machine: Machine) -> None:
    outcome = machine.install("quickstart", "--torch-root", "nowhere")
    assert outcome.code == errors.NoTorchError.exit_code
