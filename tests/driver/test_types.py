"""Models of every floating-point type, under every default type of torch, give the right numbers
and leave the host's setting unchanged."""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.support import run
from tests.support.descriptor_models import TanhNetwork, write_descriptor_model
from tests.support.structures import cluster
from tests.support.torch_models import Springs, SpringsHalf, SpringsSingle
from tests.support.type_models import (
    BufferBeside,
    ConvertedToDouble,
    MadeWhileLoading,
    Network,
    ScaledNetwork,
    SinglePairs,
    WithoutDtypes,
    WithoutDtypesAndFailing,
    WritesIntoSpecies,
    frozen,
    write_typed_model,
)

CUTOFF = 3.0
TYPES = {
    "float64": torch.float64,
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
pytestmark = pytest.mark.usefixtures("in_collection")


@pytest.fixture(autouse=True)
def _default_type_of_the_other_tests() -> Iterator[None]:
    before = torch.get_default_dtype()
    yield
    torch.set_default_dtype(before)


def load(folder: Path) -> Any:
    import torchml_driver

    return torchml_driver.Potential(folder)


def compute(potential: Any, **options: Any) -> Any:
    atoms = cluster()
    return potential.compute(atoms.numbers, atoms.positions, **options)


def warned(action: Any) -> tuple[Any, list[str]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = action()
    return result, [str(warning.message) for warning in caught]


def by_torch(
    module: torch.nn.Module,
    inputs: torch.dtype,
    default: torch.dtype | None = None,
    *,
    moved: bool = True,
) -> tuple[float, np.ndarray]:
    """(energy, forces) of the module itself in Python, under a default type. moved: coordinates are
    moved before they are rounded, as the driver does if it knows that they will be."""
    atoms = cluster()
    near = atoms.get_all_distances() < CUTOFF
    np.fill_diagonal(near, False)
    positions = atoms.positions
    if inputs != torch.float64 and moved:  # more digits: relative to the centre of the particles
        positions = positions - 0.5 * (positions.min(axis=0) + positions.max(axis=0))
    coords = torch.tensor(positions).to(inputs).requires_grad_(True)
    before = torch.get_default_dtype()
    torch.set_default_dtype(inputs if default is None else default)
    try:
        energies = module(
            torch.zeros(len(atoms), dtype=torch.int64),
            coords,
            torch.tensor(near.sum(1), dtype=torch.int32),
            torch.tensor(near.nonzero()[1], dtype=torch.int32),
            torch.ones(len(atoms), dtype=torch.int64),
        )
        total = energies.sum(dtype=torch.float64)
        (gradient,) = torch.autograd.grad(total, coords)
    finally:
        torch.set_default_dtype(before)
    return float(total.detach()), -gradient.double().numpy()


def assert_same(result: Any, expected: tuple[float, np.ndarray], tolerance: float) -> None:
    energy, forces = expected
    assert result.energy == pytest.approx(energy, rel=tolerance)
    np.testing.assert_allclose(result.forces, forces, rtol=0, atol=tolerance * np.abs(forces).max())


# --- the default type -----------------------------------------------------------------------


@pytest.mark.parametrize("hosts", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("own", [torch.float32, torch.float64], ids=str)
def test_a_model_computes_under_the_default_type_that_it_was_written_under(
    own: torch.dtype, hosts: torch.dtype, tmp_path: Path
) -> None:
    expected = by_torch(WithoutDtypes(own), own)
    torch.set_default_dtype(hosts)
    result = compute(load(write_typed_model(tmp_path, WithoutDtypes(own))))
    assert torch.get_default_dtype() == hosts
    assert_same(result, expected, 1e-14 if own == torch.float64 else 1e-6)
    other = torch.float64 if own == torch.float32 else torch.float32
    if own == torch.float64:  # equal constants would hide a failure
        with pytest.raises(RuntimeError, match=r"scalar type|dtype"):
            by_torch(WithoutDtypes(own), own, other)


@pytest.mark.parametrize("hosts", [torch.float32, torch.float64], ids=str)
def test_the_hosts_default_type_comes_back_also_after_a_failure(
    hosts: torch.dtype, tmp_path: Path
) -> None:
    import torchml_driver

    torch.set_default_dtype(hosts)
    potential = load(write_typed_model(tmp_path, WithoutDtypesAndFailing(torch.float64)))
    for _ in range(2):  # at the first call, and after it
        with pytest.raises(torchml_driver.Error, match="too far away"):
            potential.compute(["Si"] * 2, [[2000.0, 0.0, 0.0], [2002.0, 0.0, 0.0]])
        assert torch.get_default_dtype() == hosts
        assert potential.compute(["Si"] * 2, [[1.0, 2.0, 3.0], [1.0, 2.0, 5.0]]).energy == 28.0
        assert torch.get_default_dtype() == hosts


def test_a_model_that_was_converted_to_double_runs_as_it_was_written(tmp_path: Path) -> None:
    result = compute(load(write_typed_model(tmp_path, ConvertedToDouble())))
    assert_same(result, by_torch(Springs(), torch.float64), 1e-6)


@pytest.mark.parametrize("precision", [None, "float64"])
def test_what_a_model_makes_while_it_is_loaded_has_its_own_type(
    precision: str | None, tmp_path: Path
) -> None:
    folder = write_typed_model(tmp_path, MadeWhileLoading(), precision)
    energy = by_torch(Springs(), torch.float64)[0]
    assert compute(load(folder)).energy == pytest.approx(1.6 * energy, rel=1e-14)
    assert torch.get_default_dtype() == torch.float32


def test_potentials_of_different_types_compute_on_threads_at_once(tmp_path: Path) -> None:
    potentials = [
        load(write_typed_model(tmp_path / f"{index}", WithoutDtypes(dtype)))
        for index, dtype in enumerate([torch.float64, torch.float32] * 2)
    ]
    expected = [compute(potential).energy for potential in potentials]
    found: list[list[float]] = [[] for _ in potentials]

    def simulate(index: int) -> None:
        found[index] += [compute(potentials[index]).energy for _ in range(30)]

    threads = [threading.Thread(target=simulate, args=(k,)) for k in range(len(potentials))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[energy] * 30 for energy in expected]
    assert torch.get_default_dtype() == torch.float32


def test_a_choice_that_the_host_makes_meanwhile_stays(tmp_path: Path) -> None:
    folder = write_typed_model(tmp_path, WithoutDtypes(torch.float64))
    script = f"""
import threading, time, numpy, torch, torchml_driver
potential = torchml_driver.Potential({str(folder)!r})
n = 200_000  # without neighbours
none, all = numpy.zeros(n, dtype=int), numpy.ones(n, dtype=int)
places = numpy.arange(3.0 * n).reshape(n, 3) * 9
def compute(): potential.compute_particles(none, places, all, none, none[:0], forces=False)
def simulate():
    while torch.get_default_dtype() != torch.bfloat16:
        try:
            compute()
        except torchml_driver.Error:
            pass  # of the step in which the type changed
thread = threading.Thread(target=simulate, daemon=True)
thread.start()
while torch.get_default_dtype() != torch.float64: time.sleep(0)
torch.set_default_dtype(torch.bfloat16)
thread.join()
print(torch.get_default_dtype())
"""
    assert run([sys.executable, "-c", script]).strip() == "torch.bfloat16"


def test_a_process_forked_meanwhile_has_the_hosts_default_type(tmp_path: Path) -> None:
    folder = write_typed_model(tmp_path, WithoutDtypes(torch.float64))
    script = f"""
import os, threading, time, numpy, torch, torchml_driver
potential = torchml_driver.Potential({str(folder)!r})
n = 200_000  # without neighbours
none, all = numpy.zeros(n, dtype=int), numpy.ones(n, dtype=int)
places = numpy.arange(3.0 * n).reshape(n, 3) * 9
def compute(): potential.compute_particles(none, places, all, none, none[:0], forces=False)
ended = False
def simulate():
    while not ended: compute()
thread = threading.Thread(target=simulate, daemon=True)
thread.start()
for _ in range(5):
    while torch.get_default_dtype() != torch.float64: time.sleep(0)
    child = os.fork()
    if child == 0: os._exit(0 if torch.get_default_dtype() == torch.float32 else 1)
    assert os.waitpid(child, 0)[1] == 0
ended = True
thread.join()
print(torch.get_default_dtype())
"""
    assert run([sys.executable, "-c", script]).strip() == "torch.float32"


# --- the type of the inputs -----------------------------------------------------------------


@pytest.mark.parametrize("how", ["freeze", "optimize_for_inference"])
@pytest.mark.parametrize("name", list(TYPES))
def test_frozen_models_give_what_they_gave_before(name: str, how: str, tmp_path: Path) -> None:
    module = Network(TYPES[name])
    bits = 8 * TYPES[name].itemsize
    expected = compute(load(write_typed_model(tmp_path / "whole", module)))
    potential = load(write_typed_model(tmp_path / "frozen", frozen(module, how)))
    result, messages = warned(lambda: compute(potential))
    assert (potential.input_type, potential.precision) == (name, bits)
    tolerance = {64: 1e-13, 32: 1e-5, 16: 6e-2}[bits]
    assert_same(result, (expected.energy, expected.forces), tolerance)
    if name == "float64":
        assert messages == []
    else:
        (message,) = messages
        assert f"precision {name}" in message
    assert warned(lambda: compute(potential))[1] == []
    recorded = load(write_typed_model(tmp_path / "recorded", frozen(module, how), name))
    again, messages = warned(lambda: compute(recorded))
    assert (again.energy, messages) == (result.energy, [])


@pytest.mark.parametrize("first", [torch.float32, torch.float64], ids=str)
def test_models_of_mixed_types_get_the_most_exact_inputs_that_they_take(
    first: torch.dtype, tmp_path: Path
) -> None:
    module = ScaledNetwork(first)
    potential = load(write_typed_model(tmp_path, module))
    result, (message,) = warned(lambda: compute(potential))
    assert_same(result, by_torch(module, torch.float64), 1e-14)
    for words in ("float32", "float64", "precision float64", "model pack"):
        assert words in message
    # The type that it computes in determines its precision.
    assert (potential.input_type, potential.precision) == ("float64", 32)


def test_a_double_beside_single_weights_does_not_make_the_inputs_double(tmp_path: Path) -> None:
    potential = load(write_typed_model(tmp_path, BufferBeside()))
    result, (message,) = warned(lambda: compute(potential))
    assert_same(result, by_torch(BufferBeside(), torch.float32), 1e-6)
    assert "precision float32" in message
    assert potential.input_type == "float32"


def test_a_first_system_that_proves_nothing_decides_nothing(tmp_path: Path) -> None:
    """Without neighbours, many models return before types matter."""
    potential = load(write_typed_model(tmp_path, SinglePairs()))
    assert potential.compute(["Si"], [[0.0, 0.0, 0.0]]).energy == 0.0
    result, messages = warned(lambda: compute(potential))
    assert_same(result, by_torch(Springs(), torch.float32, moved=False), 1e-6)
    assert len(messages) == 2
    assert "float32" in messages[0]
    assert warned(lambda: compute(potential))[1] == []


def test_a_model_is_not_tried_again_with_what_it_has_changed(tmp_path: Path) -> None:
    import torchml_driver

    potential = load(write_typed_model(tmp_path, WritesIntoSpecies()))
    for _ in range(2):
        with pytest.raises(torchml_driver.Error, match="only the first time"):
            compute(potential)


@pytest.mark.parametrize(
    "module", [Springs(), SpringsSingle(), SpringsHalf(torch.bfloat16), Network(torch.float64)]
)
def test_nothing_is_said_about_types_that_are_beyond_doubt(
    module: torch.nn.Module, tmp_path: Path
) -> None:
    assert warned(lambda: compute(load(write_typed_model(tmp_path, module))))[1] == []


def test_a_recorded_type_that_the_model_refuses_is_an_error(tmp_path: Path) -> None:
    import torchml_driver

    potential = load(write_typed_model(tmp_path, Network(torch.float32), "float64"))
    with pytest.raises(torchml_driver.Error, match=r"float64.*precision"):
        compute(potential)


def test_frozen_models_on_descriptors_give_what_they_gave_before(tmp_path: Path) -> None:
    module = TanhNetwork(15).float()
    expected = compute(load(write_descriptor_model(tmp_path, module, "every_kind")))
    (tmp_path / "model.pt").write_bytes(frozen(module, "freeze"))
    potential = load(tmp_path)
    result, messages = warned(lambda: compute(potential))
    assert_same(result, (expected.energy, expected.forces), 1e-6)
    assert len(messages) == 1
