"""Whatever fails once, a call of KIM-API, an allocation, the reading of a file, or what a simulator
hands over: the routine reports failure and says why, nothing stays behind, the model works when it
is asked again, and other models go on as before.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.descriptor_cases import descriptor_file
from tests.descriptor_models import TanhNetwork
from tests.graph_models import Messages
from tests.support import DriverEnvironment, install_kim_model, run
from tests.torch_models import Springs, SpringsInMuchMemory, parameter_text, torchscript

#: "memory": each allocation of the driver's fails once; "memory_end": so do all after it.
KINDS = ("call", "file", "short_read", "memory", "memory_end", "mistake")
SOURCES = Path(__file__).parent / "faults"
MODELS: dict[str, tuple[Callable[[], torch.nn.Module], dict[str, str]]] = {
    "neighbours": (Springs, {}),
    "kept memory": (SpringsInMuchMemory, {}),
    "graphs": (lambda: Messages(2), {"preprocessing": "Graph", "cutoff": "3.0\n3"}),
    "descriptors": (
        lambda: TanhNetwork(15),
        {"preprocessing": "Descriptor", "cutoff": "5.0", "descriptor": "SymmetryFunctions"},
    ),
}


@pytest.fixture(scope="session")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("faults") / "simulator"
    kim = shlex.split(run(["pkg-config", "--cflags", "--libs", "libkim-api"]))
    # -rdynamic: the driver has to find the functions that fail in the program, before the real ones
    options = ["-std=c++17", "-g", "-Wall", "-Wextra", "-Werror", "-rdynamic", "-o", program]
    run(["c++", *options, *sorted(SOURCES.glob("*.cpp")), *kim, "-ldl"])
    return program


@pytest.fixture(scope="session")
def models(
    driver_environment: DriverEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    work = tmp_path_factory.mktemp("models")
    names = {}
    for key, (module, parameters) in MODELS.items():
        names[key] = f"Faults_{key.replace(' ', '_')}__MO_000000000000_000"
        files = {
            "model.param": parameter_text("model.pt", **parameters).encode(),  # type: ignore[arg-type]
            "model.pt": torchscript(module()),
        }
        if "descriptor" in parameters:
            files["descriptor.dat"] = descriptor_file("every_kind").read_bytes()
        install_kim_model(driver_environment.folder, names[key], files, work)
    return names


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("kind", KINDS)
def test_one_fault_is_reported_and_does_no_harm(
    kind: str,
    model: str,
    simulator: Path,
    models: dict[str, str],
    driver_environment: DriverEnvironment,
    tmp_path: Path,
) -> None:
    env = {**os.environ, **driver_environment.env, "OMP_NUM_THREADS": "1"}
    if "TORCHML_SANITIZE" in env:  # python -m tests.sanitize: all of this process is ours
        env["ASAN_OPTIONS"] += ":detect_leaks=1"
        env["LSAN_OPTIONS"] = f"suppressions={SOURCES / 'leaks.supp'}:print_suppressions=0"
    run([simulator, kind, models["neighbours"], models[model]], env=env, cwd=tmp_path)
