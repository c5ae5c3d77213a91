"""Fixtures that all tests share: the driver and the example model, installed as by a user."""

from __future__ import annotations

import os

# Before torch is imported: the suite's systems are small, and several ranks run at once.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import EXAMPLE, KEPT, DriverEnvironment, run, torchml_install
from tests.support.driver_module import install_driver
from tests.support.example_model import CUTOFF, EXAMPLE_MODEL
from torchml_installer.errors import LibdescriptorUnusableError


def pytest_configure() -> None:
    """Restores SIGINT: background programs ignore it, and so would those that tests start."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _receipts_of_their_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keeps what tests install out of the user's receipts for `torchml-install uninstall`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
        yield


@pytest.fixture(autouse=True)
def _default_type_is_left_as_it_was() -> Iterator[None]:
    """Checks that a test restores torch's default type, since other tests share the process."""
    yield
    torch = sys.modules.get("torch")
    if torch is not None and torch.get_default_dtype() != torch.float32:
        left = torch.get_default_dtype()
        torch.set_default_dtype(torch.float32)
        pytest.fail(f"torch's default type is {left} after this test.")


@pytest.fixture(scope="session")
def driver_environment(tmp_path_factory: pytest.TempPathFactory) -> DriverEnvironment:
    """Builds the driver and its Python module, once; a build that is kept takes seconds."""
    folder = tmp_path_factory.mktemp("collection")
    work = tmp_path_factory.mktemp("packing")
    env = {
        **os.environ,
        "KIM_API_MODEL_DRIVERS_DIR": str(folder),
        "KIM_API_PORTABLE_MODELS_DIR": str(folder),
    }
    install_driver(env, work)
    run([sys.executable, EXAMPLE / "make_model.py", "--output", work / "SW_Si.pt"])
    options = ("--elements", "Si", "--cutoff", str(CUTOFF), "--name", EXAMPLE_MODEL)
    torchml_install("model", "pack", work / "SW_Si.pt", *options, env=env, cwd=work)
    packed = work / EXAMPLE_MODEL
    torchml_install("model", "install", packed, "--collection", "environment", env=env, cwd=work)
    return DriverEnvironment(folder, env, packed)


@pytest.fixture(scope="session")
def libdescriptor_root() -> Path:
    """libdescriptor, installed by our command and kept for the next run."""
    command = [sys.executable, "-m", "torchml_installer", "deps", "--with", "libdescriptor"]
    done = subprocess.run(
        [*command, "--prefix", str(KEPT), "--json"], capture_output=True, text=True, check=False
    )
    if done.returncode == LibdescriptorUnusableError.exit_code:
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stderr
    return Path(json.loads(done.stdout)["environment"]["LIBDESCRIPTOR_ROOT"])


@pytest.fixture
def in_collection(
    driver_environment: DriverEnvironment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> DriverEnvironment:
    """This process finds driver and models through KIM, and writes kim.log into tmp_path."""
    for name in ("KIM_API_MODEL_DRIVERS_DIR", "KIM_API_PORTABLE_MODELS_DIR"):
        monkeypatch.setenv(name, str(driver_environment.folder))
    monkeypatch.chdir(tmp_path)
    return driver_environment
