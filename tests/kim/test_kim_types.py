"""Through KIM, too, a model has its own types, whatever else computes in the process."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support import DriverEnvironment, install_kim_model
from tests.support.kim_simulator import Particles, Simulator
from tests.support.structures import cluster
from tests.support.torch_models import parameter_text, torchscript
from tests.support.type_models import Network, WithoutDtypes, frozen, write_typed_model

CUTOFF = 3.0


def simulator(
    collection: DriverEnvironment, work: Path, name: str, model: bytes, settings: str = ""
) -> Simulator:
    parameters = parameter_text("model.pt", cutoff=CUTOFF) + settings
    files = {"model.param": parameters.encode(), "model.pt": model}
    install_kim_model(collection.folder, name, files, work)
    return Simulator(name)


def test_the_driver_and_the_python_module_know_of_each_others_types(
    in_collection: DriverEnvironment, tmp_path: Path
) -> None:
    """Two libraries in one process share its default type."""
    import torchml_driver

    atoms = cluster()
    particles = Particles.of(atoms, CUTOFF)
    double = torchscript(WithoutDtypes(torch.float64))
    through_kim = simulator(in_collection, tmp_path, "Types__MO_000000000000_000", double)
    single = torchml_driver.Potential(
        write_typed_model(tmp_path / "single", WithoutDtypes(torch.float32))
    )
    expected = (
        through_kim.compute(particles).energy,
        single.compute(atoms.numbers, atoms.positions).energy,
    )
    assert expected[0] == pytest.approx(expected[1], rel=1e-5)
    found: tuple[list[float | None], list[float]] = ([], [])

    def simulate() -> None:
        for _ in range(40):
            found[1].append(single.compute(atoms.numbers, atoms.positions).energy)

    thread = threading.Thread(target=simulate)
    thread.start()
    for _ in range(40):
        found[0].append(through_kim.compute(particles).energy)
    thread.join()
    assert found == ([expected[0]] * 40, [expected[1]] * 40)
    assert torch.get_default_dtype() == torch.float32


def test_what_the_driver_assumes_about_types_stands_in_kims_log(
    in_collection: DriverEnvironment, tmp_path: Path
) -> None:
    particles = Particles.of(cluster(), CUTOFF)
    model = frozen(Network(torch.float32), "freeze")
    guessed = simulator(in_collection, tmp_path, "Guessed__MO_000000000000_000", model)
    forces = guessed.compute(particles, ("energy", "forces")).forces
    (message,) = re.findall(r"\* warning \* .*TorchML.*", (tmp_path / "kim.log").read_text())
    assert "precision float32" in message
    recorded = simulator(
        in_collection, tmp_path, "Recorded__MO_000000000000_000", model, "precision float32\n"
    )
    again = recorded.compute(particles, ("energy", "forces")).forces
    np.testing.assert_array_equal(again, forces)
    assert len(re.findall(r"\* warning \* .*TorchML", (tmp_path / "kim.log").read_text())) == 1
