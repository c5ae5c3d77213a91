"""Models that metatomic exported, packed by one command, give metatomic's own numbers in LAMMPS,
which has neither Python nor metatomic."""

from __future__ import annotations

import pytest

from tests.support import DriverEnvironment
from tests.zoo.libraries import Library, crystal, library, parameters, require_same_in_lammps

pytestmark = pytest.mark.slow

ELEMENTS = ("H", "O", "Si")
REQUIREMENTS = (
    "metatomic-torch==0.1.19",
    "metatomic-ase==0.1.4",
    "metatrain[soap-bpnn]==2026.4.1",
)


@pytest.fixture(scope="module")
def metatomic(
    driver_environment: DriverEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> Library:
    folder = tmp_path_factory.mktemp("metatomic")
    return library(driver_environment, folder, "metatomic", "metatomic_models", REQUIREMENTS)


@pytest.mark.parametrize("kind", ["list", "half", "positions", "float32", "units", "pet"])
def test_lammps_gives_metatomics_numbers_on_any_ranks(
    metatomic: Library, driver_environment: DriverEnvironment, kind: str
) -> None:
    source = metatomic.make(kind, ".pt")
    answer = metatomic.packed(source, name=f"Metatomic_{kind}")
    single = kind == "float32"
    assert answer["library"]["largest_difference"] < (1e-6 if single else 1e-12)
    # PET passes messages once more than it declares.
    staged = kind in ("positions", "pet")
    assert (answer["pattern"], answer["n_layers"]) == (
        "graph" if staged else "edges",
        3 if kind == "pet" else 2,
    )
    expected = metatomic.compute(kind, source, crystal(ELEMENTS))
    require_same_in_lammps(
        driver_environment,
        metatomic.folder,
        metatomic.folder / f"Metatomic_{kind}",
        ELEMENTS,
        expected,
        1e-6 if single else 1e-11,
        runs=(("auto", 1), ("auto", 2), ("auto", 3)) if staged else None,
        invariant=kind != "pet",
    )


def test_one_of_several_energies_is_chosen(metatomic: Library) -> None:
    source = metatomic.make("variants", ".pt")
    answer = metatomic.packed(source, "--option", "variant=two", name="Metatomic_two")
    assert answer["library"]["facts"]["variant"] == "two"
    for options, message in (
        ((), "The model gives several energies: one, two."),
        (("--option", "variant=six"), "has no variant six"),
    ):
        done = metatomic.pack(source, *options)
        assert done.returncode == 35
        assert message in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("charge", "needs more than positions: charge"),
        ("longrange", "interactions at long range"),
        ("whole", "not those of atoms"),
        ("dipole", "gives no energy, only mtt::dipole"),
        ("soap_bpnn", "sphericart_torch, which computes derivatives in Python alone"),
    ],
)
def test_what_a_simulation_cannot_have_is_refused(
    metatomic: Library, kind: str, message: str
) -> None:
    done = metatomic.pack(metatomic.make(kind, ".pt"))
    assert done.returncode == 50
    assert message in " ".join(done.stderr.split())


def test_species_codes_are_recorded_as_atomic_numbers(metatomic: Library) -> None:
    metatomic.packed(metatomic.make("list", ".pt"), name="Metatomic_codes")
    values = parameters(metatomic.folder / "Metatomic_codes")
    assert values[values.index("atomic_numbers") + 1] == "True"
