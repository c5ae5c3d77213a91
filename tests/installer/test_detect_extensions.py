"""torch_scatter and torch_sparse: for C++ or for Python, and for this torch or for another."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.installer.compiled import compiled, needs_compiler
from tests.installer.synthetic_machines import ODD_NAME, make_torch, write
from torchml_installer.detect import elf, torch, torch_extension
from torchml_installer.detect.known_extensions import EXTENSIONS
from torchml_installer.detect.record import Finding
from torchml_installer.detect.torch import TorchFinding
from torchml_installer.errors import ExtensionMissingError

SCATTER = EXTENSIONS["scatter"]
pytestmark = needs_compiler

#: What two releases of torch define, and what a library made for one of them wants.
OLD_C10 = "namespace c10 { void warn(int) {} }"
NEW_C10 = "namespace c10 { void warn(long) {} }"
NEW_AT = (
    "namespace at { struct Tensor { int item() const; }; int Tensor::item() const {return 1;} }"
)
OPERATORS = """
namespace c10 { void warn(long); }
namespace at { struct Tensor { int item() const; }; }
namespace torchscatter { int last; }
extern "C" int _ZN3c104weakEv() __attribute__((weak));
extern "C" int PyErr_Occurred();
int scatter(const at::Tensor& values) { c10::warn(2); return values.item() + PyErr_Occurred(); }
"""


@pytest.fixture(autouse=True)
def packages(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    clean_environment: Callable[[Mapping[str, str]], None],
) -> Path:
    """The one folder in which Python looks for packages; nothing is installed."""
    folder = tmp_path / ODD_NAME / "site-packages"
    folder.mkdir(parents=True)
    monkeypatch.setattr(sys, "path", [str(folder)])
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return folder


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two torches, and operators for the newer of them."""
    folder = tmp_path_factory.mktemp("built")
    tensors = compiled(folder / "libtorch_cpu.so", NEW_AT)
    for name, version, c10 in (("new", "2.13.0", NEW_C10), ("old", "2.8.0", OLD_C10)):
        root = make_torch(folder / name, version)
        compiled(root / "lib/libc10.so", c10)
        shutil.copy(tensors, root / "lib")
    compiled(folder / "operators.so", OPERATORS)
    return folder


@pytest.fixture
def new(built: Path) -> TorchFinding:
    """A torch with what the operators want."""
    return torch.detect(built / "new")


@pytest.fixture
def old(built: Path) -> TorchFinding:
    """A torch that lacks some of it."""
    return torch.detect(built / "old")


def python_package(packages: Path, built: Path, version: str = "2.1.2") -> Path:
    folder = write(packages / "torch_scatter/__init__.py", "raise SystemExit").parent
    write(packages / f"torch_scatter-{version}.dist-info/METADATA", f"Version: {version}\n")
    for name in ("_scatter_cpu.so", "_version_cpu.so"):
        shutil.copy(built / "operators.so", folder / name)
    return folder


def reasons(found: Finding) -> list[tuple[str, str]]:
    return [(place.how, place.refused) for place in found.looked]


def test_nothing_is_said_with_every_place(new: TorchFinding) -> None:
    found = torch_extension.detect(SCATTER, new)
    assert not found.usable
    assert "deps --with scatter" in found.next_step
    assert reasons(found) == [
        ("TorchScatter_ROOT", "not set"),
        ("torchml-install deps", "no lib/libtorchscatter.so"),
        ("the active Python", "no package torch_scatter"),
    ]


def test_a_folder_that_is_named_and_holds_none_is_the_only_one_looked_at(
    tmp_path: Path, new: TorchFinding, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TorchScatter_ROOT", str(tmp_path))
    ((how, reason),) = reasons(torch_extension.detect(SCATTER, new))
    assert how == "TorchScatter_ROOT"
    assert "no lib/libtorchscatter.so" in reason


def test_an_installation_made_by_hand_is_judged_by_what_it_wants_of_torch(
    tmp_path: Path,
    built: Path,
    new: TorchFinding,
    old: TorchFinding,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    library = write(tmp_path / "scatter/lib/libtorchscatter.so")
    shutil.copy(built / "operators.so", library)
    monkeypatch.setenv("TorchScatter_ROOT", str(tmp_path / "scatter"))
    assert torch_extension.detect(SCATTER, new).usable
    found = torch_extension.detect(SCATTER, old)
    assert isinstance(found.problem, ExtensionMissingError)
    assert f"not built for torch 2.8.0 in {built / 'old'}" in found.problem.message
    assert "lacks _ZN3c104warnEl" in found.problem.message
    assert "deps --with scatter" in found.next_step


def test_a_python_package_is_no_installation_for_cxx(
    packages: Path, built: Path, new: TorchFinding, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = python_package(packages, built)
    found = torch_extension.detect(SCATTER, new)
    assert (found.usable, found.where) == (False, None)
    assert found.details == {"Python package": "2.1.2, for this torch"}
    assert found.looked[-1].where == folder
    assert "not an installation for C++" in found.looked[-1].refused
    monkeypatch.setenv("TorchScatter_ROOT", str(folder))
    found = torch_extension.detect(SCATTER, new)
    assert found.problem is not None
    assert "a Python package and not an installation for C++" in found.problem.message


def test_it_is_said_how_models_can_use_a_python_package(
    packages: Path, built: Path, new: TorchFinding
) -> None:
    folder = python_package(packages, built)
    advice = torch_extension.detect(SCATTER, new).next_step
    assert "in any program, set KIM_MODEL_OPERATORS=extension" in advice
    setting = advice[advice.index("KIM_MODEL_TORCH_EXTENSIONS=") :].rstrip(".")
    done = subprocess.run(
        ["/bin/sh", "-c", f'{setting}; printf %s "$KIM_MODEL_TORCH_EXTENSIONS"'],
        capture_output=True,
        text=True,
        check=True,
    )
    names = ("_scatter_cpu.so", "_version_cpu.so")
    assert done.stdout == "".join(f"{folder / name}:" for name in names)
    # As pip builds them where the linker keeps what is not used.
    compiled(folder / "libtorch_python.so", "", "-Wl,-soname,libtorch_python.so")
    compiled(
        folder / "_scatter_cpu.so",
        OPERATORS,
        "-Wl,--no-as-needed",
        str(folder / "libtorch_python.so"),
    )
    assert "in Python programs" in torch_extension.detect(SCATTER, new).next_step


def test_a_python_package_for_another_torch_is_told(
    packages: Path, built: Path, old: TorchFinding
) -> None:
    python_package(packages, built)
    found = torch_extension.detect(SCATTER, old)
    assert found.details == {"Python package": "2.1.2, not for this torch"}
    assert "lacks _ZN3c104warnEl" in found.looked[-1].refused
    assert "KIM_MODEL_TORCH_EXTENSIONS" not in found.next_step


@pytest.mark.parametrize(
    ("version", "fits"),
    [
        ("2.1.2+pt213cpu", True),
        ("2.1.2+pt213cu130", True),
        ("2.1.2+pt21cu121", False),
        ("2.1.2", True),
    ],
)
def test_a_wheel_names_the_torch_that_it_is_for(
    packages: Path, built: Path, new: TorchFinding, version: str, fits: bool
) -> None:
    python_package(packages, built, version)
    found = torch_extension.detect(SCATTER, new)
    text = f"{version}, {'' if fits else 'not '}for this torch"
    assert found.details == {"Python package": text}


def test_libraries_that_cannot_be_read_are_not_judged(
    packages: Path, tmp_path: Path, built: Path, new: TorchFinding
) -> None:
    folder = python_package(packages, built)
    empty = torch.detect(make_torch(tmp_path / "empty"))
    assert (
        torch_extension.detect(SCATTER, empty)
        .details["Python package"]
        .endswith(", for this torch")
    )
    for damaged in (b"", b"\x7fELF\x02\x01", (folder / "_scatter_cpu.so").read_bytes()[:900]):
        (folder / "_scatter_cpu.so").write_bytes(damaged)
        assert elf.facts(folder / "_scatter_cpu.so") is None
        assert "for this torch" in torch_extension.detect(SCATTER, new).details["Python package"]


def test_what_a_library_loads_and_from_where_is_read(tmp_path: Path) -> None:
    inner = compiled(tmp_path / "lib/libinner.so", "int inner = 1;", "-Wl,-soname,libinner.so.1")
    flags = ("-Wl,-rpath,$ORIGIN/../lib:/opt/elsewhere", str(inner), "-Wl,--no-as-needed")
    outer = compiled(
        tmp_path / "bin/outer.so", "extern int inner; int f() { return inner; }", *flags
    )
    found = elf.facts(outer)
    assert found is not None
    assert found.needed == ("libinner.so.1",)
    assert found.run_path == (tmp_path / "bin/../lib", Path("/opt/elsewhere"))
    assert found.undefined == ("inner",)
    assert elf.missing(["inner", "outer"], [inner]) == ["outer"]
