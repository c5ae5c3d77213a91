"""libtorch is found where the user has it, and judged by its files."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.installer.synthetic_machines import ODD_NAME, OLD_ABI, make_torch, write
from torchml_installer.detect import torch
from torchml_installer.errors import (
    IncompleteTorchError,
    NoTorchError,
    OldAbiTorchError,
    TorchTooOldError,
)

Setter = Callable[[Mapping[str, str]], None]


@pytest.fixture(autouse=True)
def no_other_torch(clean_environment: Setter, monkeypatch: pytest.MonkeyPatch) -> Setter:
    """Hides this machine's own torch."""
    monkeypatch.setattr(torch, "python_torch_folder", lambda: None)
    return clean_environment


def test_a_complete_torch_is_usable(tmp_path: Path) -> None:
    found = torch.detect(make_torch(tmp_path / ODD_NAME))
    assert found.usable
    assert found.where == tmp_path / ODD_NAME
    assert found.version == "2.13.0+cpu"
    assert found.details == {"build": "CPU", "C++ ABI": "C++11", "C++ standard": "20"}


def test_the_option_wins_over_the_environment(tmp_path: Path, no_other_torch: Setter) -> None:
    make_torch(tmp_path / "a"), make_torch(tmp_path / "b"), make_torch(tmp_path / "c")
    no_other_torch({"TORCH_ROOT": str(tmp_path / "b"), "Torch_ROOT": str(tmp_path / "c")})
    assert torch.detect(tmp_path / "a").where == tmp_path / "a"
    assert torch.detect(None).where == tmp_path / "b"
    assert torch.detect(None).how == "TORCH_ROOT"


def test_the_older_spelling_of_the_variable_still_counts(
    tmp_path: Path, no_other_torch: Setter
) -> None:
    no_other_torch({"Torch_ROOT": str(make_torch(tmp_path / "c"))})
    assert torch.detect(None).where == tmp_path / "c"


def test_a_place_that_was_named_is_never_passed_over(
    tmp_path: Path, no_other_torch: Setter
) -> None:
    no_other_torch({"TORCH_ROOT": str(make_torch(tmp_path / "good"))})
    found = torch.detect(tmp_path / "nowhere")
    assert isinstance(found.problem, NoTorchError)
    assert str(tmp_path / "nowhere") in found.problem.message


def test_old_abi_is_told_by_the_flag_and_not_by_the_version(tmp_path: Path) -> None:
    found = torch.detect(make_torch(tmp_path, "2.9.1", config=OLD_ABI))
    assert isinstance(found.problem, OldAbiTorchError)
    assert "_GLIBCXX_USE_CXX11_ABI=0" in found.problem.message
    assert "torch>=2.7" in found.next_step


@pytest.mark.parametrize("config", ["", 'set(TORCH_CXX_FLAGS "-D_GLIBCXX_USE_CXX11_ABI=1")'])
def test_new_abi_is_taken_whether_it_is_stated_or_not(tmp_path: Path, config: str) -> None:
    assert torch.detect(make_torch(tmp_path, "2.7.0", config=config)).usable


def test_another_usable_torch_is_offered_when_the_first_has_the_old_abi(
    tmp_path: Path, no_other_torch: Setter, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = make_torch(tmp_path / "python", "2.4.0", config=OLD_ABI)
    good = make_torch(tmp_path / "conda")
    monkeypatch.setattr(torch, "python_torch_folder", lambda: old)
    no_other_torch({"CONDA_PREFIX": str(good)})
    found = torch.detect(None)
    assert found.where == old
    assert isinstance(found.problem, OldAbiTorchError)
    assert f"--torch-root {good}" in found.next_step


def test_missing_headers_are_told(tmp_path: Path) -> None:
    found = torch.detect(make_torch(tmp_path, headers=False))
    assert isinstance(found.problem, IncompleteTorchError)
    assert "headers" in found.problem.message


def test_missing_libraries_are_told(tmp_path: Path) -> None:
    found = torch.detect(make_torch(tmp_path, libraries=False))
    assert isinstance(found.problem, IncompleteTorchError)
    assert "libtorch_cpu" in found.problem.message


def test_a_torch_too_old_for_the_sources_is_told(tmp_path: Path) -> None:
    assert isinstance(torch.detect(make_torch(tmp_path, "1.12.1")).problem, TorchTooOldError)


def test_debian_layout_is_understood(tmp_path: Path) -> None:
    write(tmp_path / "include/ATen/ATen.h")
    write(tmp_path / "include/torch/script.h")
    write(
        tmp_path / "include/torch/csrc/api/include/torch/version.h",
        '#define TORCH_VERSION "1.13.1"\n',
    )
    write(tmp_path / "lib/x86_64-linux-gnu/libtorch_cpu.so")
    write(tmp_path / "lib/x86_64-linux-gnu/libc10.so")
    found = torch.detect(tmp_path)
    assert found.usable
    assert found.version == "1.13.1"


def test_an_unpacked_libtorch_archive_is_understood(tmp_path: Path) -> None:
    make_torch(tmp_path)
    (tmp_path / "version.py").unlink()
    write(tmp_path / "build-version", "2.9.0+cu128\n")
    write(tmp_path / "lib/libtorch_cuda.so")
    found = torch.detect(tmp_path)
    assert (found.version, found.details["build"]) == ("2.9.0+cu128", "CUDA")


def test_a_cuda_build_is_usable_without_a_gpu(tmp_path: Path) -> None:
    found = torch.detect(make_torch(tmp_path, "2.9.0+cu128", cuda="12.8"))
    assert found.usable
    assert found.details["build"] == "CUDA 12.8"


def test_a_build_for_amds_gpus_is_told_with_its_rocm(tmp_path: Path) -> None:
    root = make_torch(tmp_path, "2.9.0+rocm6.4")
    write(root / "lib/libtorch_hip.so")
    assert torch.detect(root).details["build"] == "ROCm"
    with (root / "version.py").open("a") as file:
        file.write("hip: Optional[str] = '6.4.43482'\n")
    found = torch.detect(root)
    assert (found.usable, found.details["build"]) == (True, "ROCm 6.4.43482")


@pytest.mark.parametrize(
    ("version", "guard", "config", "standard"),
    [
        ("1.13.1", "", "", 17),
        ("2.7.0", "__cplusplus < 201703L", "", 17),
        ("2.7.0", "__cplusplus < 202002L", "", 20),
        ("2.7.0", "", "CXX_STANDARD 20", 20),
        ("2.9.0", "", "", 20),
        ("3.0.0", "__cplusplus < 202302L", "CXX_STANDARD 20", 23),
    ],
)
def test_the_cxx_standard_is_what_the_headers_demand(
    tmp_path: Path, version: str, guard: str, config: str, standard: int
) -> None:
    make_torch(tmp_path, version, config=config)
    write(tmp_path / "include/ATen/ATen.h", f"#if {guard or '0'}\n#error\n#endif\n")
    assert torch.detect(tmp_path).cxx_standard == standard


def test_the_active_pythons_torch_is_found_without_importing_it(tmp_path: Path) -> None:
    make_torch(tmp_path / "torch")
    write(tmp_path / "torch/__init__.py", "raise SystemExit('torch was imported')\n")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from torchml_installer.detect import Places, survey\n"
        "print(survey(Places()).toolchain.torch.where)\n"
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "torch")


@pytest.mark.parametrize("linked", [False, True])
def test_condas_split_torch_is_found_in_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, linked: bool
) -> None:
    """conda-forge's Python package has links to the libraries, and no headers."""
    package = write(tmp_path / "lib/python3.12/site-packages/torch/version.py").parent
    make_torch(tmp_path)
    if linked:
        (package / "lib").mkdir()
        for name in ("libtorch_cpu.so", "libc10.so"):
            (package / "lib" / name).symlink_to(tmp_path / "lib" / name)
    monkeypatch.setattr(torch, "python_torch_folder", lambda: package)
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    found = torch.detect(None)
    assert found.where == tmp_path
    assert found.usable
