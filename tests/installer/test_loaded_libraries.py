"""Doctor says which libraries a program would load that fit no driver: another torch, another
KIM-API, what LD_PRELOAD brings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.installer.compiled import compiled, needs_compiler
from tests.installer.synthetic_machines import make_kim, make_torch, write
from torchml_installer import remedies
from torchml_installer.building.plan import BuildPlan
from torchml_installer.detect import Places, elf, loader, python_packages, toolchain
from torchml_installer.detect.record import Finding
from torchml_installer.support.names import DEFAULT_DRIVER_NAME

pytestmark = needs_compiler

KIM_LIBRARY = "libkim-api.so.2"


@pytest.fixture(autouse=True)
def _bare(clean_environment: Callable[[Mapping[str, str]], None]) -> None:
    """No variable of the loader's or ours is set."""
    clean_environment({})


def kim_library(folder: Path, number: str) -> Path:
    source = f"int version() {{ return {number}; }}"
    return compiled(folder / KIM_LIBRARY, source, f"-Wl,-soname,{KIM_LIBRARY}")


class Computer:
    """Synthetic torch, KIM-API, LAMMPS and driver; what doctor recognises of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.torch = make_torch(folder / "torch", "2.13.0+cpu")
        compiled(self.torch_library, "int torch() { return 0; }", "-Wl,-soname,libtorch_cpu.so")
        self.kim = make_kim(folder / "kim")
        self.built_with = f"2.13.0+cpu in {self.torch}"
        self.kim_file = kim_library(folder / "kim/lib", "1")
        self.driver("-Wl,--disable-new-dtags")
        self.lammps(f"-Wl,-rpath,{self.kim}/lib")

    @property
    def torch_library(self) -> Path:
        return self.torch / "lib/libtorch_cpu.so"

    def driver(self, *options: str) -> None:
        path = self.folder / "drivers" / DEFAULT_DRIVER_NAME / "libkim-api-model-driver.so"
        source = "int torch(); int driver() { return torch(); }"
        compiled(path, source, str(self.torch_library), f"-Wl,-rpath,{self.torch}/lib", *options)

    def lammps(self, *options: str) -> Path:
        program = "int version(); int start() { return version(); }"
        compiled(self.folder / "bin/lmp", program, str(self.kim_file), *options)
        return self.folder / "bin/lmp"

    def problems(self, torch: Path | None = None) -> dict[str, str]:
        """Explanations by names, of the three kinds."""
        places = Places(self.torch, self.kim)
        tools = toolchain(places)
        if torch is not None:
            tools = toolchain(Places(kim_root=self.kim))
            assert tools.torch.where == torch
        others = (
            python_packages.detect("torchml_driver"),
            Finding("lammps", "LAMMPS", where=self.folder / "bin/lmp"),
            Finding(
                "kim-collections",
                "driver in KIM",
                where=self.folder / "drivers",
                details={"built with torch": self.built_with} if self.built_with else {},
            ),
        )
        found = remedies.recognised(BuildPlan(tools, places, others=others))
        names = ("another-torch", "another-kim-api", "preloaded-libraries")
        return {one.name: one.symptom.explanation for one in found if one.name in names}


@pytest.fixture
def computer(tmp_path: Path) -> Computer:
    return Computer(tmp_path)


def test_nothing_is_said_where_all_fit(computer: Computer) -> None:
    assert computer.problems() == {}


class TestTorch:
    def test_that_of_the_environment_is_compared_with_the_drivers(
        self, computer: Computer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        other = make_torch(tmp_path / "other", "2.12.1")
        monkeypatch.setenv("TORCH_ROOT", str(other))
        explanation = computer.problems(other)["another-torch"]
        assert f"torch 2.13.0+cpu in {computer.torch}" in explanation
        assert f"2.12.1 in {other}" in explanation
        assert "torchml-install driver" in explanation
        computer.built_with = ""  # there is no receipt: the driver's own run path says it
        assert computer.problems(other)["another-torch"] == explanation
        monkeypatch.setenv("TORCH_ROOT", str(make_torch(tmp_path / "same", "2.13.1")))
        assert computer.problems(tmp_path / "same") == {}

    @pytest.mark.parametrize("first", [True, False])
    def test_one_in_ld_library_path_counts_for_a_driver_that_would_load_it(
        self,
        computer: Computer,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        first: bool,
    ) -> None:
        other = make_torch(tmp_path / "other", "2.12.1") / "lib"
        computer.driver("-Wl,--disable-new-dtags" if first else "-Wl,--enable-new-dtags")
        monkeypatch.setenv("LD_LIBRARY_PATH", f"/nowhere::{other}")
        problems = computer.problems()
        assert list(problems) == ([] if first else ["another-torch"])
        assert first or f"another one from {other}" in problems["another-torch"]
        monkeypatch.setenv("LD_LIBRARY_PATH", str(computer.torch / "lib"))
        assert computer.problems() == {}
        # Debian's libraries carry the release in their names.
        (other / "libtorch_cpu.so").rename(other / "libtorch_cpu.so.1.13")
        monkeypatch.setenv("LD_LIBRARY_PATH", str(other))
        assert computer.problems() == {}

    def test_the_python_modules_is_compared_with_what_python_imports(
        self, computer: Computer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        module = tmp_path / "site/torchml_driver"
        write(module / "__init__.py")
        monkeypatch.syspath_prepend(module.parent)
        assert computer.problems() == {}  # an older one does not say
        write(module / "built_for.py", 'VERSION = "2.13.0"\n')
        for version, told in (("2.13.1", False), ("2.14.0+cu130", True)):
            package = make_torch(tmp_path / version / "torch", version)
            write(package / "__init__.py")
            monkeypatch.syspath_prepend(package.parent)
            explanation = computer.problems().get("another-torch", "")
            assert (f"imports torch {version} from {package}" in explanation) == told


class TestKimApi:
    @pytest.mark.parametrize("way", ["LD_LIBRARY_PATH", "run path"])
    def test_that_of_lammps_is_compared_with_the_drivers(
        self, computer: Computer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
    ) -> None:
        second = kim_library(tmp_path / "second/lib", "2")
        if way == "run path":
            computer.lammps("-Wl,-rpath,$ORIGIN/../second/lib")
        else:
            monkeypatch.setenv("LD_LIBRARY_PATH", str(second.parent))
        explanation = computer.problems()["another-kim-api"]
        assert str(second) in explanation
        assert f"the one in {computer.kim} (2.3.0)" in explanation
        assert f"--kim-root {tmp_path / 'second'}" in explanation
        assert ("from LD_LIBRARY_PATH" in explanation) == (way == "LD_LIBRARY_PATH")

    def test_a_lammps_that_is_a_library_is_looked_into(
        self, computer: Computer, tmp_path: Path
    ) -> None:
        second = kim_library(tmp_path / "second/lib", "2")
        source = "int version(); int run_lammps() { return version(); }"
        options = ("-Wl,-soname,liblammps.so.0", "-Wl,-rpath,$ORIGIN/../second/lib")
        inner = compiled(tmp_path / "lib/liblammps.so.0", source, str(second), *options)
        outer = "int run_lammps(); int start() { return run_lammps(); }"
        compiled(tmp_path / "bin/lmp", outer, str(inner), "-Wl,-rpath,$ORIGIN/../lib")
        assert str(second) in computer.problems()["another-kim-api"]

    def test_a_run_path_that_counts_first_is_not_overruled(
        self, computer: Computer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        second = kim_library(tmp_path / "second/lib", "2")
        monkeypatch.setenv("LD_LIBRARY_PATH", str(second.parent))
        program = computer.lammps(f"-Wl,-rpath,{computer.kim}/lib", "-Wl,--disable-new-dtags")
        assert loader.library(KIM_LIBRARY, program) == computer.kim_file
        assert computer.problems() == {}

    def test_of_a_script_nothing_is_claimed(self, computer: Computer) -> None:
        write(computer.folder / "bin/lmp", "#!/bin/sh\nexec lmp\n", executable=True)
        assert computer.problems() == {}


@pytest.mark.parametrize(
    ("name", "source", "effect"),
    [
        ("libblas.so.3", 'extern "C" void dgemm_() {}', "replaces torch's matrix multiplication"),
        ("libiomp5.so", 'extern "C" void omp_get_thread_num() {}', "replaces torch's OpenMP"),
        ("libtorch_cpu.so", "int torch;", "is a torch"),
        ("libjemalloc.so", 'extern "C" void malloc_stats() {}', ""),
    ],
)
def test_what_ld_preload_brings_is_explained(
    computer: Computer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    source: str,
    effect: str,
) -> None:
    path = compiled(tmp_path / "preloaded" / name, source)
    # The loader of this test's own programs is not asked: the variable is only read.
    monkeypatch.setenv("LD_PRELOAD", f"/nowhere/x.so:{path}")
    problems = computer.problems()
    assert list(problems) == (["preloaded-libraries"] if effect else [])
    assert not effect or f"{path} {effect}" in problems["preloaded-libraries"]


def test_libraries_of_the_system_are_found_without_a_run_path(tmp_path: Path) -> None:
    program = compiled(tmp_path / "program", "int nothing;")
    found = loader.library("libc.so.6", program)
    assert found is not None
    assert elf.defines(found, "malloc")
    assert loader.library("libnothing.so.6", program) is None
