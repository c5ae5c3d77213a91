"""With all kinds of homes, languages, streams and terminals, commands print complete answers."""

from __future__ import annotations

import json
import re
import shutil

import pytest

from tests.clean.machines import ENVIRONMENT, USER, CleanMachine
from torchml_installer import errors

HOMES = {
    "letters": '/home/it\'s "$HOME" of Jürgen `true` & 原子 #1',
    "bytes": "/home/r\udce9sum\udce9",
}


@pytest.mark.parametrize("home", HOMES.values(), ids=HOMES)
def test_any_home_does(bare: CleanMachine, home: str) -> None:
    bare.give(home)
    settings = {**bare.environment, "HOME": home, "PIP_RETRIES": "0"}
    report = bare.install("doctor", "--json", user=USER, environment=settings).plain()
    assert report.code == 3
    places = [
        place["where"] for item in json.loads(report.out)["findings"] for place in item["looked"]
    ]
    assert f"{home}/.local/share/torchml-install/deps/libtorch" in places
    markdown = bare.install("doctor", "--markdown", user=USER, environment=settings).plain()
    assert home not in markdown.out
    failed = bare.install(
        "deps", "--with", "libdescriptor", user=USER, environment=settings
    ).plain()
    assert failed.code == errors.DownloadFailedError.exit_code
    log = f"{home}/.cache/torchml-install/logs/deps-libdescriptor-0.2.3.log"
    assert log in failed.err
    assert bare.path(log).is_file()


def test_a_user_without_home_or_name_works_in_a_temporary_folder(bare: CleanMachine) -> None:
    settings = {key: value for key, value in bare.environment.items() if key != "HOME"}
    for words in ("doctor", "doctor --json", "doctor --markdown", "uninstall"):
        outcome = bare.install(*words.split(), user=USER, environment=settings).plain()
        assert outcome.code == (0 if words == "uninstall" else 3)
    folder = bare.path(f"/tmp/torchml-install-{USER}")
    assert (folder.stat().st_uid, folder.stat().st_mode & 0o777) == (USER, 0o700)
    # Its name can be guessed, so one that another user has made is not used.
    shutil.rmtree(folder)
    bare.give(f"/tmp/torchml-install-{USER}", user=4242, mode=0o777)
    outcome = bare.install("doctor", user=USER, environment=settings).plain()
    assert outcome.code == errors.NotPermittedError.exit_code
    assert f"/tmp/torchml-install-{USER} belongs to another user" in outcome.err
    assert "Set XDG_CACHE_HOME" in outcome.err
    folder.rmdir()


def test_a_home_that_cannot_be_written_to_is_no_obstacle_to_looking(bare: CleanMachine) -> None:
    bare.memory_disk("/home/frozen", "1m", user=USER)
    bare.administer("mount -o remount,ro $root/home/frozen")
    settings = {**bare.environment, "HOME": "/home/frozen", "PIP_RETRIES": "0"}
    for words in ("doctor", "doctor --markdown"):
        assert bare.install(*words.split(), user=USER, environment=settings).plain().code == 3
    outcome = bare.install("deps", "--with", "libdescriptor", user=USER, environment=settings)
    assert outcome.plain().code == errors.NotPermittedError.exit_code
    assert "Cannot write to /home/frozen" in outcome.err
    assert "Read-only file system" in outcome.err
    assert "--prefix DIR" in outcome.err
    outcome = bare.install("uninstall", "--all", user=USER, environment=settings).plain()
    assert outcome.code == 0


#: Settings → the encoding of standard output.
LANGUAGES = (
    {"LC_ALL": "POSIX"},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    {"PYTHONIOENCODING": "latin-1"},
)


def test_no_language_is_a_problem(bare: CleanMachine) -> None:
    home = HOMES["letters"]
    bare.give(home)
    for language in LANGUAGES:
        settings = {**bare.environment, "HOME": home, **language}
        report = bare.install("doctor", "--json", user=USER, environment=settings).plain()
        places = json.loads(report.out.encode(errors="surrogateescape").decode("latin-1"))
        assert places["exit_code"] == 3
        # "Å" is in that help.
        outcome = bare.install("model", "pack", "--help", environment=settings).plain()
        assert "--cutoff" in outcome.out


def test_closed_and_full_streams_are_no_fault(bare: CleanMachine) -> None:
    """The next file that is opened must not get the number of a closed stream."""
    script = """\
        for command in "doctor" "--version"; do
            torchml_install $command <&- > /tmp/out; echo "stdin $?"
            torchml_install $command >&-; echo "stdout $?"
            torchml_install $command 2>&- > /tmp/out2; echo "stderr $?"
            cmp /tmp/out /tmp/out2
            torchml_install $command <&- >&- 2>&-; echo "all $?"
            torchml_install $command > /dev/full 2> /tmp/err; echo "full $?"
            grep -c "^error: Cannot write the output: No space left" /tmp/err
        done
        torchml_install doctor | head -1
        torchml_install nonsense >&- 2>&-; echo "nonsense $?"
        """
    outcome = bare.shell(script).plain()
    for name, code, full in (("doctor", 3, 3), ("--version", 0, 71)):
        assert f"stdin {code}\nstdout {code}\nstderr {code}\nall {code}\nfull {full}\n1\n" in (
            outcome.out
        ), name
    assert outcome.out.endswith("libtorch           PROBLEM\nnonsense 2\n")
    assert outcome.err == ""


def test_a_reader_who_goes_is_not_told_of_it(bare: CleanMachine) -> None:
    script = """\
        (torchml_install doctor --json; echo "ended with $?" >&2) | head -1
        (torchml_install completion bash; echo "ended with $?" >&2) | true
        """
    outcome = bare.shell(script).plain()
    assert outcome.out == "{\n"
    assert re.fullmatch(r"ended with (1|3|141)\nended with (0|1|141)\n", outcome.err)


COMMAND = re.compile(r"`[^`]+`")


@pytest.mark.parametrize("settings", [{}, {"TERM": "dumb"}], ids=["xterm", "dumb"])
def test_on_a_narrow_terminal_everything_is_still_there(
    bare: CleanMachine, settings: dict[str, str]
) -> None:
    wide = bare.install("doctor", user=USER)
    narrow = bare.on_terminal("doctor", width=40, settings=settings).plain()
    assert narrow.code == 3
    assert ("\x1b" in narrow.out) == (not settings)
    text = re.sub(r"\x1b\[[\d;]*m", "", narrow.out)
    for line in text.splitlines():
        # A path stays whole, to be copied.
        longest = max(map(len, line.split()), default=0)
        assert len(line) <= 40 or longest > 36, line
    # A long command continues after a backslash.
    words = re.sub(r"\s+", " ", text.replace("\\\n", " "))
    for command in COMMAND.findall(wide.out):
        assert command in words
    problems, absent = text.split("Not installed, and not needed to build\nthe driver:\n")
    for title in ("libtorch: PROBLEM", "KIM-API: PROBLEM"):
        assert title in problems
    assert "\n  LAMMPS with KIM:" in absent


def test_help_and_errors_fit_a_narrow_terminal(bare: CleanMachine) -> None:
    for words in ("--help", "model --help"):
        text = bare.on_terminal(*words.split(), width=40).plain().out
        assert all(len(line) <= 40 for line in text.splitlines())
        assert "..." not in text.replace("[ARGS]...", ""), "nothing is cut off"
    failed = bare.on_terminal("driver", width=40)
    assert failed.code == errors.NoTorchError.exit_code
    words = re.sub(r"\s+", " ", failed.out)
    assert "Install it with `python -m pip install torch` (or unpack" in words


@pytest.mark.parametrize("width", [80, 120])
def test_a_wide_terminal_gets_a_table(bare: CleanMachine, width: int) -> None:
    shown = bare.on_terminal("doctor", width=width).plain().out
    assert "\x1b[1;31mPROBLEM" in shown
    without = bare.on_terminal("doctor", width=width, settings={"NO_COLOR": "1"}).plain().out
    assert "\x1b" not in without
    text = without
    between = " and " if width == 80 else r"\s\s+"
    assert re.search(rf"searched for\s+state\s+version{between}place", text)
    table, absent, *_ = text.split("\n\n")
    assert max(map(len, table.splitlines())) <= width
    assert absent.startswith("Not installed, and not needed to build the driver:\n")
    assert "\n  NVIDIA driver: Needed only to run models on NVIDIA GPUs;" in absent
    assert "NVIDIA" not in table


def test_the_command_starts_from_odd_places(bare: CleanMachine) -> None:
    """A Python environment in a folder with spaces, no PATH, a current folder that was removed."""
    bare.path("/srv/my env").mkdir(parents=True)
    bare.administer('cp -a "$root' + ENVIRONMENT + '/." "$root/srv/my env"')
    for path in (None, "/nowhere"):
        settings = {"HOME": "/home/someone", "PYTHONPATH": bare.environment["PYTHONPATH"]}
        if path is not None:
            settings["PATH"] = path
        words = ["/srv/my env/bin/python", "-m", "torchml_installer", "doctor"]
        outcome = bare.run(*words, user=USER, environment=settings).plain()
        assert outcome.code == 3
        assert "'/srv/my env/bin/python' -m pip install numpy" in outcome.out
    for words in ("doctor", "env"):
        script = f"mkdir /tmp/gone; cd /tmp/gone; rmdir /tmp/gone; torchml_install {words}"
        assert bare.shell(script, user=USER).plain().code in (0, 3, 28), words
