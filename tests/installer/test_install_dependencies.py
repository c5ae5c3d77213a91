"""driver_src/install_dependencies.sh, the name that people know from elsewhere."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.installer.synthetic_machines import (
    ODD_NAME,
    REPOSITORY,
    Machine,
    make_kim,
    make_program,
    make_torch,
    write,
)

SCRIPT = REPOSITORY / "driver_src/install_dependencies.sh"


@pytest.fixture
def ready(machine: Machine) -> Machine:
    """A machine on which nothing is missing."""
    odd = machine.folder / ODD_NAME
    machine.environment["TORCH_ROOT"] = str(make_torch(odd / "torch"))
    machine.environment["KIM_API_CMAKE_PREFIX_DIR"] = str(make_kim(odd / "kim"))
    return machine


def run(machine: Machine, script: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [script, *options],
        cwd=machine.folder,
        env=machine.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("numpy", "vesin", "pybind11")),
    reason="needs what the Python module is built with; it would be installed into this Python",
)
def test_it_installs_with_the_command_and_writes_the_environment(ready: Machine) -> None:
    program = f'#!/bin/sh\nexec "{sys.executable}" -m torchml_installer "$@"\n'
    write(ready.folder / "bin/torchml-install", program, executable=True)
    ready.environment["PATH"] = f"{ready.folder}/bin:{ready.environment['PATH']}"
    done = run(ready, SCRIPT)
    assert done.returncode == 0, done.stderr
    assert "Nothing is missing." in done.stdout
    assert "TORCH_ROOT" in (ready.folder / "env.sh").read_text()


NOTES = """\
#!/bin/sh
printf '%s' "$1" >> "{calls}"
shift
[ $# -eq 0 ] || printf ' <%s>' "$@" >> "{calls}"
echo >> "{calls}"
echo "said by the command"
"""


@pytest.mark.parametrize(
    ("options", "for_env"),
    [
        ((), ""),
        (("--help",), None),
        (("-h",), None),
        (("--dry-run",), None),
        (("--with", "lammps"), ""),
        (("--with", "--help"), ""),  # what an option takes is no option
        (("--provider", "apt"), ""),
        (("--torch-index", "URL"), ""),
        (("--sources", "DIR"), ""),
        (("--jobs", "2"), ""),
        (("--force",), ""),
        (("--verbose",), ""),
        (("--json",), ""),
        (("--torch-root", "a b"), " <--torch-root> <a b>"),
        (("--torch-root=a b",), " <--torch-root> <a b>"),
        (("--kim-root", "it's"), " <--kim-root> <it's>"),
        (("--cxx", "g++-12", "--force"), " <--cxx> <g++-12>"),
        (("--prefix", "my deps"), ""),
        (("--libtorch", "x.zip", "--sha256", "0"), ""),
        (("--prefix", "my deps", "--libtorch", "x.zip"), " <--torch-root> <my deps/libtorch>"),
        (("--libtorch=x.zip", "--prefix=p"), " <--torch-root> <p/libtorch>"),
        (
            ("--prefix", "p", "--libtorch", "x.zip", "--torch-root", "t"),
            " <--torch-root> <t>",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_options_reach_the_commands_that_know_them(
    machine: Machine, options: tuple[str, ...], for_env: str | None
) -> None:
    calls = machine.folder / "calls"
    write(machine.folder / "bin/torchml-install", NOTES.format(calls=calls), executable=True)
    machine.environment["PATH"] = f"{machine.folder}/bin:{machine.environment['PATH']}"
    done = run(machine, SCRIPT, *options)
    assert done.returncode == 0, done.stderr
    deps, *env = calls.read_text().splitlines()
    assert deps == "deps" + "".join(f" <{option}>" for option in options)
    assert env == ([] if for_env is None else [f"env{for_env}"])
    # Who reads JSON reads nothing else; what env says is for people, then.
    assert done.stdout.count("said") == (1 if "--json" in options or for_env is None else 2)


def test_in_a_clone_it_needs_no_installation(ready: Machine) -> None:
    folder = ready.folder / ODD_NAME / "clone"
    copied = folder / "driver_src/install_dependencies.sh"
    copied.parent.mkdir(parents=True)
    shutil.copy2(SCRIPT, copied)
    (folder / "torchml_installer").symlink_to(REPOSITORY / "torchml_installer")
    (folder / "env_templates").symlink_to(REPOSITORY / "env_templates")
    programs = ready.folder / "bin"
    make_program(programs / "nothing", "")
    for name in ("sh", "dirname", "env", "cmake", "ninja", "c++", "ld", "as"):
        if found := shutil.which(name):
            (programs / name).symlink_to(found)
    write(programs / "python3", f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', executable=True)
    ready.environment["PATH"] = str(programs)
    del ready.environment["PYTHONPATH"]
    done = run(ready, copied, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert not (ready.folder / "env.sh").exists()


def test_alone_it_says_how_to_get_the_command(ready: Machine) -> None:
    copied = shutil.copy2(SCRIPT, ready.folder)
    ready.environment["PATH"] = "/usr/bin:/bin"
    done = run(ready, Path(copied))
    assert done.returncode == 1
    assert "python -m pip install FOLDER" in done.stderr
