"""Fixtures for the installer's tests."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.installer.saved_models import written_by_torch
from tests.installer.synthetic_machines import REPOSITORY, Machine
from torchml_installer.errors import PythonModuleError


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """This machine's programs, but a home, caches and collections of its own."""
    folder = tmp_path / "work"
    folder.mkdir()
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    return Machine(
        folder,
        {
            **kept,
            "HOME": str(tmp_path / "home"),
            "PYTHONPATH": os.pathsep.join(
                filter(None, (str(REPOSITORY), os.environ.get("PYTHONPATH")))
            ),
            "XDG_CACHE_HOME": str(tmp_path / "cache"),
            "XDG_DATA_HOME": str(tmp_path / "data"),
            "KIM_API_MODEL_DRIVERS_DIR": str(tmp_path / "collection"),
            "KIM_API_PORTABLE_MODELS_DIR": str(tmp_path / "collection"),
        },
    )


@pytest.fixture
def own_temporaries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but tmp_path holds temporary folders: /tmp has those of other runs, and they stay."""
    monkeypatch.setattr(
        "torchml_installer.support.paths._plain_temporary_parents", lambda *_: [tmp_path]
    )


@pytest.fixture(autouse=True)
def _without_the_python_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """Synthetic models cannot be evaluated, and packing asks for that only where the module is."""

    def absent(*_arguments: object, **_options: object) -> object:
        raise PythonModuleError("The driver's Python module is not installed.", "Install it.")

    monkeypatch.setattr("torchml_installer.models.engine.answer", absent)


@pytest.fixture(scope="session")
def saved() -> Path:
    """Files as torch writes them; nothing may be changed there."""
    return written_by_torch()


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> Callable[[Mapping[str, str]], None]:
    """Removes the variables that steer detection; the returned function sets some."""
    for name in (
        "TORCH_ROOT",
        "Torch_ROOT",
        "TorchScatter_ROOT",
        "TorchSparse_ROOT",
        "LIBDESCRIPTOR_ROOT",
        "CONDA_PREFIX",
        "VIRTUAL_ENV",
        "KIM_API_CMAKE_PREFIX_DIR",
        "CXX",
        "TORCHML_SANITIZE",
        "TORCHML_UNITY",
        "TORCHML_WERROR",
    ):
        monkeypatch.delenv(name, raising=False)

    def set_variables(values: Mapping[str, str]) -> None:
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    return set_variables
