"""What the command shows on terminals of different widths and kinds, in pipes and in CI jobs."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.installer.synthetic_machines import Machine, make_kim, make_program, make_torch
from tests.support.terminals import on_terminal, plain, widest

COMMAND = (sys.executable, "-m", "torchml_installer")
PAGES = (
    *("", "doctor", "deps", "driver", "model", "model pack", "model compile", "model install"),
    *("model inspect", "model verify", "model bench", "quickstart", "env", "uninstall"),
    *("completion", "exit-codes"),
)
WIDTHS = (40, 60, 80, 132)


@pytest.fixture
def small(machine: Machine, tmp_path: Path) -> Machine:
    """A machine with a torch and a KIM-API, and no compiler."""
    machine.environment["TORCH_ROOT"] = str(make_torch(tmp_path / "opt/torch"))
    prefix = make_kim(tmp_path / "opt/kim")
    machine.environment["KIM_API_CMAKE_PREFIX_DIR"] = str(prefix)
    make_program(tmp_path / "bin/cmake", "cmake version 3.28.0")
    machine.environment["PATH"] = str(tmp_path / "bin")
    return machine


def show(machine: Machine, *words: str, width: int = 80, **variables: str) -> str:
    environment = {**machine.environment, **variables}
    return on_terminal([*COMMAND, *words], width, environment, machine.folder)[1]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page or "all")
def test_each_help_page_fits_a_screen_and_has_an_example(machine: Machine, page: str) -> None:
    words = (*page.split(), "--help")
    shown = show(machine, *words)
    assert widest(shown) <= 80
    assert len(shown.splitlines()) <= 40
    assert len(re.findall("Example", shown)) == 1
    assert f"torchml-install {page}".strip() in shown.partition("Example")[2]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page or "all")
def test_help_breaks_no_word_at_a_hyphen(machine: Machine, page: str) -> None:
    shown = show(machine, *page.split(), "--help", width=40)
    assert not re.search(r"[a-z]-$", plain(shown), re.MULTILINE)


@pytest.mark.parametrize("width", WIDTHS)
def test_no_line_of_doctor_is_wider_than_the_terminal(small: Machine, width: int) -> None:
    for words in (("doctor",), ("exit-codes",), ("model", "--help")):
        assert widest(show(small, *words, width=width)) <= width


@pytest.mark.parametrize("width", WIDTHS)
def test_doctor_ends_with_what_to_do_next(small: Machine, width: int) -> None:
    lines = " ".join(plain(show(small, "doctor", width=width)).split("\n\n")[-1].split())
    assert lines.startswith("The driver cannot be built yet. Install what is missing with")
    assert "`torchml-install deps" in lines


def test_doctor_colours_states_and_its_verdict(small: Machine) -> None:
    shown = show(small, "doctor")
    assert "\x1b[32mok\x1b[0m" in shown
    assert "\x1b[1;31mPROBLEM\x1b[0m" in shown
    assert "\x1b[1;31mThe driver cannot be built yet.\x1b[0m" in shown


@pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=str)
def test_no_escapes_without_colours(small: Machine, variables: dict[str, str]) -> None:
    assert "\x1b" not in show(small, "doctor", **variables)


def test_pipes_get_plain_lines(small: Machine) -> None:
    outcome = small.install("doctor")
    assert "\x1b" not in outcome.out + outcome.err
    assert re.search(r"^libtorch +ok +2\.13\.0\+cpu ", outcome.out, re.MULTILINE)


def test_json_is_the_same_on_a_terminal(small: Machine) -> None:
    piped = small.install("doctor", "--json").out
    shown = show(small, "doctor", "--json", width=40)
    assert shown == piped


STEPS = """\
import sys, time
from pathlib import Path
from torchml_installer.support import console
from torchml_installer.support.process import run_logged

program = "import time\\nfor line in {lines!r}:\\n print(line, flush=True); time.sleep(0.15)"
lines = {lines!r}
with console.step("an outer step with a title that is longer than narrow terminals are wide"):
    time.sleep(0.15)
    run_logged([sys.executable, "-c", program.format(lines=lines)], title="an inner step",
               log=Path("log.txt"))
"""
NINJA = [f"[{number}/9] Building" for number in range(1, 9)]


def steps(machine: Machine, lines: list[str], width: int, **variables: str) -> str:
    environment = {**machine.environment, **variables}
    command = [sys.executable, "-c", STEPS.format(lines=lines)]
    code, shown = on_terminal(command, width, environment, machine.folder)
    assert code == 0, shown
    return shown


@pytest.mark.parametrize("width", [40, 80])
@pytest.mark.parametrize(
    ("lines", "counted"),
    [
        (NINJA, "an inner step {bar}{n}/9, "),
        ([f"Progress {number}0000000 of 90000000" for number in range(1, 9)], "{n}0/90 MB, "),
        ([f"torchml-step {number}/9 rotation" for number in range(1, 9)], "{n}/9, "),
    ],
    ids=["ninja", "pip", "model"],
)
def test_progress_has_counts_and_times(
    machine: Machine, width: int, lines: list[str], counted: str
) -> None:
    shown = steps(machine, lines, width)
    text = plain(shown)
    assert widest(shown) <= width
    assert re.search(counted.replace("{bar}", ".*").replace("{n}", "[3-8]"), text)
    assert re.search(r"\d:\d\d left", text)
    assert ("━" in text) == (width == 80)
    assert "an outer step" in text
    assert re.search(r"wide:\s+done\s+in\s+\d", text), "the line that stays"


def test_what_models_report_is_shown_and_not_logged(machine: Machine) -> None:
    shown = steps(machine, ["torchml-step 1/3 rotation", "torchml-step 2/3 rotation", "said"], 80)
    assert "an inner step: rotation" in plain(shown)
    log = (machine.folder / "log.txt").read_text()
    assert log.splitlines()[-1] == "said"


@pytest.mark.parametrize("variables", [{"TERM": "dumb"}, {"CI": "true"}], ids=str)
def test_nothing_is_redrawn_where_that_makes_a_mess(
    machine: Machine, variables: dict[str, str]
) -> None:
    shown = steps(machine, NINJA, 80, **variables)
    assert "\x1b" not in shown
    assert "an inner step ...\n" in shown
    assert "━" not in shown


def test_a_long_command_continues_after_a_backslash(machine: Machine) -> None:
    """So that it can be copied; a path is never broken."""
    path = "/a/path/that/is/longer/than/the/terminal/is/wide"
    command = f"torchml-install model compile {path} --elements Si,C --cutoff 5.0"
    program = (
        "from torchml_installer.support import console; "
        f"console.result('Compile it with `{command}`, and pack it.')"
    )
    environment = machine.environment
    shown = on_terminal([sys.executable, "-c", program], 40, environment, machine.folder)[1]
    assert path in shown
    assert command in re.sub(r" \\\n *", " ", shown)
    assert all(len(line) <= 40 or path in line for line in shown.splitlines())
