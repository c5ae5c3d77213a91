"""The environment or an argument chooses the device; tests/unit/devices.cpp tests all values."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support import DriverEnvironment


def load(driver_environment: DriverEnvironment, variable: str) -> subprocess.CompletedProcess[str]:
    """Loads the example in a separate process, with a device in the environment."""
    program = (
        "import sys, torchml_driver\n"
        "try:\n"
        "    print(torchml_driver.Potential(sys.argv[1]).device)\n"
        "except torchml_driver.Error as problem:\n"
        "    print(problem); sys.exit(3)\n"
    )
    return subprocess.run(
        [sys.executable, "-c", program, str(driver_environment.packed)],
        env={**os.environ, "KIM_MODEL_EXECUTION_DEVICE": variable},
        capture_output=True,
        text=True,
        check=False,
    )


def has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()


def test_the_environment_chooses_the_cpu(driver_environment: DriverEnvironment) -> None:
    assert load(driver_environment, "cpu").stdout.strip() == "cpu"


def test_a_gpu_that_is_not_there_is_an_error_that_says_why(
    driver_environment: DriverEnvironment,
) -> None:
    if has_cuda():
        pytest.skip("there is a GPU")
    done = load(driver_environment, "cuda")
    assert done.returncode == 3, done.stderr
    assert "KIM_MODEL_EXECUTION_DEVICE is 'cuda', but there is no such device" in done.stdout
    assert "built without support" in done.stdout or "driver" in done.stdout


def test_the_argument_wins_over_the_environment(
    driver_environment: DriverEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torchml_driver

    monkeypatch.setenv("KIM_MODEL_EXECUTION_DEVICE", "tpu")
    potential = torchml_driver.Potential(driver_environment.packed, device="cpu")
    assert potential.device == "cpu"
    with pytest.raises(torchml_driver.Error, match="'tpu'"):
        torchml_driver.Potential(driver_environment.packed)
