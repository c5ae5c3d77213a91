"""Arguments of the Python module: every sensible form is accepted, and all others are refused."""

from __future__ import annotations

import importlib
import itertools
import pickle
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from ase import Atoms

from tests.support import DriverEnvironment
from tests.support.descriptor_cases import descriptor_file
from tests.support.structures import rattled_crystal
from tests.support.torch_models import SpringsTotal, write_model

SYMBOLS = ["Si", "Si"]
POSITIONS = np.array([[0.0, 0.0, 0.0], [1.3, 1.3, 1.2]])
CELL = 8.0 * np.eye(3)


@pytest.fixture(scope="module")
def module(driver_environment: DriverEnvironment) -> Any:
    return importlib.import_module("torchml_driver")


@pytest.fixture(scope="module")
def potential(module: Any, driver_environment: DriverEnvironment) -> Any:
    return module.Potential(driver_environment.packed)


@pytest.fixture(scope="module")
def energy(potential: Any) -> float:
    return float(potential.compute(SYMBOLS, POSITIONS).energy)


@pytest.mark.parametrize(
    "species",
    [
        (14, 14),
        ["Si", 14],
        [np.int8(14), np.str_("Si")],
        np.array(SYMBOLS),
        np.array(SYMBOLS, dtype=object),
        np.array([14, 14], dtype=np.uint64),
        np.array([14, 14, 14, 14], dtype=">i2")[::2],
        np.ma.array([14, 14]),
        torch.tensor([14, 14]),
    ],
    ids=repr,
)
def test_species_come_in_many_forms(potential: Any, energy: float, species: Any) -> None:
    assert potential.compute(species, POSITIONS).energy == energy


@pytest.mark.parametrize(
    "positions",
    [
        POSITIONS.tolist(),
        POSITIONS.astype(">f8"),
        POSITIONS.astype(np.longdouble),
        POSITIONS.astype(object),
        np.asfortranarray(POSITIONS),
        np.repeat(POSITIONS, 2, axis=0)[::2],
        np.ma.array(POSITIONS),
        torch.tensor(POSITIONS),
    ],
    ids=lambda values: f"{type(values).__name__} {getattr(values, 'dtype', '')}",
)
def test_coordinates_come_in_many_forms(potential: Any, energy: float, positions: Any) -> None:
    assert potential.compute(SYMBOLS, positions).energy == energy


def test_whole_numbers_are_coordinates(potential: Any) -> None:
    whole = potential.compute(SYMBOLS, [[0, 0, 0], [2, 1, 1]])
    assert whole.energy == potential.compute(SYMBOLS, [[0.0, 0, 0], [2, 1, 1]]).energy


@pytest.mark.parametrize("pbc", [True, 1, np.bool_(True), [1, 1, 1], np.ones(3, dtype=bool)])
@pytest.mark.parametrize("cell", [CELL, [8, 8, 8], Atoms(cell=[8, 8, 8]).cell])
def test_cells_and_flags_come_in_many_forms(potential: Any, cell: Any, pbc: Any) -> None:
    expected = potential.compute(SYMBOLS, POSITIONS, CELL, True).energy
    assert potential.compute(SYMBOLS, POSITIONS, cell, pbc).energy == expected


def test_no_particles_have_no_energy(potential: Any) -> None:
    for coordinates in ([], np.zeros((0, 3))):
        result = potential.compute([], coordinates, CELL, True, particle_energies=True)
        assert result.energy == 0.0
        assert result.forces.shape == (0, 3)
        assert result.particle_energies.shape == (0,)


@pytest.mark.parametrize(
    ("species", "message"),
    [
        ([6, 14], "particle 0 is C, which the model does not support; it supports Si"),
        (np.array([14, 6]), "particle 1 is C, which the model does not support"),
        (["Si", "C"], "particle 1 is C, which the model does not support"),
        (
            np.array(["Si", "C"]),
            "particle 1 is C, which the model does not support",
        ),
        (["Si", "si"], "particle 1 is 'si', which is not an element.*Did you mean Si"),
        (["Si", np.str_("Xx")], "particle 1 is 'Xx', which is not an element"),
        ([14, 0], "particle 1 has the atomic number 0, which no element has"),
        (np.array([14, -6]), "particle 1 has the atomic number -6, which"),
        (np.array([14, 119]), "particle 1 has the atomic number 119, which"),
        (np.array([14, 2**63], dtype=np.uint64), "the atomic number 9223372036854775808"),
        ([14, 2**70], "the atomic number 1180591620717411303424"),
        ([14.7, 14.2], "particle 0 has the species 14.7; expected an element"),
        (np.array([14.0, 14.0]), r"particle 0 has the species 14\.0"),
        ([True, True], "particle 0 has the species True"),
        (np.array([True, True]), "particle 0 has the species True"),
        ([14, np.float32(np.nan)], "particle 1 has the species nan"),
        ([b"Si", b"Si"], "particle 0 has the species b'Si'"),
        ([None, None], "particle 0 has the species None"),
        ("Si", r"species is the single string 'Si'; .*\['Si', 'C'\]"),
        (np.array([[14], [14]]), r"species has the shape \(2, 1\); expected \(n,\)"),
        (np.ma.array([14, 14], mask=[False, True]), "species has masked values"),
        (["Si"], "the length of species is 1, but that of coordinates is 2"),
    ],
    ids=repr,
)
def test_species_that_mean_nothing_are_refused(
    module: Any, potential: Any, species: Any, message: str
) -> None:
    with pytest.raises(module.Error, match=message) as failure:
        potential.compute(species, POSITIONS)
    assert "np." not in str(failure.value)


@pytest.mark.parametrize(
    ("coordinates", "message"),
    [
        (POSITIONS + 1j, "coordinates has values of type complex128; expected real numbers"),
        (POSITIONS > 1.25, "coordinates has values of type bool"),
        (POSITIONS.astype(str), "coordinates has values of type <U"),
        (POSITIONS.astype("M8[s]"), "coordinates has values of type datetime64"),
        ([[0, 0, 0], [1, 1, None]], "coordinates has the value None"),
        (np.array([[0, 0, 0], [1, 1, "1"]], dtype=object), "coordinates has the value '1'"),
        ([[0, 0, 0], [1, 1]], "coordinates cannot be read as an array"),
        (torch.tensor(POSITIONS, requires_grad=True), "coordinates cannot be read.*detach"),
        (np.ma.array(POSITIONS, mask=POSITIONS > 1.25), "coordinates has masked values"),
        (None, "coordinates has the value None"),
        (POSITIONS.ravel(), r"coordinates has the shape \(6,\); expected \(n, 3\)"),
        (POSITIONS * np.nan, "coordinates has values that are not finite"),
        (POSITIONS * 1e300, r"particle 1 is at \(1.3e\+300, .* too coarse"),
        (POSITIONS + 1e12, "particle 1 is at .* too coarse"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_coordinates_that_mean_nothing_are_refused(
    module: Any, potential: Any, coordinates: Any, message: str
) -> None:
    with pytest.raises(module.Error, match=message):
        potential.compute(SYMBOLS, coordinates)


@pytest.mark.parametrize(
    ("cell", "pbc", "message"),
    [
        (CELL, "FFF", "pbc is 'FFF'; expected True or False"),
        (CELL, ["F", "F", "F"], "pbc is .'F', 'F', 'F'.; expected"),
        (CELL, 2, "pbc is 2; expected"),
        (CELL, np.nan, "pbc is nan; expected"),
        (CELL, None, "pbc is None; expected"),
        (CELL, [True, True], r"pbc has the shape \(2,\); expected one flag or three"),
        (CELL, [True, [True], True], "pbc cannot be read as an array"),
        (None, True, "pbc is true in a direction"),
        ([8.0, 8.0, 0.0], True, "pbc is true in a direction"),
        (np.ones((3, 3)), True, "depends linearly on the others"),
        ("box", True, "cell has values of type <U3"),
        (CELL + 0.1j, True, "cell has values of type complex128"),
        (np.eye(3, dtype=bool), True, "cell has values of type bool"),
        ([8, 8, 8, 90, 90, 90], True, r"cell has the shape \(6,\)"),
        (CELL * np.nan, False, "cell has values that are not finite"),
        (CELL * 1e300, True, r"cell has vectors longer than 1e\+09 Å"),
        (
            0.01 * np.eye(3),
            True,
            "periodic images within the cutoff.*0.01 Å thick. Check that it is in Å",
        ),
        ([1e-7, 0, 0], [True, False, False], "periodic images within the cutoff"),
        ([[8, 0, 0], [0, 8, 0], [8, 8, 1e-9]], True, "periodic images within the cutoff"),
        ([[8, 0, 0], [8e9, 8, 0], [0, 0, 8]], True, "cell has vectors longer than"),
        ([[8, 0, 0], [8e7, 8, 0], [0, 0, 8]], True, "just very skewed, reduce it first"),
        (0.15 * np.eye(3), True, r"neighbours within the cutoff.* holds 2 atoms in 0.00337 Å\^3"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_cells_and_flags_that_mean_nothing_are_refused(
    module: Any, potential: Any, cell: Any, pbc: Any, message: str
) -> None:
    with pytest.raises(module.Error, match=message):
        potential.compute(SYMBOLS, POSITIONS, cell, pbc)


def test_an_atom_that_has_drifted_through_too_many_cells_is_refused(
    module: Any, potential: Any
) -> None:
    near = POSITIONS + np.array([[0, 0, 0], [8e3, 0, -1.6e4]])
    expected = potential.compute(SYMBOLS, POSITIONS, CELL, True)
    found = potential.compute(SYMBOLS, near, CELL, True)
    assert found.energy == pytest.approx(expected.energy, abs=1e-9)
    np.testing.assert_allclose(found.forces, expected.forces, atol=1e-9)
    far = POSITIONS + np.array([[0, 0, 0], [0, 0, 8e6]])
    with pytest.raises(module.Error, match=r"particle 1 is 1e\+06 cells away.*Atoms.wrap"):
        potential.compute(SYMBOLS, far, CELL, True)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("codes", [2**32, 0], "codes has the value 4294967296, which does not fit into 32 bits"),
        ("codes", [0.0, 0.0], "codes has values of type float64; expected whole numbers"),
        ("codes", np.ma.array([0, 0], mask=[0, 1]), "codes has masked values"),
        ("nlist", [1, -(2**31) - 1], "nlist has the value -2147483649"),
        ("coordinates", POSITIONS + 1j, "coordinates has values of type complex128"),
        ("coordinates", POSITIONS[:1], r"coordinates has the shape \(1, 3\); expected \(2, 3\)"),
        ("contributing", [1, 1, 0], r"contributing has the shape \(3,\); expected \(2,\)"),
    ],
)
def test_particles_that_mean_nothing_are_refused(
    module: Any, potential: Any, name: str, values: Any, message: str
) -> None:
    arrays: dict[str, Any] = {
        "codes": [0, 0],
        "coordinates": POSITIONS,
        "contributing": [1, 1],
        "n_neigh": [1, 1],
        "nlist": [1, 0],
    }
    assert np.isfinite(potential.compute_particles(**arrays).energy)
    with pytest.raises(module.Error, match=message):
        potential.compute_particles(**(arrays | {name: values}))


def test_what_a_model_does_not_define_is_an_error_of_its_own(module: Any, tmp_path: Path) -> None:
    potential = module.Potential(write_model(tmp_path, SpringsTotal()))
    assert not potential.defines_particle_virials
    for wanted in ("particle_energies", "particle_virials"):
        with pytest.raises(module.NotDefinedError, match=r"particle .* were requested"):
            potential.compute(SYMBOLS, POSITIONS, **{wanted: True})
    assert issubclass(module.NotDefinedError, module.Error)


def test_a_potential_takes_the_device_of_torch(
    module: Any, driver_environment: DriverEnvironment
) -> None:
    model = driver_environment.packed
    assert module.Potential(model, device=torch.device("cpu")).device == "cpu"
    with pytest.raises(module.Error, match="3"):
        module.Potential(model, device=3)


def far_apart(*, thick: float) -> npt.NDArray[np.float64]:
    """Two pairs, and single atoms that span a plane or slightly more."""
    corners = np.array([[1.0, 0, 0], [0, 1, 0], [1, 1, 0]]) * 2e4
    pairs = [POSITIONS * [1, 1, 0], POSITIONS * [1, 1, 0] + [9e3, 8e3, thick]]
    return np.concatenate([*pairs, corners])


@pytest.mark.parametrize("thick", [0.0, 2.0])
@pytest.mark.parametrize("axes", [[0, 1, 2], [2, 0, 1]])
@pytest.mark.parametrize("repeats", [0, 1, 2, 3])
def test_thin_and_wide_structures_have_the_energy_of_their_parts(
    potential: Any, thick: float, axes: list[int], repeats: int
) -> None:
    """Such systems made the neighbour list divide by zero, which ends the process."""
    positions = far_apart(thick=thick)[:, axes]
    lengths = np.array([4e4, 4e4, 5.0])[axes]
    pbc = np.zeros(3, dtype=bool)
    pbc[np.argsort(lengths)[::-1][:repeats]] = True
    pair = POSITIONS * [1, 1, 0]
    result = potential.compute(["Si"] * 7, positions, np.diag(lengths), pbc)
    if repeats < 3:
        expected = 2 * potential.compute(SYMBOLS, pair).energy
    else:  # 5 Å exceeds the cutoff
        box, flags = [40.0, 40.0, 5.0], True
        expected = 2 * potential.compute(SYMBOLS, pair, box, flags).energy
    assert result.energy == pytest.approx(expected, abs=1e-8)
    assert np.abs(result.forces[:2, axes]).max() > 0.1


Pairs = set[tuple[int, ...]]


def pairs_within(
    positions: npt.NDArray[np.float64],
    cell: npt.NDArray[np.float64],
    pbc: Sequence[bool],
    cutoff: float,
) -> tuple[Pairs, Pairs]:
    """The pairs that the module finds are those of a brute-force search of all nearby cells."""
    neighbours = importlib.import_module("torchml_driver._neighbours")
    box, periodic = neighbours.full_cell(cell, pbc)
    pairs, shifts = neighbours.find_pairs(positions, box, periodic, cutoff)
    found = [tuple(map(int, (*pair, *shift))) for pair, shift in zip(pairs, shifts, strict=True)]
    assert len(found) == len(set(found))
    expected: Pairs = set()
    for shift in itertools.product(*((-4, -3, -2, -1, 0, 1, 2, 3, 4) if p else (0,) for p in pbc)):
        vectors = positions[None] - positions[:, None] + np.array(shift) @ cell
        near = np.linalg.norm(vectors, axis=2) < cutoff
        if not any(shift):
            np.fill_diagonal(near, val=False)
        expected |= {(int(i), int(j), *shift) for i, j in np.argwhere(near)}
    return set(found), expected


@pytest.mark.usefixtures("module")
@pytest.mark.parametrize("pbc", list(itertools.product((False, True), repeat=3)))
def test_neighbours_in_any_cell_are_those_that_are_there(pbc: tuple[bool, bool, bool]) -> None:
    rng = np.random.default_rng(8)
    for scale in (3.0, 8.0):
        cell = scale * (np.eye(3) + rng.uniform(-0.3, 0.3, (3, 3)))
        inside = rng.random((30, 3)) @ cell
        positions = inside + rng.integers(-1, 2, (30, 3)) * np.array(pbc) @ cell
        found, expected = pairs_within(positions, cell, pbc, 3.5)
        assert found == expected
        assert len(found) > 30


def test_a_wide_sheet_that_repeats_has_the_pairs_that_are_there(module: Any) -> None:
    """Two images of an atom are near: the thickness is between one and two cutoffs."""
    rng = np.random.default_rng(5)
    positions = (rng.random((100, 3)) - 0.5) * [60.0, 5.0, 40.0]
    found, expected = pairs_within(positions, np.diag([5e3, 5.0, 4e3]), (True, True, True), 4.6)
    assert found == expected
    assert len(found) > 100


def test_descriptors_refuse_what_means_nothing(module: Any) -> None:
    descriptor_class = importlib.import_module("torchml_driver.descriptors").Descriptor
    file = descriptor_file("every_kind")
    with pytest.raises(module.Error, match=r"elements is the single string 'Si'.*\['Si', 'C'\]"):
        descriptor_class(file, "Si")
    with pytest.raises(module.Error, match="elements names Si twice"):
        descriptor_class(file, ["Si", np.str_("Si")])
    descriptor = descriptor_class(file, ["Si"])
    atoms = Atoms("Si2", POSITIONS)
    for weights, message in (
        (np.ones((2, 15)) * 1j, "weights has values of type complex128"),
        (np.full((2, 15), np.nan), "weights has values that are not finite"),
        (np.ones((2, 14)), r"weights has the shape \(2, 14\); expected \(2, 15\)"),
    ):
        with pytest.raises(module.Error, match=message):
            descriptor.vjp(atoms, weights)
    with pytest.raises(module.Error, match="too coarse"):
        descriptor.values(Atoms("Si2", POSITIONS + 1e12))


def test_a_pickled_descriptor_computes_or_says_why_not(module: Any, tmp_path: Path) -> None:
    descriptor_class = importlib.import_module("torchml_driver.descriptors").Descriptor
    file = Path(shutil.copy(descriptor_file("every_kind"), tmp_path / "descriptor.dat"))
    descriptor = descriptor_class(file, ["Si"])
    atoms = rattled_crystal()
    expected = descriptor.values(atoms)
    pickled = pickle.dumps(descriptor)
    np.testing.assert_array_equal(pickle.loads(pickled).values(atoms), expected)
    file.write_bytes(descriptor_file("every_kind_short").read_bytes())
    with pytest.raises(module.Error, match=r"descriptor\.dat has changed since"):
        pickle.loads(pickled).values(atoms)
    with pytest.raises(module.Error, match="cannot be pickled"):
        pickle.dumps(descriptor)
    file.unlink()
    unpickled = pickle.loads(pickled)
    assert unpickled.elements == ["Si"]
    with pytest.raises(module.Error, match=r"descriptor\.dat no longer exists"):
        unpickled.values(atoms)


def test_a_pickled_potential_computes_what_the_first_one_does(
    module: Any, driver_environment: DriverEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if the environment says otherwise, and in another folder."""
    monkeypatch.chdir(driver_environment.packed.parent)
    potential = module.Potential(driver_environment.packed.name)
    pickled = pickle.dumps(potential)
    monkeypatch.chdir("/")
    monkeypatch.setenv("KIM_MODEL_ELEMENTS_MAP", "yes")
    again = pickle.loads(pickled)
    assert again.model == potential.model == driver_environment.packed
    assert again.atomic_numbers is potential.atomic_numbers is False
    assert list(again.species_codes) == [0]
    assert again.compute(SYMBOLS, POSITIONS).energy == potential.compute(SYMBOLS, POSITIONS).energy
    with pytest.raises(AttributeError, match="no attribute 'cut_off'"):
        _ = again.cut_off
