"""Compiler, CMake, KIM-API and LAMMPS are found, and judged, on synthetic machines."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from tests.installer.synthetic_machines import ODD_NAME, make_kim, make_program, write
from torchml_installer.detect import (
    build_tool,
    cmake,
    compiler,
    kim_api,
    kim_collections,
    programs,
)
from torchml_installer.detect.record import version_tuple
from torchml_installer.errors import (
    CMakeTooOldError,
    CompilerTooOldError,
    MissingToolError,
    NoCMakeError,
    NoCompilerError,
    NoKimApiError,
)
from torchml_installer.support.names import DEFAULT_DRIVER_NAME
from torchml_installer.support.process import quick_output

GCC_12 = "c++ (Debian 12.2.0-14) 12.2.0"
GCC_8 = "g++ (GCC) 8.5.0 20210514 (Red Hat 8.5.0-4)"
CLANG_14 = "Debian clang version 14.0.6"
ICPX = "Intel(R) oneAPI DPC++/C++ Compiler 2023.1.0 (2023.1.0.20230320)"
NVCXX = "nvc++ 23.3-0 64-bit target on x86-64 Linux -tp zen3"


@pytest.fixture(autouse=True)
def bare(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    clean_environment: Callable[[Mapping[str, str]], None],
) -> Path:
    """A machine whose PATH is one empty folder, which is returned."""
    folder = tmp_path / ODD_NAME / "bin"
    folder.mkdir(parents=True)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(programs, "python_program_folder", lambda: tmp_path / "python-bin")
    return folder


def test_versions_compare_as_numbers() -> None:
    assert version_tuple("3.25.1-rc2") == (3, 25, 1)
    assert version_tuple("2.13.0+cpu") == (2, 13, 0)
    assert version_tuple("2.1.0a0+29c30b1") == (2, 1, 0)
    assert version_tuple("12.2.0-14+deb12u1") == (12, 2, 0)
    assert version_tuple("3.9") < version_tuple("3.18")
    assert version_tuple("unknown") == ()


def test_the_compilers_own_version_is_read_not_the_packagers(bare: Path) -> None:
    make_program(bare / "c++", GCC_12)
    found = compiler.detect(None, 20)
    assert found.usable
    assert (found.family, found.version, found.where) == ("gcc", "gcc 12.2.0", bare / "c++")


def test_clang_is_told_from_gcc(bare: Path) -> None:
    make_program(bare / "clang++", CLANG_14)
    assert compiler.detect(None, 20).version == "clang 14.0.6"


def test_no_compiler_is_told(bare: Path) -> None:
    found = compiler.detect(None)
    assert isinstance(found.problem, NoCompilerError)
    assert "apt install g++" in found.next_step


def test_a_compiler_too_old_for_torchs_headers_is_told(bare: Path) -> None:
    make_program(bare / "g++", GCC_8)
    found = compiler.detect(None, 20)
    assert isinstance(found.problem, CompilerTooOldError)
    assert "C++20, that is gcc 11" in found.problem.message


def test_a_compiler_that_does_not_run_is_passed_over(bare: Path) -> None:
    make_program(bare / "c++", "no license", code=1)
    assert isinstance(compiler.detect(None).problem, NoCompilerError)
    make_program(bare / "g++", GCC_12)
    assert compiler.detect(None).where == bare / "g++"


def test_the_compiler_that_was_named_is_the_one(
    bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_program(bare / "c++", GCC_8)
    named = make_program(tmp_path / "my gcc/g++-12", GCC_12)
    assert compiler.detect(str(named)).where == named
    monkeypatch.setenv("CXX", str(named))
    assert compiler.detect(None).where == named
    monkeypatch.setenv("CXX", "ccache c++")
    assert compiler.detect(None).where == bare / "c++"
    missing = compiler.detect("/no/such/g++")
    assert isinstance(missing.problem, NoCompilerError)
    assert "/no/such/g++" in missing.problem.message
    flags = compiler.detect("g++ -O2").problem
    assert flags is not None
    assert flags.message == (
        "The C++ compiler g++ -O2 given by --cxx does not exist: "
        "--cxx takes a program without flags; put flags into CXXFLAGS."
    )
    folder = compiler.detect(str(tmp_path)).problem
    assert folder is not None
    assert (
        folder.message
        == f"The C++ compiler {tmp_path} given by --cxx is not an executable program."
    )


def test_every_compiler_is_listed_with_what_it_reaches(bare: Path) -> None:
    for name, says in {
        "c++": GCC_12,
        "clang++": CLANG_14,
        "g++-9": "g++-9 (Ubuntu 9.4.0) 9.4.0",
        "g++-13": "g++-13 (Ubuntu 13.1.0) 13.1.0",
        "clang++-17": "Ubuntu clang version 17.0.6",
        "icpx": ICPX,
        "nvc++": NVCXX,
        "g++-by-hand": GCC_12,
    }.items():
        make_program(bare / name, says)
    found = compiler.detect(None, 20)
    assert found.details == {"newest C++ standard": "20"}
    assert [(place.where.name, place.refused) for place in found.looked] == [
        ("c++", ""),
        ("g++", "no such program"),
        ("clang++", "clang 14.0.6, up to C++20: an earlier one is used"),
        ("g++-13", "gcc 13.1.0, up to C++23: an earlier one is used"),
        ("g++-9", "gcc 9.4.0, up to C++17: an earlier one is used"),
        ("clang++-17", "clang 17.0.6, up to C++23: an earlier one is used"),
        ("icpx", "icpx 2023.1.0, its C++ standard was not checked: an earlier one is used"),
        ("nvc++", "nvc++ 23.3, its C++ standard was not checked: an earlier one is used"),
    ]


def test_a_compiler_of_many_names_is_asked_once(bare: Path, tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    says = f"#!/bin/sh\necho >>'{asked}'; echo '{GCC_12}'\n"
    real = write(tmp_path / "real/x86_64-linux-gnu-g++-12", says, executable=True)
    cache = write(tmp_path / "real/ccache", says, executable=True)
    for name, target in {"c++": real, "g++": real, "g++-12": real, "clang++": cache}.items():
        (bare / name).symlink_to(target)
    found = compiler.detect(None, 20)
    assert found.where == bare / "c++"
    taken = [place.where.name for place in found.looked if "no such" not in place.refused]
    assert taken == ["c++", "g++", "clang++", "g++-12"]
    assert len(asked.read_text().splitlines()) == 2


def test_a_build_asks_no_compiler_behind_one_that_can_be_used(bare: Path, tmp_path: Path) -> None:
    make_program(bare / "c++", GCC_12)
    asked = tmp_path / "asked"
    write(bare / "clang++", f"#!/bin/sh\n: >'{asked}'; echo '{CLANG_14}'\n", executable=True)
    found = compiler.detect(None, 20, thorough=False)
    assert (found.usable, found.where) == (True, bare / "c++")
    assert found.newest_standard == 20
    assert not asked.exists()
    found = compiler.detect(None, 23, thorough=False)
    assert isinstance(found.problem, CompilerTooOldError)
    assert asked.exists()


def test_a_numbered_compiler_is_better_than_none(bare: Path) -> None:
    make_program(bare / "g++-9", "g++-9 (Ubuntu 9.4.0) 9.4.0")
    make_program(bare / "g++-13", "g++-13 (Ubuntu 13.1.0) 13.1.0")
    assert compiler.detect(None, 20).where == bare / "g++-13"


def test_a_newer_compiler_is_offered_where_the_first_is_too_old(bare: Path) -> None:
    make_program(bare / "c++", GCC_8)
    make_program(bare / "g++-13", "g++-13 (Ubuntu 13.1.0) 13.1.0")
    found = compiler.detect(None, 20)
    assert isinstance(found.problem, CompilerTooOldError)
    assert f"--cxx {shlex.quote(str(bare / 'g++-13'))}" in found.next_step


#: Compiles what demands no more than C++17, as a compiler does that is not known here.
SEVENTEEN = """\
#!/bin/sh
case "$*" in
    --version) echo '{}' ;;
    *std=c++17*) exit 0 ;;
    *) echo 'unknown option' >&2; exit 1 ;;
esac
"""


def test_a_compiler_whose_releases_are_not_known_is_asked_what_it_reaches(
    bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for says, family in ((ICPX, "icpx"), (NVCXX, "nvc++"), ("FCC 4.8.0 20220616", "")):
        write(bare / "icpx", SEVENTEEN.format(says), executable=True)
        found = compiler.detect(None, 17)
        assert (found.usable, found.family, found.newest_standard) == (True, family, 17)
        found = compiler.detect(None, 20)
        assert isinstance(found.problem, CompilerTooOldError)
        assert "C++20, that is a compiler that supports it" in found.problem.message


def test_compilers_of_an_activated_conda_environment_come_first(
    bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cxx = make_program(tmp_path / "conda/bin/x86_64-conda-linux-gnu-c++", GCC_12)
    make_program(bare / "c++", CLANG_14)
    monkeypatch.setenv("CONDA_PREFIX", str(tmp_path / "conda"))
    found = compiler.detect(None)
    assert (found.where, found.how) == (cxx, "CONDA_PREFIX")


def test_the_c_compiler_is_the_one_beside_the_cxx_compiler(bare: Path) -> None:
    for name in ("gcc-12", "g++-12", "cc", "c++", "clang++"):
        make_program(bare / name, "")
    assert compiler.c_compiler_beside(bare / "g++-12") == bare / "gcc-12"
    assert compiler.c_compiler_beside(bare / "c++") == bare / "cc"
    assert compiler.c_compiler_beside(bare / "clang++") is None


def test_no_cmake_is_told(bare: Path) -> None:
    assert isinstance(cmake.detect().problem, NoCMakeError)


def test_an_old_cmake_is_told_with_its_version(bare: Path) -> None:
    make_program(bare / "cmake", "cmake version 3.16.3")
    found = cmake.detect()
    assert isinstance(found.problem, CMakeTooOldError)
    assert "3.16.3" in found.problem.message
    assert "pip install cmake" in found.next_step


def test_pips_newer_cmake_is_used_in_place_of_the_systems_old_one(
    bare: Path, tmp_path: Path
) -> None:
    make_program(bare / "cmake", "cmake version 3.16.3")
    newer = make_program(tmp_path / "python-bin/cmake", "cmake version 4.0.2")
    found = cmake.detect()
    assert found.usable
    assert (found.where, found.how) == (newer, "the active Python")


def test_the_cmake_behind_pips_script_is_asked_without_another_python(
    bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site-packages"
    write(site / "cmake/__init__.py")
    make_program(site / "cmake/data/bin/cmake", "cmake version 4.0.2")
    script = f"#!{sys.executable}\nimport os\nos.write(1, b'cmake version 4.0.2')\n"
    write(bare / "cmake", script, executable=True)
    monkeypatch.syspath_prepend(site)
    asked = []

    def answer(command: Sequence[str | Path]) -> str | None:
        asked.append(command[0])
        return quick_output(command)

    monkeypatch.setattr(cmake, "quick_output", answer)
    found = cmake.detect()
    assert (found.usable, found.version, found.where) == (True, "4.0.2", bare / "cmake")
    assert asked == [site / "cmake/data/bin/cmake"]
    # A script of another Python may have lost it.
    write(bare / "cmake", script.replace(sys.executable, "/nowhere/python"))
    assert isinstance(cmake.detect().problem, NoCMakeError)
    assert asked[1:] == [bare / "cmake"]


def test_ninja_is_preferred_and_make_is_enough(bare: Path) -> None:
    assert isinstance(build_tool.detect().problem, MissingToolError)
    make_program(bare / "make", "GNU Make 4.3")
    assert build_tool.detect().generator == "Unix Makefiles"
    make_program(bare / "ninja", "1.11.1")
    assert build_tool.detect().generator == "Ninja"


def test_a_conda_environment_that_was_not_activated_is_used(
    bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = make_kim(tmp_path / "environment")
    (prefix / "conda-meta").mkdir()
    cxx = make_program(prefix / "bin/x86_64-conda-linux-gnu-c++", GCC_12)
    make_program(bare / "c++", CLANG_14)
    monkeypatch.setattr(sys, "prefix", str(prefix))
    assert kim_api.detect(None).where == prefix
    assert compiler.detect(None).where == cxx


def test_kim_is_found_by_every_way_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = make_kim(tmp_path / ODD_NAME / "kim")
    by_option = kim_api.detect(prefix)
    assert by_option.usable
    assert by_option.version == "2.3.0"
    assert by_option.collections_info == prefix / "libexec/kim-api/kim-api-collections-info"
    # KIM's own activation script names the folder of the CMake files.
    monkeypatch.setenv("KIM_API_CMAKE_PREFIX_DIR", str(prefix / "share/cmake"))
    assert kim_api.detect(None).where == prefix
    monkeypatch.delenv("KIM_API_CMAKE_PREFIX_DIR")
    monkeypatch.setenv("CONDA_PREFIX", str(prefix))
    assert kim_api.detect(None).how == "CONDA_PREFIX"
    monkeypatch.delenv("CONDA_PREFIX")
    make_program(prefix / "bin/kim-api-collections-management", "")
    monkeypatch.setenv("PATH", str(prefix / "bin"))
    assert (kim_api.detect(None).where, kim_api.detect(None).how) == (prefix, "PATH")


def test_no_kim_where_it_was_named_is_told(tmp_path: Path) -> None:
    found = kim_api.detect(tmp_path / "nowhere")
    assert isinstance(found.problem, NoKimApiError)
    assert found.next_step.startswith("Leave out --kim-root, or name another one")


def test_kim_without_its_development_files_is_told(tmp_path: Path) -> None:
    found = kim_api.detect(make_kim(tmp_path, development=False))
    assert isinstance(found.problem, NoKimApiError)
    assert "lacks the files to build" in found.problem.message


def test_kim_older_than_2_2_is_told(tmp_path: Path) -> None:
    found = kim_api.detect(make_kim(tmp_path, "2.1.3"))
    assert isinstance(found.problem, NoKimApiError)
    assert "2.1.3" in found.problem.message


def test_programs_are_taken_in_the_order_of_path(
    bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = make_program(tmp_path / "first/tool", "")
    second = make_program(bare / "tool", "")
    monkeypatch.setenv("PATH", f"{first.parent}{os.pathsep}{bare}")
    assert programs.which_all("tool") == [(first, "PATH"), (second, "PATH")]


# --- KIM's collections ----------------------------------------------------------------------


def test_the_collections_are_shown_and_where_the_driver_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KIM_API_PORTABLE_MODELS_DIR", raising=False)
    monkeypatch.setenv("KIM_API_MODEL_DRIVERS_DIR", str(tmp_path / "drivers"))
    kim = kim_api.detect(make_kim(tmp_path / "kim"))
    found = kim_collections.detect(kim)
    assert not found.usable
    assert "torchml-install driver" in found.next_step
    looked = {place.how: place for place in found.looked}
    assert looked["environment, drivers"].where == tmp_path / "drivers"
    assert looked["environment, drivers"].refused == "does not exist yet"
    assert looked["environment, models"].refused == "not set"
    assert looked["user, drivers"].where.is_relative_to(tmp_path / "kim/user")
    folder = looked["user, drivers"].where / DEFAULT_DRIVER_NAME
    folder.mkdir(parents=True)
    assert kim_collections.detect(kim).where == folder.parent


def test_a_kim_api_that_does_not_answer_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kim = kim_api.detect(make_kim(tmp_path / "kim"))
    assert kim.collections_info is not None
    write(kim.collections_info, "#!/bin/sh\nexec /bin/sleep 1000\n", executable=True)
    monkeypatch.setattr(kim_collections, "PATIENCE", 0.2)
    found = kim_collections.detect(kim)
    assert isinstance(found.problem, NoKimApiError)
    assert "did not answer within 0.2 seconds" in found.problem.message
    assert "file server that hangs" in found.next_step
    assert (found.looked[0].where, found.looked[0].how) == (kim.collections_info, "the KIM-API")


def test_without_a_kim_api_there_are_no_collections() -> None:
    none = kim_api.KimFinding("kim-api", "KIM-API", needed=True)
    assert kim_collections.detect(none).next_step == "Install the KIM-API first."
