"""A build's plan holds all that it uses: no variable of this process is set, nothing is shared."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.installer.synthetic_machines import REPOSITORY, make_kim, make_torch, write
from torchml_installer.building.cmake_project import CMakeProject
from torchml_installer.building.plan import BuildPlan
from torchml_installer.detect import Places, toolchain
from torchml_installer.driver.options import DriverOptions, graph_disabled, mpi_aware, planned
from torchml_installer.remedies.no_space_for_temporaries import NoSpaceForTemporaries
from torchml_installer.support.paths import plain_temporary_parent


@pytest.fixture
def places(tmp_path: Path, clean_environment: Callable[[Mapping[str, str]], None]) -> Places:
    """A made-up torch and KIM-API."""
    clean_environment({"XDG_CACHE_HOME": str(tmp_path / "cache")})
    return Places(make_torch(tmp_path / "torch"), make_kim(tmp_path / "kim"))


def environment() -> dict[str, str]:
    """This process's own, without what pytest tells of itself."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}


@pytest.fixture
def unchanged(places: Places) -> Iterator[None]:
    """No variable of this process is set."""
    before = environment()
    yield
    assert environment() == before


@pytest.mark.usefixtures("unchanged")
def test_a_named_library_is_told_to_the_programs_of_the_build_alone(
    places: Places, tmp_path: Path
) -> None:
    root = tmp_path / "scatter"
    plan = planned(DriverOptions(places=places, roots={"TorchScatter_ROOT": root}))
    assert plan.variable("TorchScatter_ROOT") == str(root)
    assert "TorchScatter_ROOT" not in os.environ
    program = write(tmp_path / "cmake", '#!/bin/sh\necho "$TorchScatter_ROOT"\n', executable=True)
    plan = plan.with_places(Places(places.torch_root, places.kim_root, cmake=program))
    project = CMakeProject(plan, tmp_path, tmp_path / "build", tmp_path / "log")
    for run in (lambda: project.configure("1", {}), lambda: project.install("2")):
        run()
        assert (tmp_path / "log").read_text().splitlines()[-1] == str(root)


@pytest.mark.usefixtures("unchanged")
def test_a_repair_of_temporary_files_leaves_this_process_and_the_former_plan_alone(
    places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = "torchml_installer.remedies.no_space_for_temporaries"
    monkeypatch.setattr(f"{module}._roomy", lambda _plan: tmp_path / "cache/torchml-install")
    plan = BuildPlan(toolchain(places), places)
    repaired = NoSpaceForTemporaries().fix(plan).plan
    folder = tmp_path / "cache/torchml-install/tmp"
    assert repaired.variable("TMPDIR") == str(folder)
    assert plain_temporary_parent(repaired.variable("TMPDIR")) == folder
    assert plan.environment == {}
    assert plan.variable("TMPDIR") == os.environ.get("TMPDIR", "")


@pytest.mark.usefixtures("unchanged")
def test_what_remedies_add_is_kept_by_the_next_one(places: Places, tmp_path: Path) -> None:
    plan = BuildPlan(toolchain(places), places, mpi=True)
    cxx = write(tmp_path / "bin/c++", "#!/bin/sh\necho 'c++ (GCC) 13.2.0'\n", executable=True)
    changed = plan.with_variables({"A": "1"}).with_environment({"B": "2"}).with_compiler(cxx)
    changed = changed.with_variables({"C": "3"})
    assert (changed.variables, changed.environment) == ({"A": "1", "C": "3"}, {"B": "2"})
    assert changed.mpi
    assert (changed.places.cxx, changed.tools.compiler.where) == (str(cxx), cxx)
    assert (plan.variables, plan.places) == ({}, places)


@pytest.mark.skipif(shutil.which("cmake") is None, reason="needs CMake")
@pytest.mark.parametrize(
    ("name", "value", "graph", "mpi"),
    [
        ("KIM_MODEL_MPI_AWARE", None, True, False),
        *(("KIM_MODEL_MPI_AWARE", value, True, True) for value in ("yes", "On", "TRUE", "1")),
        *(
            ("KIM_MODEL_MPI_AWARE", value, True, False)
            for value in ("", "no", "off", "0", "2", "y", "yes ", "yes;no", "true\n", "NOTFOUND")
        ),
        *(("KIM_MODEL_DISABLE_GRAPH", value, False, False) for value in ("", "0", "no", "1")),
        *(("KIM_MODEL_DISBALE_GRAPH", value, False, False) for value in ("", "0", "no", "1")),
    ],
)
def test_cmake_and_the_installer_read_the_environment_alike(
    name: str,
    value: str | None,
    graph: bool,
    mpi: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for variable in ("DISABLE_GRAPH", "DISBALE_GRAPH", "MPI_AWARE"):
        monkeypatch.delenv(f"KIM_MODEL_{variable}", raising=False)
    if value is not None:
        monkeypatch.setenv(name, value)
    script = write(
        tmp_path / "script.cmake",
        f'include("{REPOSITORY}/driver_src/cmake/EnvironmentSwitches.cmake")\n'
        'file(WRITE answer.txt "${TORCHML_GRAPH_DEFAULT} ${TORCHML_MPI_DEFAULT}")\n',
    )
    subprocess.run(["cmake", "-P", script], cwd=tmp_path, check=True)
    told = (tmp_path / "answer.txt").read_text().split()
    assert [word == "ON" for word in told] == [graph, mpi]
    assert [not graph_disabled(), mpi_aware()] == [graph, mpi]
