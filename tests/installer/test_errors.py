"""Every failure has its own exit code and tells what to do."""

from __future__ import annotations

import doctest
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

from tests.installer.synthetic_machines import Machine, Outcome, write
from tests.support import ROOT
from torchml_installer import errors
from torchml_installer.deps import conda_conflicts


def error_classes() -> list[type[errors.TorchMLError]]:
    return errors.failures()


def test_each_failure_can_be_told_from_its_exit_code() -> None:
    codes = [cls.exit_code for cls in error_classes()]
    assert len(codes) == len(set(codes))
    # 0 is success, 1 Python's own, 2 a wrong option; above 125 the shell speaks.
    assert all(3 <= code <= 125 or code == 130 for code in codes)


@pytest.mark.parametrize("cls", error_classes(), ids=lambda cls: cls.__name__)
def test_each_failure_says_what_it_is(cls: type[errors.TorchMLError]) -> None:
    assert cls.__doc__
    error = cls("Something.", "Do this.")
    assert (error.message, error.remedy) == ("Something.", "Do this.")


def test_exit_codes_are_never_given_to_another_failure() -> None:
    assert errors.NoTorchError.exit_code == 3
    assert errors.OldAbiTorchError.exit_code == 4
    assert errors.NoKimApiError.exit_code == 6
    assert errors.NoCompilerError.exit_code == 7
    assert errors.CMakeTooOldError.exit_code == 10
    assert errors.BuildFailedError.exit_code == 20
    assert errors.InterruptedByUserError.exit_code == 130


def test_help_tells_the_codes_of_every_failure_and_no_others(machine: Machine) -> None:
    words = " ".join(machine.install("--help").out.partition("Exit codes: ")[2].split())
    told: set[int] = set()
    for entry in words.partition(". ")[0].split("; "):
        numbers = re.match(r"(?:\d+(?:-\d+)?(?:, )?)+", entry)
        assert numbers
        for part in numbers[0].split(", "):
            first, _, last = part.strip().partition("-")
            told |= set(range(int(first), int(last or first) + 1))
    assert told == {cls.exit_code for cls in error_classes()} | {0, 2, errors.BROKEN_PIPE}


def test_exit_codes_are_listed_with_what_they_mean(machine: Machine) -> None:
    lines = machine.install("exit-codes").out.splitlines()
    assert "  3  No libtorch was found, or the given folder contains none." in lines
    listed = json.loads(machine.install("exit-codes", "--json").out)
    codes = [entry["code"] for entry in listed]
    assert codes == [int(line.split()[0]) for line in lines]
    assert set(codes) > {cls.exit_code for cls in error_classes()}
    assert all(re.fullmatch(r"[A-Z].*[^.]\.", entry["meaning"]) for entry in listed)


def test_every_failure_is_of_a_kind() -> None:
    assert [cls.__name__ for cls in error_classes() if not cls.kind] == []


@pytest.mark.parametrize("module", [errors, conda_conflicts], ids=lambda module: module.__name__)
def test_examples_in_docstrings_are_right(module: ModuleType) -> None:
    found = doctest.testmod(module)
    assert (found.attempted > 0, found.failed) == (True, 0)


def test_every_example_in_a_docstring_is_tested() -> None:
    sources = sorted((ROOT / "torchml_installer").rglob("*.py"))
    with_examples = {path.name for path in sources if ">>> " in path.read_text(encoding="utf-8")}
    assert with_examples == {"errors.py", "conda_conflicts.py"}


def test_help_names_the_verbs_in_the_order_of_use_and_where_exit_codes_are_told(
    machine: Machine,
) -> None:
    text = machine.install("--help").out
    listed = re.findall(r"^  ([a-z][a-z-]+)  +[A-Z]", text, re.MULTILINE)
    assert listed[:5] == ["doctor", "deps", "driver", "model", "quickstart"]
    assert sorted(listed[5:]) == ["completion", "env", "exit-codes", "uninstall"]
    assert "Exit codes: " in text
    for words in (("driver",), ("model", "pack")):
        last = machine.install(*words, "--help").out.splitlines()[-1]
        assert last == "  Exit codes and environment: torchml-install --help"


@pytest.mark.parametrize(
    "words",
    [
        ("doctor", "--torch-root", ""),
        ("doctor", "--cxx", ""),
        ("deps", "--libtorch", ""),
        ("deps", "--prefix", ""),
        ("driver", "--build-dir", ""),
        ("env", "--output", ""),
        ("model", "install", ""),
        ("model", "inspect", ""),
        ("uninstall", ""),
    ],
    ids=" ".join,
)
def test_what_is_empty_names_nothing(machine: Machine, words: tuple[str, ...]) -> None:
    """A script with a variable that is not set would otherwise have meant the working folder."""
    before = sorted(machine.folder.iterdir())
    outcome = machine.install(*words)
    assert outcome.code == 2
    assert outcome.err.splitlines()[-1].endswith("the value is empty.")
    assert sorted(machine.folder.iterdir()) == before


def _run_with(machine: Machine, statement: str) -> Outcome:
    """The command, with ``doctor`` replaced by a function that does ``statement``."""
    script = write(
        machine.folder / "run.py",
        "import errno\n"
        "import torchml_installer.detect as detect\n"
        "def broken(places):\n"
        f"    {statement}\n"
        "detect.survey = broken\n"
        "from torchml_installer.cli import main\n"
        "main()\n",
    )
    return machine.install("doctor", script=script)


def test_a_full_disk_is_told_without_a_traceback(machine: Machine) -> None:
    outcome = _run_with(machine, "raise OSError(errno.ENOSPC, 'No space left', '/scratch/x')")
    assert outcome.code == errors.DiskFullError.exit_code
    assert outcome.err.startswith("error: Cannot write /scratch/x: no space left on ")
    assert "  what to do: " in outcome.err


def test_ctrl_c_ends_with_130(machine: Machine) -> None:
    outcome = _run_with(machine, "raise KeyboardInterrupt")
    assert outcome.code == 130
    assert outcome.err.strip().startswith("error: Interrupted.")


def test_a_fault_of_the_program_asks_for_a_report_with_the_traceback(machine: Machine) -> None:
    outcome = _run_with(machine, "raise RuntimeError('surprise')")
    assert outcome.code == errors.UnexpectedError.exit_code
    assert "Traceback" not in outcome.err
    report = Path(outcome.err.partition("Attach the file ")[2].split()[0].rstrip("."))
    assert "RuntimeError: surprise" in report.read_text()
    report.unlink()


def test_wrong_options_end_with_2(machine: Machine) -> None:
    assert machine.install("driver", "--no-such-option").code == 2
    assert machine.install("no-such-command").code == 2
    # As LAMMPS separates them.
    spaced = machine.install("model", "pack", "a.pt", "--elements", "Si", "C", "--cutoff", "4")
    assert spaced.code == 2
    assert "Separate elements with commas" in spaced.err


@pytest.mark.parametrize(
    "command",
    [
        ("doctor",),
        ("deps",),
        ("driver",),
        ("model",),
        *(("model", verb) for verb in ("pack", "compile", "install", "inspect", "verify", "bench")),
        ("quickstart",),
        ("env",),
        ("uninstall",),
        ("completion",),
        ("exit-codes",),
    ],
    ids=" ".join,
)
def test_help_fits_a_screen_and_has_an_example(machine: Machine, command: tuple[str, ...]) -> None:
    outcome = machine.install(*command, "--help")
    assert outcome.code == 0
    assert len(outcome.out.splitlines()) <= 40
    assert re.search(r"^  (?:.*\. )?Examples?\b", outcome.out, re.MULTILINE)
    assert "torchml-install " in outcome.out.partition("Example")[2].partition("Options:")[0]
