"""After any signal at any moment, the next run continues; runs at once do not disturb each other.

The signals come when the command announces a step, and some time into it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import subprocess
import threading
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.clean.conftest import DriverRuns
from tests.clean.machines import ENVIRONMENT, CleanMachine
from tests.installer.driver_machine import DEFAULT
from tests.installer.synthetic_machines import make_torch, make_wheel
from torchml_installer.errors import InterruptedByUserError

#: The same function handles SIGINT, SIGHUP and SIGTERM.
WISHES = (
    pytest.param(signal.SIGTERM, id="SIGTERM"),
    pytest.param(signal.SIGKILL, id="SIGKILL"),
    pytest.param(signal.SIGINT, id="SIGINT", marks=pytest.mark.slow),
    pytest.param(signal.SIGHUP, id="SIGHUP", marks=pytest.mark.slow),
)
#: Words that announce the driver's steps, and seconds into these steps.
MOMENTS = (("configuring", 0.0), ("compiling", 0.1), ("collecting", 0.0))


def end_at(
    process: subprocess.Popen[str], word: str, delay: float, wish: signal.Signals
) -> tuple[int, str]:
    """Sends the signal when the process prints the word; returns its code and its output."""
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        if line.startswith(word):
            time.sleep(delay)
            process.send_signal(wish)
            break
    said += process.stderr.read()
    return process.wait(timeout=30), said


def one_of(parent: int, word: bytes) -> int:
    """The child process with a word on its command line."""
    while True:
        for status in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):  # it has ended
                facts = status.read_text().rpartition(")")[2].split()
                words = status.with_name("cmdline").read_bytes().split(b"\0")
                if int(facts[1]) == parent and word in words:
                    return int(status.parent.name)
        time.sleep(0.01)


def start(
    clean: CleanMachine, words: Sequence[str | Path], environment: dict[str, str], cwd: str = "/"
) -> subprocess.Popen[str]:
    return clean.start(
        *words,
        environment=environment,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("wish", WISHES)
def test_an_interrupted_driver_leaves_the_one_before_and_the_next_run_goes_on(
    driver: DriverRuns, wish: signal.Signals
) -> None:
    assert driver.run(*driver.command()).code == 0
    library = driver.collection / DEFAULT / "library.so"
    before = library.read_bytes()
    driver.work("execute_process(COMMAND sleep 0.2)")
    for number, (word, delay) in enumerate(MOMENTS):
        with (driver.sources / "work.cmake").open("a") as file:
            file.write(f"# {number}: another build\n")
        process = start(driver.clean, driver.words(*driver.command()), driver.environment)
        code, said = end_at(process, word, delay, wish)
        if wish == signal.SIGKILL:
            assert code == -signal.SIGKILL
        elif code != 0:  # too late is possible
            assert code == InterruptedByUserError.exit_code, said
            assert "Traceback" not in said
            assert driver.installed() == [DEFAULT]
        assert library.read_bytes() == before
    outcome = driver.run(*driver.command()).plain()
    assert outcome.code == 0, outcome.err
    if wish != signal.SIGKILL:
        assert driver.installed() == [DEFAULT]


def test_an_impatient_user_does_not_stop_the_cleaning_up(driver: DriverRuns) -> None:
    mark = driver.folder / "started"
    driver.work(f'file(TOUCH "{mark}")\nexecute_process(COMMAND sleep 20.125)')
    process = start(driver.clean, driver.words(*driver.command()), driver.environment)
    while not mark.exists():
        time.sleep(0.01)
    for _ in range(5):
        process.send_signal(signal.SIGINT)
        time.sleep(0.01)
    assert process.stderr is not None
    said = process.stderr.read()
    assert process.wait(timeout=20) == InterruptedByUserError.exit_code, said
    assert "Traceback" not in said
    assert driver.installed() == []
    assert "sleep 20.125" not in driver.clean.run("/bin/ps", "-eo", "args").out


def test_a_run_under_nohup_outlives_its_terminal(driver: DriverRuns) -> None:
    driver.work("execute_process(COMMAND sleep 0.2)")
    process = start(driver.clean, ["nohup", *driver.words(*driver.command())], driver.environment)
    code, said = end_at(process, "compiling", 0.0, signal.SIGHUP)
    assert code == 0, said
    assert driver.installed() == [DEFAULT]


def test_what_killed_runs_have_left_in_a_collection_goes_after_a_day(driver: DriverRuns) -> None:
    old, new = (driver.collection / f".torchml-staging-{name}" for name in ("old", "new"))
    for folder in (old, new):
        (folder / DEFAULT).mkdir(parents=True)
    os.utime(old, (time.time() - 2 * 86400,) * 2)
    assert driver.run(*driver.command()).code == 0
    assert driver.installed() == [new.name, DEFAULT]


def test_an_interrupted_environment_file_is_the_old_one_or_the_new(driver: DriverRuns) -> None:
    words = driver.words("env", "-o", str(driver.folder / "env.sh"))
    for delay in (0.1, 0.2):
        process = start(driver.clean, words, driver.environment)
        time.sleep(delay)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=20)
        assert "Traceback" not in said
        assert [path.name for path in driver.folder.glob("*env.sh*")] in ([], ["env.sh"])
    assert driver.run("env", "-o", str(driver.folder / "env.sh")).code == 0


# --- libtorch --------------------------------------------------------------------------------

HEADERS = 2500


class Libtorch:
    """The command that installs a libtorch with many files from an address."""

    def __init__(self, driver: DriverRuns) -> None:
        self.driver = driver
        tree = make_torch(driver.folder / "tree/libtorch")
        archive = driver.folder / "libtorch.zip"
        with zipfile.ZipFile(archive, "w") as made:
            for file in sorted(tree.rglob("*")):
                made.write(file, file.relative_to(tree.parent))
            for number in range(HEADERS):
                made.writestr(f"libtorch/include/many/{number}.h", "// a header")
        xxd = driver.clean.path("/usr/local/bin/xxd")
        xxd.write_text("#!/bin/sh\n")
        xxd.chmod(0o755)
        self.prefix = driver.folder / "prefix"
        self.words = ["deps", "--prefix", str(self.prefix), "--libtorch", archive.as_uri()]
        self.words += ["--sha256", hashlib.sha256(archive.read_bytes()).hexdigest()]
        # Without a network: nothing more than what is there.
        self.words += ["--with", "xxd"]

    def start(self) -> subprocess.Popen[str]:
        return start(self.driver.clean, self.driver.words(*self.words), self.driver.environment)

    def whole(self) -> bool:
        root = self.prefix / "libtorch"
        headers = list((root / "include/many").glob("*.h"))
        return len(headers) == HEADERS and (root / "lib/libtorch_cpu.so").is_file()

    def leftovers(self) -> list[str]:
        """The files beside libtorch and the kept download."""
        places = (self.prefix, Path(self.driver.environment["XDG_CACHE_HOME"]) / "torchml-install")
        names = [path.name for place in places for path in place.rglob(".*")]
        return [name for name in names if not name.endswith(".lock")]


@pytest.mark.parametrize("wish", WISHES)
def test_an_interrupted_libtorch_is_not_half_there_and_the_next_run_brings_it(
    driver: DriverRuns, wish: signal.Signals
) -> None:
    libtorch = Libtorch(driver)
    for word, delay in (("downloading", 0.0), ("unpacking", 0.1)):
        code, said = end_at(libtorch.start(), word, delay, wish)
        if wish == signal.SIGKILL:
            assert code == -signal.SIGKILL
        elif code != 0:  # too late is possible
            assert code == InterruptedByUserError.exit_code, said
            assert "Traceback" not in said
            assert libtorch.leftovers() == []
        assert not (libtorch.prefix / "libtorch").exists() or libtorch.whole()
    outcome = driver.run(*libtorch.words).plain()
    assert outcome.code == 0, outcome.err
    assert libtorch.whole()


def test_two_that_bring_a_libtorch_at_once_leave_it_whole(driver: DriverRuns) -> None:
    libtorch = Libtorch(driver)
    both = [libtorch.start() for _ in range(2)]
    said = [process.communicate(timeout=60)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert libtorch.whole()
    assert libtorch.leftovers() == []


# --- packages -------------------------------------------------------------------------------


class Packages:
    """A Python environment in a clean machine, and a package that pip takes a second to install."""

    def __init__(self, driver: DriverRuns) -> None:
        self.clean = driver.clean
        source = "def f(x):\n    return x + {}\n" * 5
        modules = {
            f"vesin/m{number}.py": source.replace("{}", str(number)) for number in range(400)
        }
        members = {**modules, "vesin/__init__.py": ""}
        wheel = make_wheel(driver.folder / "wheels", "vesin", "0.9", members)
        self.environment = {
            **driver.environment,
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(wheel.parent),
            "PIP_CONFIG_FILE": "/dev/null",
        }
        self.clean.administer(f'rm -rf $root/srv/env; cp -a "$root{ENVIRONMENT}/." $root/srv/env')
        start = ["/srv/env/bin/python", "-m", "torchml_installer"]
        self.words = [*start, "deps", "--with", "vesin", "--provider", "pip"]

    def start(self) -> subprocess.Popen[str]:
        return start(self.clean, self.words, self.environment)

    def require_whole(self) -> None:
        program = "import vesin.m0, vesin.m399, importlib.metadata as m; print(m.version('vesin'))"
        done = self.clean.run("/srv/env/bin/python", "-c", program)
        assert done.out == "0.9\n", done.err


@pytest.fixture
def packages(driver: DriverRuns) -> Packages:
    return Packages(driver)


@pytest.mark.parametrize("wish", [wish for wish in WISHES if wish.id != "SIGKILL"])
def test_an_interrupted_installation_of_packages_goes_on_the_next_time(
    packages: Packages, wish: signal.Signals
) -> None:
    code, said = end_at(packages.start(), "pip: installing", 0.3, wish)
    assert code in (-wish, InterruptedByUserError.exit_code, 0), said
    assert "Traceback" not in said
    last = packages.start()
    said = last.communicate(timeout=60)[1]
    assert last.returncode == 0, said
    packages.require_whole()


def test_the_next_run_waits_for_a_pip_whose_parent_was_killed(packages: Packages) -> None:
    first = packages.start()
    assert first.stderr is not None
    for line in first.stderr:
        if line.startswith("pip: installing"):
            break
    pip = one_of(first.pid, b"install")
    os.kill(pip, signal.SIGSTOP)  # otherwise it may finish before the next run looks
    try:
        first.kill()
        assert first.wait(timeout=30) == -signal.SIGKILL
        last = packages.start()
        assert last.stderr is not None
        said = last.stderr.readline()
    finally:
        os.kill(pip, signal.SIGCONT)
    assert "waiting for another torchml-install" in said
    said = last.communicate(timeout=60)[1]
    assert last.returncode == 0, said
    packages.require_whole()


@pytest.mark.parametrize("then", ["uninstall", "deps"])
def test_what_pip_brings_after_its_parent_was_killed_is_removed(
    packages: Packages, then: str
) -> None:
    first = packages.start()
    # Before that, pip would end when it prints.
    while not list(packages.clean.path("/srv/env").glob("lib/*/site-packages/vesin")):
        assert first.poll() is None
        time.sleep(0.01)
    first.kill()
    assert first.wait(timeout=30) == -signal.SIGKILL
    if then == "deps":
        last = packages.start()
        assert "Traceback" not in last.communicate(timeout=60)[1]
        assert last.returncode == 0
        packages.require_whole()
    words = [*packages.words[:3], "uninstall", "--all"]
    done = packages.clean.run(*words, environment=packages.environment)
    assert done.code == 0, done.err
    assert "vesin 0.9" in done.out
    program = "import pip, click, importlib.util as u; print(u.find_spec('vesin'))"
    assert packages.clean.run("/srv/env/bin/python", "-c", program).out == "None\n"


def test_of_two_runs_at_once_the_second_waits_and_has_nothing_to_do(packages: Packages) -> None:
    runs = [packages.start() for _ in range(2)]
    said = ["", ""]

    def listen(number: int) -> None:
        said[number] = runs[number].communicate(timeout=60)[1]

    listeners = [threading.Thread(target=listen, args=(number,)) for number in range(2)]
    for listener in listeners:
        listener.start()
    for listener in listeners:
        listener.join()
    assert [run.returncode for run in runs] == [0, 0], said
    waited = [text for text in said if "waiting for another torchml-install" in text]
    assert len(waited) == 1, said
    assert "that installs packages" in waited[0]
    assert "pip: installing" not in waited[0]
    packages.require_whole()
