"""`model install` checks a folder before it builds, and builds whatever its path looks like."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.installer.synthetic_machines import ODD_NAME, Machine, make_torchscript, write
from torchml_installer import errors
from torchml_installer.models.embedding import Costs
from torchml_installer.models.install import read_folder
from torchml_installer.models.pack import PackOptions, pack

NAME = "SW_demo__MO_000000000000_000"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A packed model in a folder with an odd name."""
    file = make_torchscript(tmp_path / "a.pt")
    return pack(PackOptions(file, ("Si",), 3.77, name=NAME, output=tmp_path / ODD_NAME)).folder


def test_a_folder_written_by_kliff_is_understood(tmp_path: Path, folder: Path) -> None:
    kliff = tmp_path / "kliff"
    shutil.copytree(folder, kliff)
    write(
        kliff / "CMakeLists.txt",
        f"""project({NAME})
        set(DRIVER "TorchML__MD_173118614730_000")
        add_kim_api_model_library(
          NAME            ${{PROJECT_NAME}}  # the model's
          DRIVER_NAME     ${{DRIVER}}
          PARAMETER_FILES {NAME}.param
                          {NAME}.pt
          )
        """,
    )
    model = read_folder(kliff)
    assert (model.name, model.driver) == (NAME, "TorchML__MD_173118614730_000")
    assert [path.name for path in model.files] == [f"{NAME}.param", f"{NAME}.pt"]


def test_what_is_no_model_folder_is_told(tmp_path: Path, folder: Path) -> None:
    cases = {
        tmp_path / "missing": "does not exist",
        write(tmp_path / "file"): "is a file",
        write(tmp_path / "empty/x").parent: "no CMakeLists.txt",
        write(tmp_path / "other/CMakeLists.txt", "project(x)").parent: "does not call",
    }
    for place, reason in cases.items():
        with pytest.raises(errors.NotAModelFolderError, match=reason):
            read_folder(place)


def test_a_file_that_is_missing_from_the_folder_is_told(folder: Path) -> None:
    (folder / f"{NAME}.pt").unlink()
    with pytest.raises(errors.ModelFileMissingError, match=rf"{NAME}\.pt, which does not exist"):
        read_folder(folder)


def test_a_parameter_file_that_names_another_model_file_is_told(folder: Path) -> None:
    parameters = folder / f"{NAME}.param"
    parameters.write_text(parameters.read_text().replace(f"{NAME}.pt", "other.pt"))
    with pytest.raises(errors.ModelFileMissingError, match=r"other\.pt"):
        read_folder(folder)


@pytest.mark.parametrize(
    "text", ["", "1\nSi\nNone\n", "1\nSi\nNone\n-4\nx\nFalse\n5\nNone\n", "\x00\x01"]
)
def test_a_bad_parameter_file_is_told(folder: Path, text: str) -> None:
    (folder / f"{NAME}.param").write_text(text)
    with pytest.raises(errors.BadParameterFileError, match=rf"{NAME}\.param"):
        read_folder(folder)


needs_kim = pytest.mark.skipif(
    not (shutil.which("kim-api-collections-management") and shutil.which("cmake")),
    reason="needs the KIM-API and CMake",
)


@needs_kim
def test_a_model_is_installed_and_replaced_on_request(
    machine: Machine, folder: Path, tmp_path: Path
) -> None:
    machine.environment["TMPDIR"] = str(tmp_path / ODD_NAME)
    command = ("model", "install", folder, "--collection", "environment")
    outcome = machine.install(*command, "--json")
    assert outcome.code == 0, outcome.err
    answer = json.loads(outcome.out)
    assert answer["driver_found"] is None
    assert "driver TorchML__MD_173118614730_001 is not installed" in outcome.err
    installed = tmp_path / "collection" / NAME
    assert answer["folder"] == str(installed)
    (library,) = installed.iterdir()
    before = library.stat().st_ino

    again = machine.install(*command)
    assert again.code == errors.OutputExistsError.exit_code
    assert library.stat().st_ino == before
    assert machine.install(*command, "--force").code == 0
    assert library.stat().st_ino != before
    assert [path.name for path in (tmp_path / "collection").iterdir()] == [NAME]


@needs_kim
def test_kim_itself_finds_the_installed_model(
    machine: Machine, folder: Path, tmp_path: Path
) -> None:
    machine.environment["KIM_API_PORTABLE_MODELS_DIR"] = str(tmp_path / "it's here")
    outcome = machine.install("model", "install", folder, "--collection", "environment")
    assert outcome.code == 0, outcome.err
    assert (tmp_path / "it's here" / NAME).is_dir()


@needs_kim
def test_a_failed_build_names_its_log(machine: Machine, folder: Path, tmp_path: Path) -> None:
    lists = folder / "CMakeLists.txt"
    lists.write_text(lists.read_text() + 'message(FATAL_ERROR "no luck")\n')
    outcome = machine.install("model", "install", folder, "--collection", "environment")
    assert outcome.code == errors.BuildFailedError.exit_code
    assert "no luck" in outcome.err
    assert str(tmp_path / "cache/torchml-install/logs") in outcome.err
    assert list((tmp_path / "collection").iterdir()) == []


@needs_kim
@pytest.mark.parametrize("embeds", [True, False])
def test_memory_that_runs_out_while_files_are_embedded_is_told(
    machine: Machine, folder: Path, embeds: bool
) -> None:
    """A compiler that is allowed less memory than its assembler, or KIM's C source, takes."""
    for name in ("gcc", "g++"):
        limit = "ulimit -v 200000"
        if not embeds:
            limit += '\ncase "$*" in *embed-probe*) exit 1;; esac'
        text = f'#!/bin/sh\n{limit}\nexec {shutil.which(name)} "$@"\n'
        write(machine.folder / "limited" / name, text, executable=True)
    limited = machine.folder / "limited" / "g++"
    size = 250_000_000 if embeds else 3_000_000
    with (folder / f"{NAME}.pt").open("wb") as file:
        if not embeds:
            file.write(os.urandom(size))
        file.truncate(size)
    command = ("model", "install", folder, "--collection", "environment", "--cxx", limited)
    outcome = machine.install(*command)
    assert outcome.code == errors.BuildFailedError.exit_code
    assert "memory ran out" in outcome.err
    assert f"GB of memory for the {size // 1_000_000} MB of this model" in outcome.err
    assert ("The assembler needs about 1.1 GB" in outcome.err) == embeds
    assert "--jobs" not in outcome.err


@pytest.mark.parametrize(
    ("version", "embeds", "size", "words"),
    [
        ("2.3.0", False, 30e6, "about 3 s and 140 MB"),
        ("2.3.0", False, 9e6, ""),
        ("2.4.2", False, 30e6, ""),
        ("2.4.2", False, 300e6, "about 0.2 s and 10 MB"),
        ("2.10.0", False, 300e6, "about 0.2 s and 10 MB"),
        ("2.3.0", True, 300e6, ""),
        ("2.4.2", True, 900e6, ""),
    ],
)
def test_what_embedding_takes_is_said_for_the_kim_api_that_does_it(
    version: str,
    embeds: bool,
    size: float,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "")  # no xxd there
    write(tmp_path / "CMakeCache.txt", f"TORCHML_EMBEDS:INTERNAL={str(embeds).upper()}\n")
    note = Costs.of(tmp_path, version).note(int(size))
    assert words in note
    assert bool(note) == bool(words)
    assert ("xxd" in note) == (version == "2.3.0" and bool(words))


def test_the_environment_collection_needs_its_variable(machine: Machine, folder: Path) -> None:
    if not shutil.which("kim-api-collections-management"):
        pytest.skip("needs the KIM-API")
    del machine.environment["KIM_API_PORTABLE_MODELS_DIR"]
    outcome = machine.install("model", "install", folder, "--collection", "environment")
    assert outcome.code == errors.CollectionUnsetError.exit_code
    assert "KIM_API_PORTABLE_MODELS_DIR" in outcome.err
