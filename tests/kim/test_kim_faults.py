"""If anything fails once (a call of KIM-API, an allocation, reading a file, the simulator's input),
the routine reports the failure and its reason, leaks nothing, the model works at the next call, and
other models are unaffected.
"""

from __future__ import annotations

import itertools
import os
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.kim.leaks import leaks_of_ours
from tests.support import DRIVER, DriverEnvironment, compiled_models, install_kim_model, run
from tests.support.descriptor_cases import descriptor_file
from tests.support.descriptor_models import TanhNetwork
from tests.support.edge_models import Directional
from tests.support.graph_models import Messages
from tests.support.structures import CUTOFF
from tests.support.torch_models import Springs, SpringsInMuchMemory, parameter_text, torchscript

pytestmark = pytest.mark.sanitize

#: "memory": each of the driver's allocations fails once; "memory_end": all later ones fail, too.
KINDS = ("call", "file", "short_read", "memory", "memory_end", "mistake")
SOURCES = Path(__file__).parent / "faults"


@dataclass(frozen=True)
class Model:
    """make: the model file; cutoff: a different cutoff to set, or the model's own."""

    make: Callable[[], bytes]
    cutoff: float
    parameters: dict[str, str] = field(default_factory=dict)
    suffix: str = "pt"


MODELS = {
    "neighbours": Model(lambda: torchscript(Springs()), 2.5),
    "kept memory": Model(lambda: torchscript(SpringsInMuchMemory()), 2.5),
    "graphs": Model(
        lambda: torchscript(Messages(2)), 2.5, {"preprocessing": "Graph", "cutoff": "3.0\n3"}
    ),
    "edges": Model(
        lambda: torchscript(Directional()), 2.5, {"preprocessing": "Edges", "cutoff": "3.0\n3"}
    ),
    "descriptors": Model(
        lambda: torchscript(TanhNetwork(15)),
        5.0,
        {"preprocessing": "Descriptor", "cutoff": "5.0", "descriptor": "SymmetryFunctions"},
    ),
    "compiled": Model(
        lambda: compiled_models.stillinger_weber().read_bytes(), 2.5, {"cutoff": str(CUTOFF)}, "pt2"
    ),
}


@pytest.fixture(scope="session")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("faults") / "simulator"
    kim = shlex.split(run(["pkg-config", "--cflags", "--libs", "libkim-api"]))
    # -rdynamic: the driver must find the program's failing functions before the real ones
    options = ["-std=c++17", "-g", "-Wall", "-Wextra", "-Werror", "-rdynamic", "-o", program]
    run(["c++", *options, *sorted(SOURCES.glob("*.cpp")), *kim, "-ldl"])
    return program


@pytest.fixture(scope="session")
def models(
    driver_environment: DriverEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    work = tmp_path_factory.mktemp("models")
    names = {}
    for key, model in MODELS.items():
        names[key] = f"Faults_{key.replace(' ', '_')}__MO_000000000000_000"
        file = f"model.{model.suffix}"
        files = {
            "model.param": parameter_text(file, **model.parameters).encode(),  # type: ignore[arg-type]
            file: model.make(),
        }
        if "descriptor" in model.parameters:
            files["descriptor.dat"] = descriptor_file("every_kind").read_bytes()
        install_kim_model(driver_environment.folder, names[key], files, work)
    return names


def cases() -> Iterator[Any]:
    """Kind, model and stride, as there are hundreds of allocations."""
    for kind, model in itertools.product(KINDS, MODELS):
        if kind in ("memory", "memory_end"):
            yield pytest.param(kind, model, 1, id=f"{kind}-{model}", marks=pytest.mark.slow)
            yield pytest.param(kind, model, 7, id=f"{kind}-{model}-each seventh")
        else:
            yield pytest.param(kind, model, 1, id=f"{kind}-{model}")


@pytest.mark.parametrize(("kind", "model", "stride"), [*cases()])
def test_one_fault_is_reported_and_does_no_harm(
    kind: str,
    model: str,
    stride: int,
    simulator: Path,
    models: dict[str, str],
    driver_environment: DriverEnvironment,
    tmp_path: Path,
) -> None:
    env = {**os.environ, **driver_environment.env, "OMP_NUM_THREADS": "1"}
    if "TORCHML_SANITIZE" in env:  # python -m tests.sanitize: this whole process is instrumented
        # Closing a compiled model's library frees its thread-local variables; a sanitizer that
        # keeps a list of them still reads them, and crashes.
        env["ASAN_OPTIONS"] += ":detect_leaks=1:fast_unwind_on_malloc=0:intercept_tls_get_addr=0"
        env["LSAN_OPTIONS"] = f"suppressions={SOURCES / 'leaks.supp'}:print_suppressions=0"
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    env["TMPDIR"] = str(temporary)
    names = (models["neighbours"], models[model])
    command = [simulator, kind, *names, str(MODELS[model].cutoff), str(stride)]
    done = subprocess.run(
        [str(word) for word in command], env=env, cwd=tmp_path, capture_output=True, text=True
    )
    leaks = "ERROR: LeakSanitizer" in done.stderr
    assert re.search(r"^[1-9]\d* (faults|mistakes)", done.stdout), done.stdout + done.stderr
    assert leaks_of_ours(done.stderr) == []
    assert leaks or done.returncode == 0, done.stdout + done.stderr
    assert "ERROR: AddressSanitizer" not in done.stderr
    assert "runtime error:" not in done.stderr
    assert not list(temporary.iterdir())


def test_leaks_of_kim_are_told_from_others() -> None:
    block = """\
Indirect leak of 24 byte(s) in 1 object(s) allocated from:
    #0 0x7fb7df0b89cf in __interceptor_malloc ../../../../src/libsanitizer/asan_malloc_linux.cpp:69
    #1 0x5569f18b4c6d in allocate /tests/kim/faults/faults.cpp:112
    #2 0x7fb7de53fc29 in std::vector<int, std::allocator<int> >::reserve(unsigned long) /vector:3
    #3 0x7fb7df79cc62 {caller}
    #4 0x7fb7df800c65 in KIM::ModelImplementation::Create(int) (/usr/lib/libkim-api.so.2+0xc65)

"""
    kims = block.format(
        caller="in KIM::Collections::Create(int) (/usr/lib/libkim-api.so.2+0x62c62)"
    )
    ours = block.format(
        caller="in torchml::unpack(int) /driver_src/src/runtime/torchscript/archive.cpp:3"
    )
    nobodys = block.format(caller="(<unknown module>)")
    assert leaks_of_ours(kims + ours + kims + nobodys) == [
        ours.strip() + "\n",
        nobodys.strip() + "\n",
    ]


def symbols(library: Path, *options: str) -> set[str]:
    lines = run(["nm", "--dynamic", *options, library]).splitlines()
    return {line.split()[-1].split("@")[0] for line in lines}


def test_every_call_of_kim_that_can_fail_is_among_them(
    simulator: Path, driver_environment: DriverEnvironment
) -> None:
    """KIM's routines that return an error code, according to KIM's headers."""
    library = driver_environment.folder / DRIVER / "libkim-api-model-driver.so"
    called = sorted(symbols(library, "--undefined-only"))
    names = run(["c++filt", *called]).splitlines()
    include = Path(run(["pkg-config", "--variable=includedir", "libkim-api"]).strip())
    failing = {}
    for symbol, name in zip(called, names, strict=True):
        routine = re.match(r"KIM::(\w+)::(\w+)\(", name)
        if routine is None:
            continue
        (header,) = include.rglob(f"KIM_{routine[1]}.hpp")
        if re.search(rf"\bint {routine[2]}\(", header.read_text()):
            failing[symbol] = name
    assert len(failing) > 8
    wrapped = symbols(simulator, "--defined-only")
    assert not [name for symbol, name in failing.items() if symbol not in wrapped]
