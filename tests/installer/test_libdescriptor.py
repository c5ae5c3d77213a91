"""`deps --with libdescriptor` makes a folder that works, and nothing that does not passes for one.

The wheel is the published one, fetched once: see the fixture ``libdescriptor_root``.
"""

from __future__ import annotations

import ctypes.util
import json
import math
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.installer.synthetic_machines import ODD_NAME, Machine, write
from torchml_installer.deps.build_libdescriptor import WHEEL
from torchml_installer.detect import libdescriptor
from torchml_installer.errors import DownloadFailedError, LibdescriptorUnusableError
from torchml_installer.support.paths import cache_folder

ENVIRONMENT = Callable[[Mapping[str, str]], None]


@pytest.fixture
def wheels(libdescriptor_root: Path) -> Path:
    """The folder with the wheel that the installation was made from."""
    folder = cache_folder() / "downloads"
    if not WHEEL.is_whole(folder / WHEEL.file):
        command = WHEEL.download_command(folder)
        subprocess.run(command, check=True, capture_output=True)
    return folder


def finding(machine: Machine) -> dict[str, object]:
    answer = json.loads(machine.install("doctor", "--json").out)
    (found,) = (item for item in answer["findings"] if item["name"] == "libdescriptor")
    assert isinstance(found, dict)
    return found


def test_the_library_is_installed_once_and_found(machine: Machine, wheels: Path) -> None:
    assert not finding(machine)["usable"]
    command = ("deps", "--with", "libdescriptor", "--sources", wheels)
    outcome = machine.install(*command)
    assert outcome.code == 0, outcome.err
    assert "export LIBDESCRIPTOR_ROOT=" in outcome.out
    assert "export KIM_MODEL_DESCRIPTOR_BACKEND=libdescriptor" in outcome.out
    assert "torchml-install driver" not in outcome.out
    for path in Path(machine.environment["XDG_DATA_HOME"]).glob("*/receipts/*"):
        path.unlink()  # as if the run had been killed before it wrote that
    assert "Already installed: " in machine.install(*command).out
    assert "installed: library libdescriptor" in machine.install("uninstall").out
    found = finding(machine)
    assert (found["usable"], found["version"]) == (True, "0.2.3")
    assert found["how"] == "torchml-install deps"
    text = machine.install("env", "-o", "-").out
    assert f"export LIBDESCRIPTOR_ROOT={found['where']}\n" in text
    documents = Path(str(found["where"])) / "share" / "doc" / "libdescriptor"
    assert "GNU Lesser General Public License" in (documents / "README").read_text()


def test_the_library_is_found_where_the_current_folder_is_not_searched(
    libdescriptor_root: Path,
) -> None:
    library = (libdescriptor_root / "lib" / "libdescriptor.so").read_bytes()
    assert b"$ORIGIN" in library
    assert b"libdescriptor.libs" not in library
    assert b"67dcd8c6" not in library


def test_an_odd_prefix_and_json_and_a_dry_run(machine: Machine, wheels: Path) -> None:
    prefix = machine.folder / ODD_NAME
    places = ("--prefix", prefix, "--sources", wheels, "--json")
    command = ("deps", "--with", "libdescriptor", *places)
    planned = json.loads(machine.install(*command, "--dry-run").out)
    assert planned["outcomes"][0]["state"] == "planned"
    assert not prefix.exists()
    answer = json.loads(machine.install(*command).out)
    root = Path(answer["environment"]["LIBDESCRIPTOR_ROOT"])
    assert root.parent == prefix
    assert libdescriptor.problem_of(root / "lib" / "libdescriptor.so") is None
    assert [path.name for path in prefix.iterdir()] == [root.name]
    online = machine.install("deps", "--with", "libdescriptor", "--dry-run").out
    assert "--platform manylinux_2_5_x86_64" in online
    assert "libdescriptor==0.2.3" in online


def test_another_wheel_is_refused(machine: Machine) -> None:
    write(machine.folder / WHEEL.file, "something else")
    command = ("deps", "--with", "libdescriptor", "--sources", machine.folder)
    outcome = machine.install(*command)
    assert outcome.code == DownloadFailedError.exit_code
    assert "sha256" in outcome.err
    (machine.folder / WHEEL.file).unlink()
    assert "--sources" in machine.install(*command).err


def test_other_machines_are_told_that_there_is_none_for_them(machine: Machine) -> None:
    script = write(
        machine.folder / "run.py",
        "import platform\n"
        "platform.machine = lambda: 'aarch64'\n"
        "from torchml_installer.cli import main\n"
        "main()\n",
    )
    outcome = machine.install("deps", "--with", "libdescriptor", script=script)
    assert outcome.code == LibdescriptorUnusableError.exit_code
    assert "aarch64" in outcome.err


def test_conda_s_library_is_used(
    libdescriptor_root: Path, clean_environment: ENVIRONMENT, tmp_path: Path
) -> None:
    clean_environment({"CONDA_PREFIX": str(libdescriptor_root), "XDG_DATA_HOME": str(tmp_path)})
    found = libdescriptor.detect()
    assert found.usable, found.problem
    assert (found.where, found.how) == (libdescriptor_root, "CONDA_PREFIX")


def test_a_conda_environment_s_library_is_used_without_activating_it(
    libdescriptor_root: Path,
    clean_environment: ENVIRONMENT,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clean_environment({"XDG_DATA_HOME": str(tmp_path / "data")})
    prefix = tmp_path / "environment"
    shutil.copytree(libdescriptor_root / "lib", prefix / "lib")
    (prefix / "conda-meta").mkdir()
    monkeypatch.setattr(sys, "prefix", str(prefix))
    found = libdescriptor.detect()
    assert found.usable, found.problem
    assert (found.where, found.how) == (prefix, "the active Python")


def test_a_library_that_computes_something_else_is_not_usable(
    libdescriptor_root: Path, clean_environment: ENVIRONMENT, tmp_path: Path
) -> None:
    """The published library, with 3.1 in the place of pi."""
    library = tmp_path / "lib" / "libdescriptor.so"
    library.parent.mkdir()
    content = (libdescriptor_root / "lib" / "libdescriptor.so").read_bytes()
    pi, about = struct.pack("<d", math.pi), struct.pack("<d", 3.1)
    assert pi in content
    library.write_bytes(content.replace(pi, about))
    clean_environment({"LIBDESCRIPTOR_ROOT": str(tmp_path)})
    found = libdescriptor.detect()
    assert not found.usable
    assert "it computes a value as" in str(found.problem)
    assert "deps --with libdescriptor" in found.next_step


def test_other_files_of_that_name_are_not_usable(
    clean_environment: ENVIRONMENT, tmp_path: Path
) -> None:
    clean_environment({"LIBDESCRIPTOR_ROOT": str(tmp_path)})
    assert "has no lib/libdescriptor.so" in str(libdescriptor.detect().problem)
    library = write(tmp_path / "lib" / "libdescriptor.so", "not a library")
    assert "cannot be used" in str(libdescriptor.detect().problem)
    name = ctypes.util.find_library("m")
    assert name is not None
    maps = Path(f"/proc/{os.getpid()}/maps")
    if maps.exists():
        ctypes.CDLL(name)
        (path, *_) = {line.split()[-1] for line in maps.read_text().splitlines() if name in line}
        shutil.copy(path, library)
        assert "undefined symbol" in str(libdescriptor.detect().problem)


def test_the_probe_knows_a_value_and_a_derivative(libdescriptor_root: Path) -> None:
    library = libdescriptor_root / "lib" / "libdescriptor.so"
    command = [sys.executable, "-m", "torchml_installer.detect.libdescriptor_probe", str(library)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
