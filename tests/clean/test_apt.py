"""The real apt-get, in a disposable machine: it installs packages, also after an interruption."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clean.machines import CleanMachine, machine

pytestmark = pytest.mark.slow


@pytest.fixture
def clean(tmp_path: Path, environment: Path) -> Iterator[CleanMachine]:
    """A bare machine with a network, without the packages pkg-config and xxd."""
    with machine(tmp_path / "machine", environment, network=True) as made:
        for name in ("pkg-config", "xxd"):
            made.forget_package(name)
        if made.run("/usr/bin/apt-get", "update", timeout=300).code != 0:
            pytest.skip("no mirror of Debian's can be reached")
        yield made


def test_what_is_missing_comes_from_the_distribution(clean: CleanMachine) -> None:
    outcome = clean.install("deps", "--with", "xxd", "--provider", "apt", timeout=300).plain()
    assert outcome.code == 0, outcome.err
    assert clean.run("xxd", "--version").code == 0
    again = clean.install("deps", "--with", "xxd", "--provider", "apt").plain()
    assert (again.code, again.out) == (0, "Nothing is missing.\n")


def test_lists_of_packages_are_fetched_where_there_are_none(clean: CleanMachine) -> None:
    clean.administer("rm -rf $root/var/lib/apt/lists/*")
    outcome = clean.install("deps", "--with", "xxd", "--provider", "apt", timeout=300).plain()
    assert outcome.code == 0, outcome.err
    assert "updating the package lists" in outcome.err


@pytest.mark.parametrize("wish", [signal.SIGTERM, signal.SIGKILL], ids=lambda wish: wish.name)
def test_an_interrupted_package_manager_is_put_right_by_the_next_run(
    clean: CleanMachine, wish: signal.Signals
) -> None:
    words = clean.command("deps", "--with", "xxd", "--provider", "apt")
    for delay in (0.5, 1.5, 2.5, 3.5):
        process = clean.start(*words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        assert process.stderr is not None
        if process.stderr.readline().startswith("apt: "):
            time.sleep(delay)  # otherwise a killed run's apt may have finished
        process.send_signal(wish)
        said = process.stderr.read()
        assert process.wait(timeout=60) in (130, -wish, 0), said
    outcome = clean.install("deps", "--with", "xxd", "--provider", "apt", timeout=300).plain()
    assert outcome.code == 0, outcome.err
    assert clean.run("xxd", "--version").code == 0


def test_a_package_that_dpkg_was_killed_over_is_finished_first(clean: CleanMachine) -> None:
    """apt refuses to continue if dpkg was interrupted, which dpkg has recorded."""
    status = clean.path("/var/lib/dpkg/status").read_text(encoding="utf-8").split("\n\n")
    hurt = next(text for text in status if text.startswith("Package: adduser\n"))
    note = hurt.replace("install ok installed", "install ok half-configured")
    clean.path("/var/lib/dpkg/updates/0001").write_text(note + "\n", encoding="utf-8")
    refused = clean.run("/usr/bin/apt-get", "install", "-y", "xxd")
    assert "dpkg was interrupted" in refused.err
    outcome = clean.install("deps", "--with", "xxd", "--provider", "apt", timeout=300).plain()
    assert outcome.code == 0, outcome.err
    assert "apt: finishing an interrupted installation" in outcome.err
    assert clean.run("xxd", "--version").code == 0


def test_a_user_without_root_installs_through_a_sudo_that_asks_nothing(clean: CleanMachine) -> None:
    got = clean.run("/usr/bin/apt-get", "install", "-y", "sudo", timeout=300)
    assert got.code == 0, got.err
    with clean.path("/etc/passwd").open("a") as file:
        file.write("someone:x:12345:12345::/home/someone:/bin/sh\n")
    with clean.path("/etc/shadow").open("a") as file:
        file.write("someone:*:19000:0:99999:7:::\n")
    words = ("deps", "--with", "xxd", "--provider", "apt")
    asks = clean.install(*words, user=12345).plain()
    assert asks.code == 28
    assert "sudo asks for a password" in asks.err
    clean.path("/etc/sudoers.d/someone").write_text("someone ALL=(ALL) NOPASSWD: ALL\n")
    outcome = clean.install(*words, user=12345, timeout=300).plain()
    assert outcome.code == 0, outcome.err
    assert clean.run("xxd", "--version").code == 0
    # If it is interrupted, it does not wait for a process that it must not end.
    clean.forget_package("xxd")
    clean.path("/usr/bin/xxd").unlink()
    clean.path("/etc/apt/apt.conf.d/slowly").write_text('DPkg::Pre-Invoke {"sleep 5";};\n')
    process = clean.start(
        *clean.command(*words),
        user=12345,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    assert process.stderr is not None
    process.stderr.readline()
    time.sleep(1.5)
    process.send_signal(signal.SIGTERM)
    said = process.stderr.read()
    assert process.wait(timeout=30) == 130, said
    assert "Traceback" not in said
