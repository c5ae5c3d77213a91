"""Fixtures of the Python module's tests."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.support import KEPT, ROOT, DriverEnvironment
from tests.support.keeping import kept

SOURCES = ("torch-scatter==2.1.2", "torch-sparse==0.6.18")


@pytest.fixture(scope="session")
def sparse_tensor_model(
    driver_environment: DriverEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A model file with PyG's own SparseTensor code; kept for the next run.

    Only the Python half of torch_scatter and torch_sparse is fetched; nothing is compiled.
    """
    import torch

    def make(made: Path) -> None:
        work = tmp_path_factory.mktemp("originals")
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        options = ["--no-build-isolation", "--no-binary", ":all:", "--dest", str(work)]
        subprocess.run([*pip, *options, *SOURCES], check=True)
        for archive in work.glob("*.tar.gz"):
            with tarfile.open(archive) as files:
                files.extractall(work, filter="data")
        packages = work / "packages"
        for package in ("torch_scatter", "torch_sparse"):
            (found,) = work.glob(f"{package}-*/{package}")
            shutil.copytree(found, packages / package)
        command = [sys.executable, "-m", "tests.support.make_sparse_tensor_model", packages, made]
        subprocess.run([str(word) for word in command], check=True, cwd=ROOT)

    return kept(KEPT / f"sparse-tensor-{torch.__version__}.pt", make)
