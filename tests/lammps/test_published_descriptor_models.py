"""Published potentials, converted by the scripts in examples/, compared with the originals.

KIM's own drivers, which compute the same parameters, share no code with this one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, diamond100, graphene, make_supercell

from tests.support import ROOT, DriverEnvironment, run, torchml_install
from tests.support.lammps_runs import Lammps, Static, example_run
from tests.support.structures import (
    cluster,
    dimer,
    hot_crystal,
    isolated_atom,
    primitive_cell,
    rattled_crystal,
    slab,
    strained_triclinic_crystal,
)

# Relative to the largest number. The potentials have 14 digits; the agreement is closer.
ENERGY_TOLERANCE = 1e-12
FORCE_TOLERANCE = 1e-11
PRESSURE_TOLERANCE = 1e-11


@dataclass(frozen=True)
class Model:
    """A published potential, and the example that converts it into a model of the given name."""

    published: str
    example: str
    name: str
    element: str
    script: str


DUNN = Model(
    "DUNN_WenTadmor_2019v3_C__MO_714772088128_000",
    "dunn_carbon",
    "TorchML_DUNN_C",
    "C",
    "in.carbon",
)
SNAP = Model(
    "SNAP_ZuoChenLi_2019_Si__MO_869330304805_000",
    "snap_silicon",
    "TorchML_SNAP_Si",
    "Si",
    "in.silicon",
)


def perfect_diamond() -> Atoms:
    return bulk("C", a=3.57, cubic=True) * (2, 2, 2)


def rattled_diamond() -> Atoms:
    atoms = perfect_diamond()
    atoms.rattle(0.05, seed=1)
    return atoms


def hot_diamond() -> Atoms:
    """Displaced so far that bonds break."""
    atoms = perfect_diamond()
    atoms.rattle(0.25, seed=11)
    return atoms


def strained_triclinic_diamond() -> Atoms:
    atoms = make_supercell(bulk("C", a=3.57), [[2, 1, 0], [0, 2, 1], [1, 0, 3]])
    strain = np.array([[1.02, 0.03, -0.01], [0.0, 0.97, 0.02], [0.04, 0.0, 1.01]])
    atoms.set_cell(atoms.cell.array @ strain, scale_atoms=True)
    atoms.rattle(0.08, seed=5)
    return atoms


def diamond_slab() -> Atoms:
    atoms = diamond100("C", (3, 3, 6), a=3.57, vacuum=8.0)
    atoms.pbc = (True, True, False)
    atoms.rattle(0.1, seed=2)
    return atoms


def graphite() -> Atoms:
    """Two layers, not periodic above and below."""
    lower, upper = (graphene(size=(3, 3, 1), a=2.46, vacuum=8.0) for _ in range(2))
    upper.positions += [0.0, 1.42, 3.35]
    atoms = lower + upper
    atoms.pbc = (True, True, False)
    atoms.rattle(0.08, seed=2)
    return atoms


def carbon_cluster() -> Atoms:
    """Open boundaries: atoms at its edge have few neighbours."""
    crystal = bulk("C", a=3.57, cubic=True) * (2, 1, 1)
    atoms = Atoms(crystal.symbols, positions=crystal.positions)
    atoms.rattle(0.15, seed=3)
    return atoms


def carbon_dimer() -> Atoms:
    return Atoms("C2", positions=[[0, 0, 0], [0.7, 0.8, 0.6]])


def carbon_atom() -> Atoms:
    return Atoms("C", positions=[[0.1, 0.2, 0.3]])


CASES = [
    *(
        (DUNN, make)
        for make in (
            perfect_diamond,
            rattled_diamond,
            hot_diamond,
            strained_triclinic_diamond,
            diamond_slab,
            graphite,
            carbon_cluster,
            carbon_dimer,
            carbon_atom,
        )
    ),
    *(
        (SNAP, make)
        for make in (
            rattled_crystal,
            hot_crystal,
            primitive_cell,
            strained_triclinic_crystal,
            slab,
            cluster,
            dimer,
            isolated_atom,
        )
    ),
]
IDS = [f"{model.example}-{make.__name__}" for model, make in CASES]


@pytest.fixture(scope="session")
def converted(
    driver_environment: DriverEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Model], str]:
    """Converts and installs a model as its README says, once; returns its name."""
    work = tmp_path_factory.mktemp("converted")
    installed = set()

    def install(model: Model) -> str:
        if model not in installed:
            env = driver_environment.env
            run([sys.executable, ROOT / "examples" / model.example / "convert.py"], cwd=work)
            where = ("--collection", "environment")
            torchml_install("model", "install", work / model.name, *where, env=env, cwd=work)
            installed.add(model)
        return model.name

    return install


def assert_same(found: np.ndarray, expected: np.ndarray, tolerance: float) -> None:
    """Relative to the largest number, or to 1 (eV/angstrom, bar) where all of them vanish."""
    largest = max(float(np.abs(expected).max()), 1.0)
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * largest)


def assert_same_static(found: Static, expected: Static) -> None:
    assert found.energy == pytest.approx(expected.energy, rel=ENERGY_TOLERANCE)
    assert_same(found.forces, expected.forces, FORCE_TOLERANCE)
    assert_same(found.pressure, expected.pressure, PRESSURE_TOLERANCE)


@pytest.mark.parametrize(("model", "make"), CASES, ids=IDS)
def test_lammps_computes_what_the_published_potential_does(
    model: Model, make: Callable[[], Atoms], converted: Callable[[Model], str], lammps: Lammps
) -> None:
    elements = (model.element,)
    ours = lammps.static(make(), converted(model), elements=elements)
    theirs = lammps.static(make(), model.published, elements=elements)
    assert_same_static(ours, theirs)


@pytest.mark.parametrize(
    ("model", "make"),
    [(DUNN, graphite), (DUNN, carbon_cluster), (SNAP, slab), (SNAP, primitive_cell)],
    ids=lambda value: getattr(value, "__name__", None) or value.example,
)
def test_libdescriptor_computes_what_the_published_potential_does(
    model: Model,
    make: Callable[[], Atoms],
    converted: Callable[[Model], str],
    libdescriptor_root: Path,
    lammps: Lammps,
) -> None:
    chosen = {
        "KIM_MODEL_DESCRIPTOR_BACKEND": "libdescriptor",
        "LIBDESCRIPTOR_ROOT": str(libdescriptor_root),
    }
    elements = (model.element,)
    with_libdescriptor = Lammps(lammps.folder, {**lammps.env, **chosen})
    ours = with_libdescriptor.static(make(), converted(model), elements=elements)
    theirs = lammps.static(make(), model.published, elements=elements)
    assert_same_static(ours, theirs)


@pytest.mark.usefixtures("in_collection")
@pytest.mark.parametrize(("model", "make"), CASES, ids=IDS)
def test_ase_computes_what_the_published_potential_does(
    model: Model, make: Callable[[], Atoms], converted: Callable[[Model], str]
) -> None:
    kim = pytest.importorskip("ase.calculators.kim.kim")
    ours, theirs = make(), make()
    ours.calc = kim.KIM(converted(model))
    theirs.calc = kim.KIM(model.published)
    expected = theirs.get_potential_energy()
    assert ours.get_potential_energy() == pytest.approx(expected, rel=ENERGY_TOLERANCE)
    assert_same(ours.get_forces(), theirs.get_forces(), FORCE_TOLERANCE)


@pytest.mark.parametrize(
    ("model", "make"), [(DUNN, hot_diamond), (SNAP, slab)], ids=["dunn_carbon", "snap_silicon"]
)
def test_two_ranks_compute_what_the_published_potential_does_on_one(
    model: Model, make: Callable[[], Atoms], converted: Callable[[Model], str], lammps: Lammps
) -> None:
    elements = (model.element,)
    ours = lammps.static(make(), converted(model), ranks=2, elements=elements)
    theirs = lammps.static(make(), model.published, elements=elements)
    assert_same_static(ours, theirs)


@pytest.mark.parametrize("model", [DUNN, SNAP], ids=["dunn_carbon", "snap_silicon"])
def test_the_example_input_takes_the_same_path_as_with_the_published_potential(
    model: Model, converted: Callable[[Model], str], lammps: Lammps
) -> None:
    script = ROOT / "examples" / model.example / model.script
    start, totals = example_run(lammps, script, converted(model), ranks=2, steps=4)
    expected_start, expected = example_run(lammps, script, model.published, ranks=1, steps=4)
    assert len(totals) == 5
    np.testing.assert_allclose(start, expected_start, rtol=0, atol=1e-8)
    np.testing.assert_allclose(totals, expected, rtol=0, atol=2e-8)  # as printed


def test_the_converter_says_where_to_get_a_model_that_is_missing(tmp_path: Path) -> None:
    code = "import sys, convert; convert.PUBLISHED = 'No_Such_Model'; convert.main()"
    for model in (DUNN, SNAP):
        folder = ROOT / "examples" / model.example
        with pytest.raises(AssertionError, match="openkim-models"):
            run(
                [sys.executable, "-c", f"import sys; sys.path[0] = {str(folder)!r}; {code}"],
                cwd=tmp_path,
            )
