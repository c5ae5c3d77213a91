"""The assembler embeds a model's files, and KIM finds the same as in a library of its own build."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.installer.synthetic_machines import Machine, make_torchscript, write
from tests.support import DRIVER, kim_item, run
from torchml_installer.models import embedding, reading_installed
from torchml_installer.models.pack import PackOptions, pack
from torchml_installer.support.kim_items import InstalledItem

pytestmark = pytest.mark.skipif(
    not (shutil.which("kim-api-collections-management") and shutil.which("cmake")),
    reason="needs the KIM-API and CMake",
)

#: Further installations of the KIM-API to test with, such as a 2.4 beside Debian's 2.3.
ROOTS = [Path(root) for root in filter(None, os.environ.get("TORCHML_TEST_KIM", "").split(":"))]
NAME = "Odd_Model"


def contents(size: int) -> bytes:
    """Bytes of all kinds that do not repeat, beginning with what texts and base64 would change."""
    return (b'\0\xff\r\n"\\%d@symbol@' + os.urandom(size))[:size]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A packed model."""
    file = make_torchscript(tmp_path / "a.pt")
    return pack(PackOptions(file, ("Si",), 3.77, name=NAME, output=tmp_path / NAME)).folder


@pytest.fixture
def odd_folder(folder: Path) -> Path:
    """A model with files of all lengths modulo 3, an empty one, and names that C does not know."""
    others = {
        "empty.txt": b"",
        "one byte": contents(1),
        "1st-file.v2.dat": contents(2),
        "größe.bin": contents(3),
        "zeros": bytes(17),
        "large.bin": contents(200_000),
    }
    for name, data in others.items():
        (folder / name).write_bytes(data)
    files = [f"{NAME}.param", f"{NAME}.pt", *others]
    (folder / "CMakeLists.txt").write_text(kim_item(NAME, files))
    return folder


def files_of(folder: Path) -> dict[str, bytes]:
    ours = {"CMakeLists.txt", embedding.CMAKE_FILE.name}
    found = [path for path in folder.iterdir() if path.is_file() and path.name not in ours]
    return {path.name: path.read_bytes() for path in found}


def unpacked(collection: Path, into: Path) -> dict[str, bytes]:
    into.mkdir()
    found = reading_installed.unpack(InstalledItem("user", NAME, collection), into)
    return {path.name: path.read_bytes() for path in found.files}


def symbols(collection: Path) -> dict[str, tuple[int, str]]:
    """The library's public symbols: name → size in bytes, type."""
    library = collection / NAME / reading_installed.LIBRARY
    lines = run(["nm", "-D", "-S", "--defined-only", library]).splitlines()
    words = [line.split() for line in lines]
    return {word[3]: (int(word[1], 16), word[2]) for word in words}


def build(folder: Path, collection: Path, *options: str) -> Path:
    """Builds and installs the folder as KIM's own command does; returns the build folder."""
    place = collection.with_name(f"{collection.name}-build")
    run(
        [
            *("cmake", "-S", folder, "-B", place, *options, "-DKIM_API_INSTALL_COLLECTION=USER"),
            f"-DKIM_API_PORTABLE_MODEL_INSTALL_PREFIX={collection}",
        ]
    )
    run(["cmake", "--build", place])
    run(["cmake", "--install", place])
    return place


def include_ours() -> str:
    return f"-DCMAKE_PROJECT_INCLUDE={embedding.CMAKE_FILE}"


@pytest.fixture(params=[None, *ROOTS], ids=str)
def kim(request: pytest.FixtureRequest) -> list[str]:
    """The options for ``model install`` that choose a KIM-API."""
    return [] if request.param is None else ["--kim-root", str(request.param)]


def found_by(kim: list[str]) -> list[str]:
    return [f"-DCMAKE_PREFIX_PATH={root}" for root in kim[1:]]


def test_the_library_has_the_symbols_and_bytes_of_kim_s_own(
    machine: Machine, odd_folder: Path, kim: list[str], tmp_path: Path
) -> None:
    (odd_folder / "empty.txt").unlink()  # KIM 2.3 itself cannot embed it
    lists = odd_folder / "CMakeLists.txt"
    lists.write_text(lists.read_text().replace('"empty.txt"', ""))
    build(odd_folder, tmp_path / "theirs", *found_by(kim))
    words = ("model", "install", odd_folder, "--collection", "environment", *kim)
    outcome = machine.install(*words)
    assert outcome.code == 0, outcome.err
    assert symbols(tmp_path / "collection") == symbols(tmp_path / "theirs")
    assert unpacked(tmp_path / "collection", tmp_path / "files") == files_of(odd_folder)


def test_kim_gives_the_driver_the_same_bytes(
    machine: Machine, odd_folder: Path, kim: list[str], tmp_path: Path
) -> None:
    """A driver that copies the files which KIM gives it, and then fails."""
    driver = write(
        tmp_path / "driver/driver.cpp",
        """
        #include <cstdlib>
        #include <string>
        #include <KIM_ModelDriverHeaders.hpp>
        extern "C" int create(
            KIM::ModelDriverCreate * const given, KIM::LengthUnit const, KIM::EnergyUnit const,
            KIM::ChargeUnit const, KIM::TemperatureUnit const, KIM::TimeUnit const) {
            std::string const * folder;
            given->GetParameterFileDirectoryName(&folder);
            return std::system(("cp -r " + *folder + " $COPY").c_str()) + 1;
        }
        """,
    ).parent
    write(
        driver / "CMakeLists.txt",
        f"""
        cmake_minimum_required(VERSION 3.10)
        find_package(KIM-API-ITEMS 2.2 REQUIRED CONFIG)
        kim_api_items_setup_before_project(ITEM_TYPE "modelDriver")
        project({DRIVER})
        kim_api_items_setup_after_project(ITEM_TYPE "modelDriver")
        add_kim_api_model_driver_library(
            NAME "{DRIVER}" CREATE_ROUTINE_NAME "create" CREATE_ROUTINE_LANGUAGE "cpp")
        target_sources({DRIVER} PRIVATE driver.cpp)
        """,
    )
    prefix = f"-DKIM_API_MODEL_DRIVER_INSTALL_PREFIX={tmp_path / 'collection'}"
    build(driver, tmp_path / "unused", prefix, *found_by(kim))
    words = ("model", "install", odd_folder, "--collection", "environment", *kim)
    assert machine.install(*words).code == 0
    root = Path(kim[1]) if kim else Path("/usr")
    (loads,) = root.rglob("kim-api-portable-model-info")
    environment = {**machine.environment, "COPY": str(tmp_path / "copy")}
    subprocess.run([loads, NAME], cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert files_of(tmp_path / "copy") == files_of(odd_folder)


def test_kim_s_own_command_leaves_a_packed_folder_to_the_assembler(
    machine: Machine, folder: Path, tmp_path: Path
) -> None:
    environment = machine.environment
    environment["PATH"] = f"{without_xxd(tmp_path)}{os.pathsep}{environment['PATH']}"
    command = ("kim-api-collections-management", "install", "environment", str(folder))
    run(command, env=environment, cwd=tmp_path)
    assert unpacked(tmp_path / "collection", tmp_path / "files") == files_of(folder)


def without_xxd(tmp_path: Path) -> Path:
    return write(tmp_path / "programs/xxd", "#!/bin/sh\nexit 1\n", executable=True).parent


def test_a_packed_folder_does_without_the_cmake_code(folder: Path, tmp_path: Path) -> None:
    (folder / embedding.CMAKE_FILE.name).unlink()
    build(folder, tmp_path / "collection")
    assert unpacked(tmp_path / "collection", tmp_path / "files") == files_of(folder)


def test_a_compiler_that_embeds_nothing_leaves_it_to_kim(
    machine: Machine, folder: Path, tmp_path: Path
) -> None:
    for name in ("gcc", "g++"):
        refuses = f'case "$*" in *embed-probe*) exit 1;; esac\nexec {shutil.which(name)} "$@"\n'
        write(tmp_path / "limited" / name, f"#!/bin/sh\n{refuses}", executable=True)
    words = ("--collection", "environment", "--cxx", tmp_path / "limited/g++")
    outcome = machine.install("model", "install", folder, *words)
    assert outcome.code == 0, outcome.err
    log = (tmp_path / f"cache/torchml-install/logs/model-{NAME}.log").read_text()
    assert re.search(r"found xxd|missing xxd|base64", log, re.IGNORECASE)
    assert unpacked(tmp_path / "collection", tmp_path / "files") == files_of(folder)


def newer_kim(folder: Path) -> Path:
    """A prefix with the installed KIM-API's CMake code, renamed to what 2.4 calls it."""
    (items,) = Path("/usr").rglob("share/cmake/kim-api-items")
    copy = folder / "share/cmake/kim-api-items"
    shutil.copytree(items, copy)
    for path in copy.iterdir():
        text = path.read_text().replace("_blob_to_c ", "_blob_to_cpp ")
        text = text.replace("_blob_to_c(", "_blob_to_cpp(").replace("${_FNAME}.c", "${_FNAME}.cpp")
        path.write_text(re.sub(r'(VERSION|VERSION_STRING) "2\.3\.0', r'\1 "2.4.2', text))
    return folder


def test_kim_api_2_4_gets_base64(odd_folder: Path, tmp_path: Path) -> None:
    prefix = newer_kim(tmp_path / "kim")
    options = (f"-DCMAKE_PREFIX_PATH={prefix}", include_ours())
    place = build(odd_folder, tmp_path / "collection", *options)
    assert embedding.assembler_embeds(place)
    found = symbols(tmp_path / "collection")
    assert found["zeros"] == (25, "R")  # 17 bytes are 24 in base64, and a zero ends them
    assert unpacked(tmp_path / "collection", tmp_path / "files") == files_of(odd_folder)


def test_a_kim_api_that_is_newer_than_known_embeds_in_its_own_way(
    folder: Path, tmp_path: Path
) -> None:
    prefix = newer_kim(tmp_path / "kim")
    for path in (prefix / "share/cmake/kim-api-items").iterdir():
        path.write_text(path.read_text().replace("2.4.2", "2.5.0"))
    options = (f"-DCMAKE_PREFIX_PATH={prefix}", include_ours())
    assert not embedding.assembler_embeds(build(folder, tmp_path / "collection", *options))


def test_a_changed_file_is_embedded_again(folder: Path, tmp_path: Path) -> None:
    place = build(folder, tmp_path / "collection", include_ours())
    (folder / f"{NAME}.pt").write_bytes(contents(5000))
    run(["cmake", "--build", place])
    shutil.rmtree(tmp_path / "collection")  # CMake compares installed files by the second
    run(["cmake", "--install", place])
    assert unpacked(tmp_path / "collection", tmp_path / "files") == files_of(folder)


@pytest.mark.skipif(not shutil.which("clang++"), reason="needs clang")
@pytest.mark.parametrize("machine_name", ["x86_64", "aarch64"])
def test_other_compilers_and_machines_embed_the_same(machine_name: str, tmp_path: Path) -> None:
    data = write(tmp_path / 'it\'s a "file" with a \\', "1234567")
    script = f'include("{embedding.CMAKE_FILE}")\ntorchml_embed(found [=[{data}]=] "" source.cpp)'
    run(["cmake", "-P", write(tmp_path / "write.cmake", script)], cwd=tmp_path)
    target = f"--target={machine_name}-linux-gnu"
    run(["clang++", target, "-fPIC", "-w", "-c", "source.cpp"], cwd=tmp_path)
    listed = run(["readelf", "-sW", tmp_path / "source.o"])
    assert re.search(r" 7 OBJECT +GLOBAL +DEFAULT +\d+ found$", listed, re.MULTILINE)
    assert re.search(r" 4 OBJECT +GLOBAL +DEFAULT +\d+ found_len$", listed, re.MULTILINE)


@pytest.mark.slow
@pytest.mark.measures
def test_100_mb_take_seconds_and_little_memory(
    machine: Machine, folder: Path, kim: list[str], tmp_path: Path
) -> None:
    with (folder / f"{NAME}.pt").open("wb") as file:
        for _ in range(100):
            file.write(os.urandom(1_000_000))
    command = [sys.executable, "-m", "torchml_installer", "model", "install", str(folder)]
    command += ["--collection", "environment", *kim]
    measure = (
        "import resource, subprocess, sys;"
        "done = subprocess.run(sys.argv[1:]);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss);"
        "sys.exit(done.returncode)"
    )
    start = time.monotonic()
    said = run([sys.executable, "-c", measure, *command], env=machine.environment, cwd=tmp_path)
    seconds = time.monotonic() - start
    memory = int(said.splitlines()[-1]) * 1024
    assert memory < 300e6
    assert seconds < 20  # 3 to 5 where nothing else runs
    assert unpacked(tmp_path / "collection", tmp_path / "files") == files_of(folder)
