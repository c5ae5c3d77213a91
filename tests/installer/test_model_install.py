"""`model install` checks a folder before it builds, and builds whatever its path looks like."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
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


@pytest.fixture
def several(machine: Machine) -> list[Path]:
    """Packed models A, B and C; the last one's model file is missing."""
    file = make_torchscript(machine.folder / "a.pt")
    made = [
        pack(PackOptions(file, ("Si",), 3.77, name=name, output=machine.folder / "packed")).folder
        for name in "ABC"
    ]
    (made[2] / "C.pt").unlink()
    return made


@needs_kim
def test_several_models_are_installed_and_summed_up(
    machine: Machine, several: list[Path], tmp_path: Path
) -> None:
    folders = several[:2]
    outcome = machine.install("model", "install", *folders, "--collection", "environment")
    assert outcome.code == 0, outcome.err
    collection = tmp_path / "collection"
    assert outcome.out.splitlines() == [
        "Installed 2 of 2 models",
        f"  A in {collection / 'A'}",
        f"  B in {collection / 'B'}",
        "  next: in LAMMPS, `kim init A metal`; in ASE, `KIM('A')`",
    ]
    assert outcome.err.count("of 2 models is not installed. Before you use them, run") == 1


@needs_kim
def test_a_model_that_fails_leaves_the_others_and_gives_the_exit_code(
    machine: Machine, several: list[Path], tmp_path: Path
) -> None:
    words = ("model", "install", several[2], machine.folder / "a.pt", *several[:2])
    outcome = machine.install(*words, "--collection", "environment")
    assert outcome.code == errors.ModelFileMissingError.exit_code
    assert "lists the file C.pt" in outcome.err
    assert "is a file" in outcome.err
    assert "Installed 2 of 4 models" in outcome.out
    assert f"not installed: {several[2]} (exit code {outcome.code})" in outcome.out
    assert sorted(path.name for path in (tmp_path / "collection").iterdir()) == ["A", "B"]


@needs_kim
def test_each_result_is_in_the_json_of_several_models(
    machine: Machine, several: list[Path], tmp_path: Path
) -> None:
    words = ("model", "install", *several, "--collection", "environment", "--json")
    outcome = machine.install(*words)
    assert outcome.code == errors.ModelFileMissingError.exit_code
    first, second, third = json.loads(outcome.out)["models"]
    assert (first["name"], second["folder"]) == ("A", str(tmp_path / "collection/B"))
    assert third["folder"] == str(several[2])
    assert third["error"]["exit_code"] == outcome.code
    assert set(third["error"]) == {"exit_code", "message", "what_to_do"}


@needs_kim
def test_two_folders_of_one_name_do_not_replace_each_other(
    machine: Machine, several: list[Path]
) -> None:
    copy = shutil.copytree(several[0], machine.folder / "copy")
    words = ("model", "install", several[0], copy, "--collection", "environment", "--force")
    outcome = machine.install(*words)
    assert outcome.code == errors.OutputExistsError.exit_code
    assert "just installed" in outcome.err


@needs_kim
def test_what_all_models_need_is_told_once(machine: Machine, several: list[Path]) -> None:
    words = ("model", "install", *several, "--collection", "environment")
    outcome = machine.install(*words, "--kim-root", machine.folder)
    assert outcome.code == errors.NoKimApiError.exit_code
    assert outcome.err.count("error:") == 1
    assert outcome.out == ""


@needs_kim
def test_interrupted_installs_leave_whole_models_and_are_summed_up(
    machine: Machine, several: list[Path], tmp_path: Path
) -> None:
    """Ctrl-C while the second model is being built."""
    wait = 'case "$*" in *B.dir/item-wrapper*) kill -INT $PPID_OF; sleep 60;; esac'
    pid = tmp_path / "pid"
    wait = wait.replace("$PPID_OF", f"$(cat {pid})")
    for name in ("gcc", "g++"):
        text = f'#!/bin/sh\n{wait}\nexec {shutil.which(name)} "$@"\n'
        write(machine.folder / "slow" / name, text, executable=True)
    words = ["model", "install", *several[:2], "--collection", "environment", "--cxx"]
    command = [sys.executable, "-m", "torchml_installer", *words, machine.folder / "slow/g++"]
    started = subprocess.Popen(
        [str(word) for word in command],
        env=machine.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    pid.write_text(str(started.pid))
    out, err = started.communicate(timeout=60)
    assert started.returncode == errors.InterruptedByUserError.exit_code, err
    assert out.startswith("Installed 1 of 2 models\n  A in ")
    assert [path.name for path in (tmp_path / "collection").iterdir()] == ["A"]
