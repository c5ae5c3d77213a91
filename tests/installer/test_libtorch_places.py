"""The installer and the driver's own CMake code, as KIM's command and pip run it, take the same
libtorch."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.clean.machines import seed
from tests.installer.synthetic_machines import ODD_NAME, REPOSITORY, make_torch, write
from torchml_installer.detect import torch

pytestmark = pytest.mark.skipif(shutil.which("cmake") is None, reason="needs CMake")

_CMAKE = f"""\
include("{REPOSITORY}/driver_src/cmake/LibtorchPlaces.cmake")
file(WRITE answer.txt "${{Libtorch_ROOT}}\\n${{Libtorch_LACKS}}")
foreach(place IN LISTS Libtorch_PLACES)
    file(APPEND answer.txt "\\n${{place}}")
endforeach()
"""
_PYTHON = """\
import json, sys
from pathlib import Path
from torchml_installer.detect import torch
torch.SYSTEM = tuple((Path(name), name) for name in sys.argv[1:])
found = torch.detect()
looked = [str(one.where) for one in found.looked if one.refused not in
          ("not set", "looked at already", "it has no package torch")]
looked = [name for name in looked if not name.startswith("$")]
print(json.dumps([str(found.where or ""), str(found.problem or ""), looked]))
"""


@dataclass(frozen=True)
class Choice:
    """The root that was taken, "" if there is none; whether it is whole; what was looked at."""

    root: str
    whole: bool
    places: list[str] = field(compare=False)


class Computer:
    """A Python without packages, an environment and folders in place of the system's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.prefix = seed(folder / "python")
        (self.prefix / "bin/python3").symlink_to("python")
        (self.packages,) = self.prefix.glob("lib/python3*/site-packages")
        self.system = [folder / name for name in ("usr", "usr-local", "opt")]
        self.environment = {
            "PATH": f"{self.prefix / 'bin'}:{os.environ['PATH']}",
            "HOME": str(folder / "home"),
        }

    def python_torch(self) -> Path:
        """The folder of the package that the active Python imports."""
        write(self.packages / "torch/__init__.py")
        return self.packages / "torch"

    def by_cmake(self) -> Choice:
        script = write(self.folder / "script.cmake", _CMAKE)
        system = ";".join(map(str, self.system))
        command = ["cmake", f"-DLibtorch_SYSTEM_PLACES={system}", "-P", str(script)]
        self._run(command)
        root, lacks, *places = (self.folder / "answer.txt").read_text().split("\n")
        return Choice(root, bool(root) and not lacks, places)

    def by_installer(self) -> Choice:
        python = str(self.prefix / "bin/python")
        printed = self._run([python, "-c", _PYTHON, *map(str, self.system)])
        root, problem, places = json.loads(printed)
        return Choice(root, not problem, places)

    def _run(self, command: list[str]) -> str:
        env = {**self.environment, "PYTHONPATH": str(REPOSITORY)}
        done = subprocess.run(
            command, cwd=self.folder, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def choice(self) -> Choice:
        """What both take."""
        cmake, installer = self.by_cmake(), self.by_installer()
        assert cmake == installer
        return cmake


@pytest.fixture
def computer(tmp_path: Path) -> Computer:
    return Computer(tmp_path)


def test_the_first_of_many_is_taken_and_the_next_when_it_is_gone(computer: Computer) -> None:
    """One in each place that both know of: each has its turn, in the same order."""
    named = [computer.folder / name for name in ("TORCH_ROOT", "Torch_ROOT", "CONDA_PREFIX")]
    modules = [computer.folder / f"module {name}" for name in torch.MODULES]
    deps = computer.folder / "home/.local/share/torchml-install/deps/libtorch"
    package = computer.python_torch()
    order = [*named[:2], package, named[2], *modules, deps, *computer.system]
    for root in order:
        make_torch(root)
    computer.environment |= {root.name: str(root) for root in named}
    computer.environment |= dict(zip(torch.MODULES, map(str, modules), strict=True))
    for root in order:
        choice = computer.choice()
        assert (choice.root, choice.whole) == (str(root), True)
        computer.environment.pop(root.name, None)
        shutil.rmtree(root)
    assert computer.choice().root == ""


def test_all_places_are_listed_in_the_same_order(computer: Computer) -> None:
    computer.environment |= {"CONDA_PREFIX": "/nowhere/conda", "XDG_DATA_HOME": "/nowhere/data"}
    computer.environment["CMAKE_PREFIX_PATH"] = "/nowhere/a::/nowhere/torch/share/cmake"
    places = [
        "/nowhere/conda",
        "/nowhere/a",
        "/nowhere/torch",
        "/nowhere/data/torchml-install/deps/libtorch",
        *map(str, computer.system),
    ]
    assert computer.by_cmake().places == computer.by_installer().places == places
    computer.environment["XDG_DATA_HOME"] = "relative, which counts for nothing"
    home = computer.environment["HOME"]
    places[3] = f"{home}/.local/share/torchml-install/deps/libtorch"
    assert computer.by_cmake().places == computer.by_installer().places == places


@pytest.mark.parametrize("split", [True, False])
def test_a_package_without_headers_leads_to_the_installation_that_it_belongs_to(
    computer: Computer, tmp_path: Path, split: bool
) -> None:
    """conda-forge's lies in the environment's own lib/, Debian's in the system's."""
    root = computer.prefix if split else tmp_path / ODD_NAME
    make_torch(root)
    package = computer.python_torch()
    if not split:
        triplet = root / "lib/x86_64-linux-gnu"
        triplet.mkdir()
        (package / "lib").mkdir()
        for name in ("libtorch_cpu.so", "libc10.so"):
            (root / "lib" / name).rename(triplet / name)
            (package / "lib" / name).symlink_to(triplet / name)
    choice = computer.choice()
    assert (choice.root, choice.whole) == (str(root), True)


@pytest.mark.parametrize("lacking", ["headers", "libraries", "libc10"])
def test_one_that_is_not_whole_is_not_passed_over(computer: Computer, lacking: str) -> None:
    package = make_torch(
        computer.python_torch(), headers=lacking != "headers", libraries=lacking != "libraries"
    )
    if lacking == "libc10":
        (package / "lib/libc10.so").unlink()
    make_torch(computer.system[0])
    choice = computer.choice()
    assert (choice.root, choice.whole) == (str(package), False)


def test_modules_may_lead_to_packages_of_python(computer: Computer, tmp_path: Path) -> None:
    root = make_torch(tmp_path / "software/lib/python3.11/site-packages/torch")
    computer.environment["EBROOTPYTORCH"] = str(tmp_path / "software")
    assert computer.choice().root == str(root)


def test_cmake_looks_for_python_on_path_and_not_in_prefixes(
    computer: Computer, tmp_path: Path
) -> None:
    """KIM's prefix, /usr for one, has another Python than the active environment."""
    root = make_torch(computer.python_torch())
    (tmp_path / "kim/bin").mkdir(parents=True)
    (tmp_path / "kim/bin/python3").symlink_to("/bin/false")
    computer.environment["CMAKE_PREFIX_PATH"] = str(tmp_path / "kim")
    assert computer.choice().root == str(root)


def test_both_state_the_same_releases_and_folders(tmp_path: Path) -> None:
    text = (
        f'include("{REPOSITORY}/driver_src/cmake/LibtorchPlaces.cmake")\n'
        "foreach(name MINIMUM NEWEST MODULES SYSTEM_PLACES)\n"
        '    file(APPEND answer.txt "${Libtorch_${name}}\\n")\n'
        "endforeach()\n"
    )
    script = write(tmp_path / "script.cmake", text)
    subprocess.run(["cmake", "-P", script], cwd=tmp_path, check=True)
    assert (tmp_path / "answer.txt").read_text().splitlines() == [
        ".".join(map(str, torch.MINIMUM)),
        ".".join(map(str, torch.NEWEST)),
        ";".join(torch.MODULES),
        ";".join(str(root) for root, _ in torch.SYSTEM),
    ]
