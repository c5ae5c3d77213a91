"""An unusable model makes a routine fail and writes a line into KIM's log; it never ends the
simulator.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support import DriverEnvironment, install_kim_model
from tests.support.kim_simulator import Particles, Simulator
from tests.support.structures import CUTOFF, EXAMPLE_MODEL, cluster, dimer, isolated_atom
from tests.support.torch_models import (
    Complains,
    EnergyWithoutGradient,
    NotFinite,
    NumberArgument,
    OtherArguments,
    Springs,
    SpringsTotal,
    WrongForcesShape,
    WrongShape,
    parameter_text,
    torchscript,
)

pytestmark = pytest.mark.sanitize

NUMBERS = itertools.count(1)


def log_errors(folder: Path) -> list[str]:
    """The driver's error messages in kim.log."""
    entries = re.findall(r"\* error \* [^\n]*", (folder / "kim.log").read_text())
    return [entry for entry in entries if "TorchML:" in entry]


@dataclass(frozen=True)
class Broken:
    """A model's parameter file and model file (None: missing), and what the log must name."""

    parameters: Callable[[], bytes]
    model: Callable[[], bytes] | None
    says: tuple[str, ...]


def text(**changes: object) -> Callable[[], bytes]:
    return lambda: parameter_text("model.pt", **changes).encode()  # type: ignore[arg-type]


def sound() -> bytes:
    return torchscript(Springs())


def state_dictionary() -> bytes:
    import io

    file = io.BytesIO()
    torch.save({"weight": torch.ones(3)}, file)
    return file.getvalue()


def of(module: type[torch.nn.Module]) -> Callable[[], bytes]:
    return lambda: torchscript(module())


# KIM's build cannot embed a file without bytes, so the empty ones have a line end.
BROKEN = {
    "empty parameter file": Broken(lambda: b"\n", sound, ("model.param", "empty")),
    "comments only": Broken(lambda: b"# elements\n\n", sound, ("model.param", "ends before")),
    "truncated parameter file": Broken(
        lambda: text()()[:60], sound, ("model.param", "ends before", "cutoff")
    ),
    "binary parameter file": Broken(
        lambda: bytes(range(256)) * 4, sound, ("model.param", "not a text file")
    ),
    "negative cutoff": Broken(text(cutoff=-3.0), sound, ("model.param", "cutoff", "-3.0")),
    "cutoff without number": Broken(text(cutoff="far"), sound, ("model.param", "cutoff", "far")),
    "infinite cutoff": Broken(text(cutoff="inf"), sound, ("model.param", "cutoff")),
    "unknown element": Broken(text(elements="1\nXx"), sound, ("model.param", "'Xx'")),
    "fewer elements than announced": Broken(text(elements="2\nSi"), sound, ("model.param", "None")),
    "unknown preprocessing": Broken(
        text(preprocessing="Magic"), sound, ("model.param", "preprocessing", "Magic")
    ),
    "model file missing": Broken(text(), None, ("model.param", "model.pt")),
    "model file empty": Broken(text(), lambda: b"\n", ("model.pt",)),
    "model file truncated": Broken(text(), lambda: sound()[: len(sound()) // 2], ("model.pt",)),
    "model file of text": Broken(text(), lambda: b"hello\n" * 100, ("model.pt",)),
    "state dictionary": Broken(text(), state_dictionary, ("model.pt", "TorchScript")),
    "other arguments": Broken(text(), of(OtherArguments), ("model.pt", "forward", "positions")),
    "argument is no tensor": Broken(text(), of(NumberArgument), ("model.pt", "forward", "float")),
}


def install(environment: DriverEnvironment, broken: Broken, work: Path) -> str:
    """Returns the name, a new one each time: a process keeps a library that it has opened."""
    name = f"TorchML_broken__MO_{next(NUMBERS):012d}_000"
    files = {"model.param": broken.parameters()}
    if broken.model is not None:
        files["model.pt"] = broken.model()
    install_kim_model(environment.folder, name, files, work)
    return name


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_model_is_refused_with_its_file_and_problem_in_the_log(
    broken: Broken, in_collection: DriverEnvironment, tmp_path: Path
) -> None:
    name = install(in_collection, broken, tmp_path / "source")
    with pytest.raises(RuntimeError):
        Simulator(name)
    (message,) = log_errors(tmp_path)
    for word in broken.says:
        assert word in message
    # The process survives, and another model works in it.
    assert Simulator(EXAMPLE_MODEL).compute(Particles.of(dimer(), CUTOFF)).energy < 0.0


# Models that load and then fail: the requested results, and the log's message.
FAILING = {
    "forward raises": (Complains, False, ("energy",), ("model.pt", "this model never works")),
    "energies of a wrong shape": (WrongShape, False, ("energy",), ("shape",)),
    "energy is not a number": (NotFinite, False, ("energy",), ("not finite",)),
    "no gradient": (EnergyWithoutGradient, False, ("forces",), ("autograd",)),
    "forces of a wrong shape": (WrongForcesShape, True, ("forces",), ("forces", "shape")),
    "returns no forces": (Springs, True, ("forces",), ("model.pt", "forces")),
    "sum only": (SpringsTotal, False, ("particle_energies",), ("particle energies",)),
}


@pytest.mark.parametrize(
    ("module", "returns_forces", "want", "says"), FAILING.values(), ids=FAILING.keys()
)
def test_a_model_that_fails_is_a_failed_routine(
    module: type[torch.nn.Module],
    returns_forces: bool,
    want: tuple[str, ...],
    says: tuple[str, ...],
    in_collection: DriverEnvironment,
    tmp_path: Path,
) -> None:
    broken = Broken(text(returns_forces=returns_forces, cutoff=4.0), of(module), says)
    name = install(in_collection, broken, tmp_path / "source")
    simulator = Simulator(name)
    with pytest.raises(RuntimeError):
        simulator.compute(Particles.of(cluster(), 4.0), want)
    (message,) = log_errors(tmp_path)
    for word in says:
        assert word in message
    with pytest.raises(RuntimeError):
        simulator.compute(Particles.of(cluster(), 4.0), want)
    assert Simulator(EXAMPLE_MODEL).compute(Particles.of(dimer(), CUTOFF)).energy < 0.0


def test_an_energy_alone_needs_no_gradient(
    in_collection: DriverEnvironment, tmp_path: Path
) -> None:
    """A model without a gradient shows that none is computed."""
    broken = Broken(text(cutoff=4.0), of(EnergyWithoutGradient), ())
    name = install(in_collection, broken, tmp_path / "source")
    particles = Particles.of(cluster(), 4.0)
    assert np.isfinite(Simulator(name).compute(particles, ("energy",)).energy)


def test_a_model_without_pairs_has_no_forces(
    in_collection: DriverEnvironment, tmp_path: Path
) -> None:
    name = install(in_collection, Broken(text(cutoff=4.0), sound, ()), tmp_path / "source")
    result = Simulator(name).compute(Particles.of(isolated_atom(), 4.0))
    assert result.energy == 0.0
    assert not result.forces.any()


def test_a_neighbour_that_does_not_exist_is_refused(
    in_collection: DriverEnvironment, tmp_path: Path
) -> None:
    """A list with the index of a particle that does not exist is an error, not a crash."""
    particles = Particles.of(dimer(), CUTOFF)
    particles.neighbours[0] = np.array([1, 7], dtype=np.int32)
    with pytest.raises(RuntimeError):
        Simulator(EXAMPLE_MODEL).compute(particles)
    (message,) = log_errors(tmp_path)
    assert "neighbour list" in message
