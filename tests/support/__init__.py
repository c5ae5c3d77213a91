"""Helpers that run programs and install models."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.keeping import locked

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "stillinger_weber"
DRIVER = "TorchML__MD_173118614730_001"

#: The folder for caches, and for results that take long to make and are kept between runs.
CACHES = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
KEPT = CACHES / "torchml-tests"

#: Variables that programs with a separate environment also need: only those of the sanitizers with
#: which the driver was built (python -m tests.sanitize).
SANITIZER_SETTINGS = (
    {name: os.environ[name] for name in ("LD_PRELOAD", "ASAN_OPTIONS", "UBSAN_OPTIONS")}
    if "TORCHML_SANITIZE" in os.environ
    else {}
)


@dataclass(frozen=True)
class DriverEnvironment:
    """Driver and example model in a separate collection.

    folder: the collection. KIM also searches the current directory: a program that runs there needs
    no environment. env: a complete environment in which KIM finds the collection anywhere.
    packed: the example's portable-model folder.
    """

    folder: Path
    env: Mapping[str, str]
    packed: Path


def run(command: Sequence[str | Path], **options: object) -> str:
    """Runs a program, which must succeed; returns its output, including errors."""
    done = subprocess.run(  # type: ignore[call-overload]
        [str(word) for word in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        **options,
    )
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}"
    return str(done.stdout)


def torchml_install(*arguments: str | Path, env: Mapping[str, str], cwd: Path) -> str:
    return run([sys.executable, "-m", "torchml_installer", *arguments], env=dict(env), cwd=cwd)


def without_preloaded() -> dict[str, str]:
    """The environment for tools: without preloaded sanitizers, since make has findings."""
    return {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}


def build_driver_tree(folder: Path, targets: Sequence[str], **variables: str | Path) -> Path:
    """Builds targets of driver_src with CMake, without installing; kept for the next run.

    Returns the build folder, one for each checkout and torch.
    """
    import torch

    checkout = hashlib.sha256(str(ROOT).encode()).hexdigest()[:8]
    build = folder / f"{checkout}-{torch.__version__}"
    values = {
        "TORCHML_WERROR": "ON",
        "TORCH_ROOT": Path(torch.__file__).parent,
        "Python_EXECUTABLE": sys.executable,
        "KIM_API_INSTALL_COLLECTION": "USER",
        **variables,
    }
    defined = [f"-D{name}={value}" for name, value in values.items()]
    parallel = ["--parallel", str(os.cpu_count() or 1)]
    with locked(build):
        env = without_preloaded()
        run(["cmake", "-S", ROOT / "driver_src", "-B", build, *defined], env=env)
        run(["cmake", "--build", build, "--target", *targets, *parallel], env=env)
    return build


_KIM_ITEM = """\
cmake_minimum_required(VERSION 3.10)
find_package(KIM-API-ITEMS 2.2 REQUIRED CONFIG)
kim_api_items_setup_before_project(ITEM_TYPE "portableModel")
project({name})
kim_api_items_setup_after_project(ITEM_TYPE "portableModel")
add_kim_api_model_library(NAME "{name}" DRIVER_NAME "{driver}" PARAMETER_FILES {files})
"""


def kim_item(name: str, files: Sequence[str]) -> str:
    """The CMakeLists.txt of a portable model for the driver."""
    listed = " ".join(f'"{file_name}"' for file_name in files)
    return _KIM_ITEM.format(name=name, driver=DRIVER, files=listed)


def install_kim_model(folder: Path, name: str, files: Mapping[str, bytes], work: Path) -> None:
    """Installs a portable model with any contents, valid or not, without the installer's checks."""
    source = work / name
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir(parents=True)
    for file_name, contents in files.items():
        (source / file_name).write_bytes(contents)
    (source / "CMakeLists.txt").write_text(kim_item(name, list(files)))
    build = source / "build"
    prefix = f"-DKIM_API_PORTABLE_MODEL_INSTALL_PREFIX={folder}"
    env = without_preloaded()
    run(["cmake", "-S", source, "-B", build, "-DKIM_API_INSTALL_COLLECTION=USER", prefix], env=env)
    run(["cmake", "--build", build], env=env)
    run(["cmake", "--install", build], env=env)
