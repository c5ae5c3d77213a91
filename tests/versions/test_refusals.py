"""Unusable setups are refused before anything is compiled, with a remedy: by the installer, by a
plain CMake configuration and by KIM's own command."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clean.machines import seed
from tests.installer.synthetic_machines import OLD_ABI, make_torch, write
from tests.support import ROOT
from tests.versions.toolchains import active_torch, fetched_cmake, fetched_torch
from torchml_installer import errors
from torchml_installer.detect import python_packages
from torchml_installer.detect.python_packages import pybind11_wanted
from torchml_installer.detect.torch import NEWEST


def outcome(command: list[str | Path], cwd: Path, **env: str) -> tuple[int, str]:
    """The exit code and the output, without CMake's line breaks."""
    done = subprocess.run(
        [str(word) for word in command],
        env={**os.environ, "PYTHONPATH": str(ROOT), **env},
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, " ".join(done.stdout.split())


def configure(work: Path, cmake: str | Path = "cmake", **variables: str | Path) -> tuple[int, str]:
    """A plain CMake configuration of driver_src, as KIM's CMake code sets it up."""
    place = {
        "KIM_API_INSTALL_COLLECTION": "USER",
        "KIM_API_MODEL_DRIVER_INSTALL_PREFIX": work / "prefix",
    }
    settings = [f"-D{name}={value}" for name, value in {**place, **variables}.items()]
    command = [cmake, "-S", ROOT / "driver_src", "-B", work / "build", *settings]
    return outcome(command, work)


def kim_install(work: Path, **env: str) -> tuple[int, str]:
    """KIM's own command, into an empty collection. It accepts no path with a space, builds inside
    the folder, and leaves the build behind if it fails."""
    left = shutil.ignore_patterns("build")
    shutil.copytree(ROOT / "driver_src", work / "driver_src", ignore=left)
    for name in ("drivers", "home"):
        (work / name).mkdir()
    places = {"KIM_API_MODEL_DRIVERS_DIR": str(work / "drivers"), "HOME": str(work / "home")}
    command = ["kim-api-collections-management", "install", "environment", work / "driver_src"]
    return outcome([*command], work, **places, **env)


def torchml_driver(work: Path, *options: str | Path, **env: str) -> tuple[int, str]:
    places = {"XDG_CACHE_HOME": str(work / "cache"), "KIM_API_MODEL_DRIVERS_DIR": str(work)}
    command = [sys.executable, "-m", "torchml_installer", "driver", "--no-python", *options]
    return outcome([*command, "--collection", "environment"], work, **places, **env)


def torch_folder(root: Path, version: str, *, header: str = "", config: str = "") -> Path:
    """Looks like a torch of that version; each header that is compiled contains `header`."""
    make_torch(root, version, config=config)
    numbers = zip(("MAJOR", "MINOR", "PATCH"), version.split("."), strict=True)
    lines = [f"#define TORCH_VERSION_{name} {number}" for name, number in numbers]
    write(root / "include/torch/csrc/api/include/torch/version.h", "\n".join(lines) + "\n")
    if header:
        write(root / "include/ATen/ATen.h", header)
    return root


class TestOldAbi:
    """PyPI's torch up to 2.6."""

    @pytest.fixture
    def old(self, tmp_path: Path) -> Path:
        return torch_folder(tmp_path / "torch", "2.6.0", config=OLD_ABI)

    def test_cmake_names_the_torch_and_those_that_can_be_linked(
        self, old: Path, tmp_path: Path
    ) -> None:
        code, printed = configure(tmp_path, TORCH_ROOT=old)
        assert code != 0
        assert f"the libtorch in {old} (version 2.6.0) was built with the old C++ ABI" in printed
        assert "Use torch 2.7 or newer from PyPI" in printed

    def test_kims_own_command_shows_it(self, old: Path, tmp_path: Path) -> None:
        code, printed = kim_install(tmp_path, TORCH_ROOT=str(old))
        assert code != 0
        assert "Use torch 2.7 or newer from PyPI" in printed
        assert list((tmp_path / "drivers").iterdir()) == []

    @pytest.mark.slow
    def test_the_last_such_release_is_recognised(self, tmp_path: Path) -> None:
        root = fetched_torch("2.6.0")
        assert "Use torch 2.7 or newer from PyPI" in configure(tmp_path, TORCH_ROOT=root)[1]
        code, printed = torchml_driver(tmp_path, "--torch-root", root)
        assert code == errors.OldAbiTorchError.exit_code
        assert 'python -m pip install "torch>=2.7"' in printed


class TestOtherSystem:
    def test_cmake_says_what_the_driver_is_for(self, tmp_path: Path) -> None:
        code, printed = configure(tmp_path, CMAKE_SYSTEM_NAME="FreeBSD")
        assert code != 0
        assert "torchml: the driver needs Linux" in printed
        assert "this is FreeBSD" in printed


class TestOldTorch:
    def test_cmake_names_it_and_how_to_get_a_newer_one(self, tmp_path: Path) -> None:
        old = torch_folder(tmp_path / "torch", "1.12.1")
        code, printed = configure(tmp_path, TORCH_ROOT=old)
        assert code != 0
        assert f"the libtorch in {old} is version '1.12.1'; 1.13 or newer is needed" in printed
        assert "'pip install --upgrade torch'" in printed

    def test_the_installer_refuses_before_it_configures(self, tmp_path: Path) -> None:
        old = torch_folder(tmp_path / "torch", "1.12.1")
        code, printed = torchml_driver(tmp_path, "--torch-root", old)
        assert code == errors.TorchTooOldError.exit_code
        assert "is version 1.12.1; the driver needs 1.13 or newer" in printed
        assert "what to do: " in printed
        assert not (tmp_path / "cache/torchml-install/build").exists()


class TestOldCompiler:
    """A compiler that does not support the C++ standard of torch's headers."""

    @pytest.fixture
    def gcc_9(self, tmp_path: Path) -> Path:
        """The system's compiler posing as gcc 9: Debian 12 has none older than 11."""
        compiler = shutil.which("c++")
        text = f"""\
#!/bin/sh
for word; do
    case $word in
        --version) echo 'g++ (GCC) 9.4.0'; exit 0 ;;
        -std=c++20 | -std=c++2[3-9b-z])
            echo "g++: error: unrecognized command line option '$word'" >&2; exit 1 ;;
    esac
done
exec {compiler} "$@"
"""
        return write(tmp_path / "bin/g++-9", text, executable=True)

    def test_cmake_says_which_is_needed_and_how_to_name_it(
        self, gcc_9: Path, tmp_path: Path
    ) -> None:
        variables = {"KIM_API_CMAKE_CXX_COMPILER": gcc_9, "TORCH_ROOT": active_torch()}
        code, printed = configure(tmp_path, **variables)
        assert code != 0
        assert re.search(
            rf"torchml: libtorch \S+ needs a compiler for C\+\+20; {re.escape(str(gcc_9))}", printed
        )
        assert "torchml-install driver --cxx PATH" in printed
        assert "-DKIM_API_CMAKE_CXX_COMPILER=PATH" in printed

    def test_a_new_one_is_taken_in_projects_that_ask_for_an_old_cmake(self, tmp_path: Path) -> None:
        """torch_scatter's does this; CMake's own checks then ignore CMAKE_CXX_STANDARD."""
        project = tmp_path / "CMakeLists.txt"
        lines = [
            "cmake_minimum_required(VERSION 3.5)",
            "project(old CXX)",
            "set(CMAKE_CXX_STANDARD 14)",
            f'include("{ROOT}/driver_src/cmake/FindLibtorch.cmake")',
            'message(STATUS "standard: ${Libtorch_CXX_STANDARD}")',
        ]
        write(project, "\n".join(lines) + "\n")
        root = torch_folder(tmp_path / "torch", "2.13.0")
        command = ["cmake", "-S", tmp_path, "-B", tmp_path / "build", f"-DTORCH_ROOT={root}"]
        code, printed = outcome([*command], tmp_path)
        assert code == 0, printed
        assert "standard: 20" in printed

    def test_the_installer_refuses_before_it_configures(self, gcc_9: Path, tmp_path: Path) -> None:
        code, printed = torchml_driver(tmp_path, "--cxx", gcc_9)
        assert code == errors.CompilerTooOldError.exit_code
        assert "(gcc 9.4.0) is too old" in printed
        assert "C++20" in printed
        assert "--cxx PATH" in printed
        assert not (tmp_path / "cache/torchml-install/build").exists()

    def test_it_is_good_enough_for_a_torch_of_before(self, gcc_9: Path, tmp_path: Path) -> None:
        root = torch_folder(tmp_path / "torch", "2.7.0")
        code, printed = configure(tmp_path, KIM_API_CMAKE_CXX_COMPILER=gcc_9, TORCH_ROOT=root)
        assert code == 0, printed
        assert "(C++17)" in printed


@pytest.mark.slow
class TestOldCMake:
    def test_cmake_itself_says_where_to_get_a_newer_one(self, tmp_path: Path) -> None:
        code, printed = configure(tmp_path, fetched_cmake("3.16.8") / "cmake")
        assert code != 0
        assert "torchml: CMake 3.16.8 is too old; 3.18 or newer is needed." in printed
        assert "'python3 -m pip install cmake'" in printed

    def test_kims_own_command_shows_it(self, tmp_path: Path) -> None:
        path = f"{fetched_cmake('3.16.8')}{os.pathsep}{os.environ['PATH']}"
        code, printed = kim_install(tmp_path, PATH=path)
        assert code != 0
        assert "'python3 -m pip install cmake'" in printed


class TestFlagsAndVariables:
    """Compiler settings outside the driver's control, detected before minutes of compiling."""

    @pytest.mark.parametrize("flag", ["-D_GLIBCXX_USE_CXX11_ABI=0", "-D_GLIBCXX_DEBUG"])
    def test_a_flag_for_another_standard_library_is_named(
        self, flag: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("CXXFLAGS", f"-O1 {flag}")
        code, printed = configure(tmp_path, TORCH_ROOT=torch_folder(tmp_path / "torch", "2.7.0"))
        assert code != 0
        assert f"torchml: {flag[2:]} in CXXFLAGS ('-O1 {flag}') makes the compiler" in printed
        assert "torch itself is fine" in printed

    @pytest.mark.parametrize("folder", ["", "torch/csrc/api/include"])
    def test_a_variable_that_leads_to_another_torch_is_named(
        self, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        other = torch_folder(tmp_path / "other", "1.13.1") / "include" / folder
        monkeypatch.setenv("CPATH", f"/nowhere:{other}")
        code, printed = configure(tmp_path, TORCH_ROOT=active_torch())
        assert code != 0
        assert f"CPATH leads to another torch's headers in {other}. Unset CPATH" in printed

    @pytest.mark.slow
    def test_the_torch_that_is_built_for_may_be_named_twice(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("CPATH", str(active_torch() / "include"))
        code, printed = configure(tmp_path, TORCH_ROOT=active_torch())
        assert code == 0, printed

    @pytest.mark.slow
    def test_a_variable_that_changed_since_stops_the_compiler(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        other = torch_folder(tmp_path / "other", "1.13.1") / "include"
        monkeypatch.setenv("CMAKE_GENERATOR", "Ninja")
        code, printed = configure(tmp_path, TORCH_ROOT=active_torch(), TORCHML_UNITY="OFF")
        assert code == 0, printed
        monkeypatch.setenv("CPATH", str(other / "torch/csrc/api/include"))
        (source,) = (ROOT / "driver_src").rglob("libtorch.cpp")
        object_file = f"CMakeFiles/torchml_engine.dir/{source.relative_to(ROOT / 'driver_src')}.o"
        command = ["cmake", "--build", tmp_path / "build", "--target", object_file]
        code, printed = outcome([*command], tmp_path)
        assert code != 0
        assert "torchml: CPATH, CPLUS_INCLUDE_PATH or CXXFLAGS leads to" in printed

    @pytest.mark.slow
    def test_folders_that_only_the_linker_knows_stay_in_the_run_path(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Environment modules on clusters set LIBRARY_PATH for builds; no loader reads it."""
        monkeypatch.setenv("LIBRARY_PATH", "/opt/somewhere/lib")
        write(tmp_path / "show.cmake", 'message(STATUS "loader: ${TORCHML_LOADER_DIRS}.")\n')
        code, printed = configure(
            tmp_path,
            TORCH_ROOT=active_torch(),
            CMAKE_PROJECT_torchml_driver_INCLUDE=write(
                tmp_path / "defer.cmake",
                f'cmake_language(DEFER CALL include "{tmp_path}/show.cmake")\n',
            ),
        )
        assert code == 0, printed
        (loader,) = re.findall(r"loader: (\S+)\.", printed)
        assert "/opt/somewhere/lib" not in loader.split(";")
        assert any(folder.startswith("/usr/lib") for folder in loader.split(";"))


class TestWheels:
    """pip and scikit-build-core: a wheel is for the torch of its own Python."""

    def test_an_isolated_build_is_refused_with_the_option_that_ends_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Also if the system or an environment has another torch."""
        monkeypatch.delenv("TORCH_ROOT", raising=False)
        monkeypatch.setenv("CONDA_PREFIX", str(torch_folder(tmp_path / "conda", "2.13.0")))
        run = {"SKBUILD": "2", "Python_EXECUTABLE": seed(tmp_path / "isolated") / "bin/python"}
        code, printed = configure(tmp_path, **run)
        assert code != 0
        assert f"{tmp_path}/isolated/bin/python has no torch" in printed
        assert "pip install --no-build-isolation ./driver_src" in printed

    def test_another_torch_than_its_python_imports_is_refused(self, tmp_path: Path) -> None:
        named = torch_folder(tmp_path / "named", "2.13.0")
        run = {"SKBUILD": "2", "Python_EXECUTABLE": sys.executable, "TORCH_ROOT": named}
        code, printed = configure(tmp_path, **run)
        assert code != 0
        assert f"TORCH_ROOT names the libtorch in {named}, but {sys.executable} imports" in printed

    def test_a_package_that_is_split_leads_to_its_libraries(self, tmp_path: Path) -> None:
        """Debian's and conda-forge's: links in the package, other files in the system's folders."""
        root = torch_folder(tmp_path / "root", "2.13.0")
        python = seed(tmp_path / "python") / "bin/python"
        (packages,) = python.parent.parent.glob("lib/python3*/site-packages")
        write(packages / "torch/__init__.py")
        (packages / "torch/lib").mkdir()
        for name in ("libtorch_cpu.so", "libc10.so"):
            (packages / "torch/lib" / name).symlink_to(root / "lib" / name)
        run = {"SKBUILD": "2", "Python_EXECUTABLE": python, "TORCHML_PYTHON": "OFF"}
        code, printed = configure(tmp_path, **run)
        assert code == 0, printed
        assert f"Found libtorch 2.13.0 in {root}" in printed


class TestPybind11:
    """A system's torch, seen by a virtual environment, may be older than pip's."""

    def test_one_too_old_is_refused_with_the_version_that_would_do(self, tmp_path: Path) -> None:
        old = tmp_path / "pybind11"
        write(old / "pybind11Config.cmake", "")
        write(
            old / "pybind11ConfigVersion.cmake",
            'set(PACKAGE_VERSION "2.10.3")\nset(PACKAGE_VERSION_COMPATIBLE TRUE)\n',
        )
        run = {"TORCH_ROOT": active_torch(), "Python_EXECUTABLE": sys.executable}
        code, printed = configure(tmp_path, TORCHML_PYTHON="ON", pybind11_DIR=old, **run)
        assert code != 0
        least, asks = pybind11_wanted()
        assert least > "2.10.3"
        wanted = f"the pybind11 in {old} is 2.10.3, but {asks} needs {least} or newer"
        assert wanted in printed
        assert f'-m pip install "pybind11>={least}"' in printed

    def test_the_installer_and_cmake_know_the_same_releases(self) -> None:
        text = (ROOT / "driver_src/cmake/CheckPybind11.cmake").read_text()
        entries = re.findall(r'"(Python|NumPy);([\d.]+);\$\{\w+\};([\d.]+)"', text)
        assert tuple(entries) == python_packages._PYBIND11_FOR


class TestNewerTorch:
    """An untested version is not refused, but a warning says where it may fail."""

    def test_the_installer_and_cmake_know_the_same_newest_release(self, tmp_path: Path) -> None:
        newest = ".".join(map(str, NEWEST))
        known = torch_folder(tmp_path / "known", f"{newest}.9")
        (tmp_path / "1").mkdir()
        (tmp_path / "2").mkdir()
        code, printed = configure(tmp_path / "1", TORCH_ROOT=known)
        assert code == 0, printed
        assert "is newer than" not in printed
        newer = torch_folder(tmp_path / "newer", f"{NEWEST[0]}.{NEWEST[1] + 1}.0")
        code, printed = configure(tmp_path / "2", TORCH_ROOT=newer)
        assert code == 0, printed
        assert f"is newer than {newest}, the newest that this driver was tested with" in printed
        assert f"pip install 'torch=={newest}.*'" in printed

    def test_the_standard_that_its_headers_demand_is_used(self, tmp_path: Path) -> None:
        guard = "#if (!defined(_MSVC_LANG) && __cplusplus < 202302L)\n#error\n#endif\n"
        newer = torch_folder(tmp_path / "torch", "9.1.0", header=guard)
        code, printed = configure(tmp_path, TORCH_ROOT=newer)
        assert code == 0, printed
        assert "(C++23)" in printed

    def test_if_it_does_not_compile_the_remedy_names_one_that_does(self, tmp_path: Path) -> None:
        newer = torch_folder(tmp_path / "torch", "9.1.0")
        # Shadows the compiler's own header: the first file that is compiled fails.
        write(newer / "include/string", "#include <not/there/any/more.h>\n")
        code, printed = torchml_driver(tmp_path, "--torch-root", newer)
        assert code == errors.BuildFailedError.exit_code
        assert "what to do: torch 9.1.0 is newer than" in printed
        assert '"torch==2.' in printed
