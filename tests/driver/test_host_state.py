"""A Python program that uses torch itself keeps its settings; they affect no model's results."""

from __future__ import annotations

import contextlib
import locale
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.support.edge_models import Directional, WithEdgeGradient, write_edge_model
from tests.support.graph_models import Messages, write_graph_model
from tests.support.structures import cluster
from tests.support.torch_models import Springs, write_model

pytestmark = pytest.mark.usefixtures("driver_environment")


def settings() -> dict[str, Any]:
    """The program's settings of torch and of the process."""
    return {
        "threads": torch.get_num_threads(),
        "threads of another": of_another_thread(torch.get_num_threads),
        "type": torch.get_default_dtype(),
        "type on another thread": of_another_thread(torch.get_default_dtype),
        "gradients": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "anomalies": torch.is_anomaly_enabled(),
        "random numbers": torch.get_rng_state().tolist(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "precision": torch.get_float32_matmul_precision(),
        "optimised": torch._C._get_graph_executor_optimize(),
        "profiling": torch._C._jit_set_profiling_executor(True),  # returns the old setting
        "floating point": np.geterr(),
        "random numbers of NumPy": np.random.get_state()[1].tolist(),  # type: ignore[index]
        "locale": locale.setlocale(locale.LC_ALL),
        "folder": str(Path.cwd()),
        "environment": dict(os.environ),
        "signals": [signal.getsignal(number) for number in signal.valid_signals()],
        "tiny": float(np.float64(5e-324) * np.float64(1.0)),
    }


def of_another_thread(ask: Callable[[], Any]) -> Any:
    answer = []
    thread = threading.Thread(target=lambda: answer.append(ask()))
    thread.start()
    thread.join()
    return answer[0]


@contextlib.contextmanager
def plain() -> Iterator[None]:
    yield


@contextlib.contextmanager
def of_another_type() -> Iterator[None]:
    torch.set_default_dtype(torch.float16)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@contextlib.contextmanager
def on_three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        yield
    finally:
        torch.set_num_threads(before)


HOSTS: dict[str, Callable[[], Any]] = {
    "plain": plain,
    "another type": of_another_type,
    "three threads": on_three_threads,
    "no gradients": torch.no_grad,
    "inference mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "anomaly detection": lambda: torch.autograd.set_detect_anomaly(True),
}
MODELS: dict[str, Callable[[Path], Path]] = {
    "neighbours": lambda folder: write_model(folder, Springs()),
    "single": lambda folder: write_model(folder, Springs().float()),
    "graphs": lambda folder: write_graph_model(folder, Messages()),
    "single graphs": lambda folder: write_graph_model(folder, Messages().float()),
    "edges": lambda folder: write_edge_model(folder, Directional()),
    "single edges": lambda folder: write_edge_model(folder, Directional().float()),
    "edges with their gradient": lambda folder: write_edge_model(
        folder, WithEdgeGradient(), returns_forces=True, settings="returns_edge_gradient True"
    ),
}


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("model", MODELS)
def test_a_programs_settings_of_torch_stay_and_change_no_result(
    model: str, host: str, tmp_path: Path
) -> None:
    import torchml_driver

    folder = MODELS[model](tmp_path / "model")
    atoms = cluster()
    arguments = (atoms.get_chemical_symbols(), atoms.positions)
    expected = torchml_driver.Potential(folder).compute(*arguments)
    with HOSTS[host]():
        before = settings()
        potential = torchml_driver.Potential(folder)
        created = settings()
        found = potential.compute(*arguments)
        computed = settings()
        del potential
        removed = settings()
    assert created == before
    assert computed == before
    assert removed == before
    assert found.energy == pytest.approx(expected.energy, rel=1e-13)
    np.testing.assert_allclose(found.forces, expected.forces, rtol=0, atol=1e-12)


def test_settings_come_back_when_a_model_fails(tmp_path: Path) -> None:
    import torchml_driver

    from tests.support.torch_models import Complains

    potential = torchml_driver.Potential(write_model(tmp_path / "model", Complains()))
    with on_three_threads():
        before = settings()
        with pytest.raises(torchml_driver.Error):
            potential.compute(["Si", "Si"], [[0, 0, 0], [2, 0, 0]])
        (tmp_path / "broken").mkdir()
        with pytest.raises(torchml_driver.Error):
            torchml_driver.Potential(tmp_path / "broken")
        assert settings() == before


_LATER_THREADS = """
import sys, threading
import numpy as np
import torch, torchml_driver

places = np.random.default_rng(1).uniform(0, 12, (200, 3))
potential = torchml_driver.Potential(sys.argv[1])
seen = []
def work():
    first = torch.get_num_threads()
    torch.set_num_threads(first + 1)
    potential.compute(["Si"] * len(places), places)
    seen.append((first, torch.get_num_threads()))
for _ in range(2):
    thread = threading.Thread(target=work); thread.start(); thread.join()
print(seen)
"""


def test_threads_that_start_later_have_the_programs_number(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model", Springs())
    env = {**os.environ, "KIM_MODEL_NUM_THREADS": "1", "OMP_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", _LATER_THREADS, str(folder)],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "[(2, 3), (3, 4)]\n", done.stdout + done.stderr
