"""`deps` builds libraries in one step, once, and leaves what was there when it fails.

torch_scatter takes minutes to compile; a small stand-in for its sources shows the flow here.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
import json
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from tests.installer.synthetic_machines import (
    ODD_NAME,
    Machine,
    Outcome,
    make_kim,
    make_torch,
    write,
)
from tests.support import KEPT, ROOT
from tests.versions.toolchains import active_torch
from torchml_installer.detect.known_extensions import EXTENSIONS
from torchml_installer.errors import (
    BadOptionError,
    BuildFailedError,
    DownloadFailedError,
    InterruptedByUserError,
    NotPermittedError,
    OutputExistsError,
)

SCATTER = EXTENSIONS["scatter"]

#: As torch_scatter's project takes its variables; CMake's search for compilers is left out.
STAND_IN = """\
cmake_minimum_required(VERSION 3.18)
project(torchscatter LANGUAGES NONE)
if(WITH_CUDA OR WITH_PYTHON OR NOT EXISTS "${TORCHML_FIND_LIBTORCH}")
  message(FATAL_ERROR "not configured as it should be")
endif()
add_custom_command(OUTPUT libtorchscatter.so
  COMMAND "${CMAKE_C_COMPILER}" -shared -fPIC "${CMAKE_CURRENT_SOURCE_DIR}/library.c"
    -o libtorchscatter.so
  DEPENDS library.c VERBATIM)
add_custom_target(torchscatter ALL DEPENDS libtorchscatter.so)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/libtorchscatter.so"
  DESTINATION "${CMAKE_INSTALL_LIBDIR}")
"""
GOOD = "int answer(void) { return 42; }\n"
BAD = "int answer(void) { return fortytwo; }\n"

pytestmark = pytest.mark.skipif(
    not (shutil.which("cmake") and shutil.which("c++")), reason="needs CMake and a C++ compiler"
)


class DepsMachine(Machine):
    """A machine with a synthetic torch, and the stand-in's archive in ``archives``."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine.folder, machine.environment)
        odd = self.folder / ODD_NAME
        self.environment["TORCH_ROOT"] = str(make_torch(odd / "torch"))
        self.environment["KIM_API_CMAKE_PREFIX_DIR"] = str(make_kim(odd / "kim"))
        self.prefix = odd / "prefix"
        self.archives = odd / "archives"
        self.sources(GOOD)

    def sources(self, code: str, cmake: str = STAND_IN) -> None:
        """Makes the archive; the command takes it for the published one."""
        tree = self.folder / "tree"
        write(tree / "CMakeLists.txt", cmake)
        write(tree / "library.c", code)
        self.archives.mkdir(parents=True, exist_ok=True)
        path = self.archives / SCATTER.archive
        with tarfile.open(path, "w:gz") as archive:
            archive.add(tree, SCATTER.title)
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        self.script = write(
            self.folder / "run.py",
            "import dataclasses\n"
            "from torchml_installer.detect.known_extensions import EXTENSIONS\n"
            f"EXTENSIONS['scatter'] = dataclasses.replace("
            f"EXTENSIONS['scatter'], sha256={sha256!r})\n"
            "from torchml_installer.cli import main\n"
            "main()\n",
        )

    def command(self, *more: str) -> list[str]:
        places = ("--prefix", str(self.prefix), "--sources", str(self.archives))
        return ["deps", "--with", "scatter", *places, *more]

    def deps(self, *more: str) -> Outcome:
        return self.install(*self.command(*more), script=self.script)

    def library(self) -> Path:
        return self.prefix / SCATTER.title / "lib" / "libtorchscatter.so"

    def leftovers(self) -> list[str]:
        """What lies in the prefix and among the builds, besides the library and locks."""
        builds = Path(self.environment["XDG_CACHE_HOME"]) / "torchml-install" / "build"
        found = [*self.prefix.glob("*"), *builds.glob("*")]
        return [p.name for p in found if p.name != SCATTER.title and p.suffix != ".lock"]


@pytest.fixture
def deps(machine: Machine) -> DepsMachine:
    return DepsMachine(machine)


def test_a_library_is_built_checked_and_put_in_place(deps: DepsMachine) -> None:
    outcome = deps.deps()
    assert outcome.code == 0, outcome.err
    assert ctypes.CDLL(str(deps.library())).answer() == 42
    assert "export TorchScatter_ROOT=" in outcome.out
    assert "torchml-install driver" in outcome.out
    assert "export KIM_MODEL_OPERATORS=extension" in outcome.out
    assert "compiling torch_scatter-2.1.2 ..." in outcome.err
    assert deps.leftovers() == []


def test_a_second_run_does_nothing(deps: DepsMachine) -> None:
    deps.deps()
    before = deps.library().stat()
    (receipt,) = Path(deps.environment["XDG_DATA_HOME"]).glob("*/receipts/*")
    receipt.unlink()  # as if the run had been killed before it wrote that
    outcome = deps.deps()
    assert outcome.code == 0, outcome.err
    assert receipt.is_file()
    assert "Already installed: " in outcome.out
    assert "compiling" not in outcome.err
    assert (deps.library().stat().st_ino, deps.library().stat().st_mtime_ns) == (
        before.st_ino,
        before.st_mtime_ns,
    )
    assert "compiling" in deps.deps("--force").err


def test_another_torch_gets_its_own_build(deps: DepsMachine) -> None:
    deps.deps()
    make_torch(Path(deps.environment["TORCH_ROOT"]), "2.14.0")
    assert "compiling" in deps.deps().err


def test_json_says_what_was_done(deps: DepsMachine) -> None:
    answers = [json.loads(deps.deps("--json").out) for _ in range(2)]
    root = str(deps.prefix / SCATTER.title)
    for answer, state in zip(answers, ("installed", "present"), strict=True):
        assert set(answer) == {"schema", "dry_run", "packages", "outcomes", "environment"}
        assert answer["environment"] == {"TorchScatter_ROOT": root}
        (outcome,) = answer["outcomes"]
        assert set(outcome) == {"name", "version", "state", "root", "commands"}
        assert (outcome["state"], outcome["root"]) == (state, root)
    assert answers[1]["outcomes"][0]["commands"] == []


def test_a_dry_run_shows_the_commands_and_does_nothing(deps: DepsMachine) -> None:
    outcome = deps.deps("--dry-run")
    assert outcome.code == 0, outcome.err
    assert not deps.prefix.exists()
    assert "-DWITH_CUDA=OFF" in outcome.out
    assert "KIM_MODEL_OPERATORS" not in outcome.out
    planned = json.loads(deps.deps("--dry-run", "--json").out)["outcomes"][0]
    assert planned["state"] == "planned"
    done = json.loads(deps.deps("--json").out)["outcomes"][0]
    assert planned["commands"] == done["commands"]
    online = ["deps", "--with", "scatter,sparse", "--dry-run"]
    lines = deps.install(*online, script=deps.script).out.splitlines()
    downloads = [line for line in lines if "pip download" in line]
    assert [line.split()[-1] for line in downloads] == [
        "torch_scatter==2.1.2",
        "torch_sparse==0.6.18",
    ]


def test_a_failed_build_leaves_nothing_and_shows_the_error(deps: DepsMachine) -> None:
    deps.sources(BAD)
    outcome = deps.deps()
    assert outcome.code == BuildFailedError.exit_code
    assert "fortytwo" in outcome.err
    assert not deps.library().exists()
    assert deps.leftovers() == []
    deps.sources(GOOD)
    assert deps.deps().code == 0


def test_what_was_there_survives_a_failed_build(deps: DepsMachine) -> None:
    deps.deps()
    deps.sources(BAD)
    assert deps.deps("--force").code == BuildFailedError.exit_code
    assert ctypes.CDLL(str(deps.library())).answer() == 42


def test_an_interrupted_build_leaves_nothing(deps: DepsMachine) -> None:
    waiting = 'add_custom_target(wait ALL COMMAND "${CMAKE_COMMAND}" -E sleep 60)\n'
    deps.sources(GOOD, STAND_IN + waiting)
    process = subprocess.Popen(
        [sys.executable, str(deps.script), *deps.command()],
        cwd=deps.folder,
        env=deps.environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("compiling"):
            break
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == InterruptedByUserError.exit_code
    assert deps.leftovers() == []
    deps.sources(GOOD)
    assert deps.deps().code == 0


def test_leftovers_of_a_killed_run_are_removed(deps: DepsMachine) -> None:
    write(deps.prefix / f".new-{SCATTER.title}-abc" / "fresh" / "half")
    assert deps.deps().code == 0
    assert deps.leftovers() == []


def test_sources_that_somebody_unpacked_there_are_not_replaced(deps: DepsMachine) -> None:
    """An sdist's folder has the name of what is installed."""
    theirs = write(deps.prefix / SCATTER.title / "setup.py")
    for more in ([], ["--dry-run"]):
        outcome = deps.deps(*more)
        assert outcome.code == OutputExistsError.exit_code
        assert f"error: {deps.prefix / SCATTER.title} already exists" in outcome.err
    assert theirs.exists()
    assert deps.deps("--force").code == 0
    assert deps.library().exists()
    assert deps.deps("--force").code == 0


def test_an_archive_that_is_missing_or_another_is_refused(deps: DepsMachine) -> None:
    (deps.archives / SCATTER.archive).write_bytes(b"something else")
    outcome = deps.deps()
    assert outcome.code == DownloadFailedError.exit_code
    assert "sha256" in outcome.err
    (deps.archives / SCATTER.archive).unlink()
    outcome = deps.deps()
    assert outcome.code == DownloadFailedError.exit_code
    assert "--sources" in outcome.err


def test_what_makes_no_sense_is_refused(deps: DepsMachine) -> None:
    outcome = deps.install("deps", "--with", "scatter,gather")
    assert outcome.code == 2
    assert "'gather' is unknown. Choose from scatter, sparse, libdescriptor" in outcome.err
    assert deps.deps("--jobs", "0").code == BadOptionError.exit_code


def test_a_prefix_that_cannot_be_written_to_is_told(deps: DepsMachine) -> None:
    deps.prefix.mkdir(mode=0o500)
    outcome = deps.install(*deps.command(), script=deps.script, almighty=False)
    assert outcome.code == NotPermittedError.exit_code
    assert str(deps.prefix) in outcome.err
    assert list(deps.prefix.iterdir()) == []


def test_a_prefix_that_nobody_can_make_is_told(deps: DepsMachine) -> None:
    outcome = deps.install(*deps.command("--prefix", "/proc/torchml"), script=deps.script)
    assert outcome.code == NotPermittedError.exit_code
    assert "Cannot write to /proc/torchml" in outcome.err


def test_a_file_in_the_place_of_the_prefix_is_told(deps: DepsMachine) -> None:
    write(deps.prefix, "a file")
    outcome = deps.deps()
    assert outcome.code == NotPermittedError.exit_code
    assert "Cannot write to" in outcome.err


def extension_finding(machine: Machine) -> dict[str, object]:
    answer = json.loads(machine.install("doctor", "--json").out)
    (found,) = (item for item in answer["findings"] if item["name"] == "torch-scatter")
    assert isinstance(found, dict)
    return found


def test_doctor_and_env_find_what_was_built(deps: DepsMachine) -> None:
    assert not extension_finding(deps)["usable"]
    deps.install("deps", "--with", "scatter", "--sources", deps.archives, script=deps.script)
    found = extension_finding(deps)
    assert found["usable"]
    assert (found["version"], found["how"]) == ("2.1.2", "torchml-install deps")
    text = deps.install("env", "-o", "-").out
    assert f"export TorchScatter_ROOT={found['where']}\n" in text
    assert "TorchSparse_ROOT" not in text


def test_doctor_judges_the_folder_that_the_variable_names(deps: DepsMachine) -> None:
    deps.deps()
    deps.environment["TorchScatter_ROOT"] = str(deps.prefix / SCATTER.title)
    assert extension_finding(deps)["usable"]
    make_torch(Path(deps.environment["TORCH_ROOT"]), "2.14.0")
    assert "built for torch 2.13.0" in str(extension_finding(deps)["problem"])
    deps.environment["TorchScatter_ROOT"] = str(deps.folder)
    found = extension_finding(deps)
    assert (found["usable"], found["needed"]) == (False, False)
    assert "lib/libtorchscatter.so" in str(found["problem"])
    assert "deps --with scatter" in str(found["next_step"])


USE = """\
import sys
import torch
torch.ops.load_library(sys.argv[1])
values, places = torch.ops.torch_scatter.scatter_max(
    torch.tensor([1.0, 5.0, 3.0]), torch.tensor([0, 0, 1]), 0, None, 2
)
print(values.tolist(), places.tolist())
"""


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs torch")
def test_a_project_that_asks_for_an_old_cmake_finds_torch(tmp_path: Path) -> None:
    """torch_scatter's asks for 3.0, and so for none of the later policies."""
    write(
        tmp_path / "CMakeLists.txt",
        "cmake_minimum_required(VERSION 3.0)\n"
        "project(old LANGUAGES CXX)\n"
        "set(CMAKE_CXX_STANDARD 14)\n"
        "find_package(Torch REQUIRED)\n"
        "add_library(old old.cpp)\n"
        "target_link_libraries(old ${TORCH_LIBRARIES})\n",
    )
    write(tmp_path / "old.cpp", "int answer() { return 42; }\n")
    variables = {
        "TORCH_ROOT": active_torch(),
        "Torch_DIR": ROOT / "torchml_installer/deps/cmake",
        "TORCHML_FIND_LIBTORCH": ROOT / "driver_src/cmake/FindLibtorch.cmake",
        "CMAKE_POLICY_VERSION_MINIMUM": "3.5",
    }
    options = [f"-D{name}={value}" for name, value in variables.items()]
    done = subprocess.run(
        ["cmake", "-S", str(tmp_path), "-B", str(tmp_path / "build"), *options],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_torch_scatter_is_built_from_its_published_sources() -> None:
    """Kept between runs: it takes about five minutes."""
    torch = pytest.importorskip("torch")
    folder = KEPT / f"deps-{torch.__version__}"
    command = [sys.executable, "-m", "torchml_installer", "deps", "--with", "scatter"]
    done = subprocess.run(
        [*command, "--prefix", str(folder), "--json"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    root = Path(json.loads(done.stdout)["environment"]["TorchScatter_ROOT"])
    library = SCATTER.library_in(root)
    assert library is not None
    used = subprocess.run(
        [sys.executable, "-c", USE, str(library)], capture_output=True, text=True, check=False
    )
    assert used.stdout == "[5.0, 3.0] [1, 2]\n", used.stderr
