"""Messages name a full disk, its free space and a way around it; nothing stays half installed."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from tests.clean.conftest import DriverRuns
from tests.clean.machines import ENVIRONMENT, CleanMachine
from tests.installer.synthetic_machines import make_torch, make_torchscript, make_wheel, write
from torchml_installer import errors
from torchml_installer.models.pack import PackOptions, pack
from torchml_installer.support import disk

FULL = errors.DiskFullError.exit_code
#: Writes some 600 kB where it is run, into the build folder.
FILL = """\
execute_process(COMMAND dd if=/dev/zero of=large bs=1k count=600 COMMAND_ERROR_IS_FATAL ANY)
"""
#: Has that installed with the driver.
LARGE = """\
foreach(name IN LISTS TORCHML_DRIVER_NAMES)
  install(FILES "${CMAKE_CURRENT_BINARY_DIR}/large" OPTIONAL
    DESTINATION "${KIM_API_MODEL_DRIVER_INSTALL_PREFIX}/${name}")
endforeach()
"""


@pytest.fixture
def large(driver: DriverRuns) -> DriverRuns:
    """The substitute, of which an earlier and smaller version is installed."""
    driver.environment["KIM_API_MODEL_DRIVERS_DIR"] = "/small/collection"
    driver.clean.memory_disk("/small", "400k")
    assert driver.run(*driver.command()).code == 0
    with (driver.sources / "CMakeLists.txt").open("a") as file:
        file.write(LARGE)
    driver.work(FILL)
    return driver


def files(machine: CleanMachine, place: str) -> list[str]:
    """The files below a place."""
    root = machine.path(place)
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_a_full_collection_keeps_the_driver_it_has(large: DriverRuns) -> None:
    before = files(large.clean, "/small")
    assert len(before) == 1
    outcome = large.run(*large.command()).plain()
    assert outcome.code == FULL, outcome.err
    assert "no space left on /small: 0 MB are free" in outcome.err
    assert files(large.clean, "/small") == before


def test_a_full_cache_is_named_with_the_variable_that_moves_it(large: DriverRuns) -> None:
    large.clean.memory_disk("/cache", "300k")
    outcome = large.run(*large.command(), XDG_CACHE_HOME="/cache").plain()
    assert outcome.code == FULL, outcome.err
    assert "no space left on /cache (builds in /cache/torchml-install): " in outcome.err
    assert "set XDG_CACHE_HOME to a folder on another disk" in outcome.err
    # With enough space, the same command continues.
    settings = {"XDG_CACHE_HOME": "/cache", "KIM_API_MODEL_DRIVERS_DIR": "/roomy"}
    large.clean.administer("mount -o remount,size=8m $root/cache")
    assert large.run(*large.command(), **settings).code == 0
    assert len(files(large.clean, "/roomy")) == 2


def test_full_temporary_files_are_told_before_anything_is_built(large: DriverRuns) -> None:
    large.clean.memory_disk("/temporary", "1m")
    outcome = large.run(*large.command(), TMPDIR="/temporary").plain()
    assert outcome.code == FULL, outcome.err
    assert "/temporary, where compilers put temporary files, has 1 MB left" in outcome.err
    assert "set TMPDIR to a folder with more" in outcome.err


def test_a_receipt_that_finds_no_room_is_no_failure(driver: DriverRuns) -> None:
    driver.clean.memory_disk("/receipts", "4k")
    outcome = driver.run(*driver.command(), XDG_DATA_HOME="/receipts").plain()
    assert outcome.code == 0, outcome.err
    assert "receipt" in outcome.err


def test_an_environment_file_is_written_whole_or_not_at_all(driver: DriverRuns) -> None:
    driver.clean.memory_disk("/small", "8k")
    before = "# written by `torchml-install env`, and as it was"
    driver.clean.path("/small/env.sh").write_text(before)
    driver.clean.administer("head -c 9999 /dev/zero > $root/small/filler || true")
    outcome = driver.run("env", "-o", "/small/env.sh").plain()
    assert outcome.code == FULL, outcome.err
    assert "Cannot write /small/env.sh: no space left on /small: 0 MB are free" in outcome.err
    assert files(driver.clean, "/small") == ["env.sh", "filler"]
    assert driver.clean.path("/small/env.sh").read_text() == before


@pytest.fixture
def archive(driver: DriverRuns) -> Path:
    """A libtorch of 9 MB, in an archive of some kB."""
    root = make_torch(driver.folder / "tree/libtorch")
    write(root / "lib/libtorch_cpu.so", "\0" * 9_000_000)
    path = driver.folder / "libtorch.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for file in sorted(root.rglob("*")):
            made.write(file, file.relative_to(root.parent))
    return path


def test_a_libtorch_that_does_not_fit_is_not_begun(driver: DriverRuns, archive: Path) -> None:
    driver.clean.memory_disk("/small", "6m")
    command = ("deps", "--libtorch", str(archive))
    outcome = driver.run(*command, "--prefix", "/small/deps").plain()
    assert outcome.code == FULL, outcome.err
    assert "no space left on /small: 6 MB are free, but 9 MB are needed." in outcome.err
    assert files(driver.clean, "/small") == []
    outcome = driver.run(*command, XDG_CACHE_HOME="/small").plain()
    assert outcome.code == FULL, outcome.err
    assert "(builds in /small/torchml-install): 6 MB are free, but 9 MB are needed" in outcome.err
    driver.clean.administer("mount -o remount,size=20m $root/small")
    # pip would also fetch other packages, which does not matter here.
    driver.run(*command, "--prefix", "/small/deps", PIP_NO_INDEX="1").plain()
    assert driver.clean.path("/small/deps/libtorch/lib/libtorch_cpu.so").is_file()


def test_a_download_that_does_not_fit_leaves_nothing(driver: DriverRuns, archive: Path) -> None:
    driver.clean.memory_disk("/small", "16k")
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    words = ("deps", "--libtorch", archive.as_uri(), "--sha256", digest)
    outcome = driver.run(*words, XDG_CACHE_HOME="/small").plain()
    assert outcome.code == FULL, outcome.err
    assert "no space left on /small (builds in /small/torchml-install)" in outcome.err
    assert [name for name in files(driver.clean, "/small") if not name.endswith(".lock")] == []


def test_a_python_environment_that_is_full_is_named(driver: DriverRuns) -> None:
    """With the real pip and a synthetic package of a usual size."""
    clean = driver.clean
    clean.memory_disk("/srv/environment", "70m")
    clean.administer(f'cp -a "$root{ENVIRONMENT}/." $root/srv/environment')
    large = {"vesin/__init__.py": b"", "vesin/data": bytes(90_000_000)}
    wheel = make_wheel(driver.folder / "wheels", "vesin", "0.9", large)
    settings = {
        **driver.environment,
        **{
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(wheel.parent),
            "PIP_CONFIG_FILE": "/dev/null",
        },
    }
    words = ["/srv/environment/bin/python", "-m", "torchml_installer", "deps", "--with", "vesin"]
    outcome = clean.run(*words, environment=settings).plain()
    assert outcome.code == FULL, outcome.err
    assert "no space left on /srv/environment (Python packages in /srv/environment)" in outcome.err
    assert "use a Python environment on another disk" in outcome.err
    assert "deps-packages.log" in outcome.err
    # pip leaves its unpacked files behind, but does not treat them as a package.
    assert not [name for name in files(clean, "/srv/environment") if "vesin-" in name]
    clean.administer("mount -o remount,size=200m $root/srv/environment")
    assert clean.run(*words, environment=settings).plain().code == 0


@pytest.mark.parametrize("small", ["collection", "TMPDIR"])
def test_a_model_that_finds_no_room_is_not_half_installed(
    driver: DriverRuns, tmp_path: Path, small: str
) -> None:
    clean = driver.clean
    if not clean.path("/usr/libexec/kim-api").exists() and not list(
        clean.path("/usr/lib").glob("*/libexec/kim-api")
    ):
        pytest.skip("there is no KIM-API on this machine")
    file = make_torchscript(driver.folder / "Model.pt")
    options = PackOptions(file=file, elements=("Si",), cutoff=3.0, name="Model", output=tmp_path)
    folder = pack(options).folder
    clean.memory_disk("/small", "16k")
    if small != "collection":  # the compiler's temporary files need a few kilobytes only
        clean.administer("head -c 16384 /dev/zero > $root/small/torchml-install-others || true")
    settings = {**driver.environment, "KIM_API_PORTABLE_MODELS_DIR": "/small/models"}
    if small != "collection":
        settings |= {small: "/small", "KIM_API_PORTABLE_MODELS_DIR": str(tmp_path / "models")}
    del settings["KIM_API_CMAKE_PREFIX_DIR"]
    words = ("model", "install", str(folder), "--collection", "environment")
    outcome = clean.install(*words, environment=settings).plain()
    assert outcome.code == FULL, outcome.err
    assert "no space left on /small" in outcome.err
    if small != "collection":
        assert f"set {small} to a folder on another disk" in outcome.err
    assert not [name for name in files(clean, "/small") if "torchml-install" not in name]
    assert list(tmp_path.glob("models/Model")) == []


def test_quotas_inodes_and_what_nobody_named_are_told_apart(
    driver: DriverRuns, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    said = f"cc1plus: error writing to {tmp_path}/x.s: Disk quota exceeded"
    error = disk.full("compiling failed", said=said, log=Path("/log"))
    assert "compiling failed: your quota on " in error.message
    assert error.message.endswith("\n  log: /log")
    assert "quota -s" in error.remedy
    assert "set XDG_CACHE_HOME" in error.remedy
    # Many file systems on clusters limit the number of files.
    driver.clean.memory_disk("/few", "8m", options=",nr_inodes=12")
    outcome = driver.run(*driver.command(), XDG_CACHE_HOME="/few").plain()
    assert outcome.code == FULL, outcome.err
    assert "no more files fit" in outcome.err
