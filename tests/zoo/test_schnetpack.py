"""SchNetPack's models, packed by one command, give SchNetPack's own numbers in LAMMPS."""

from __future__ import annotations

import pytest

from tests.support import DriverEnvironment
from tests.zoo.libraries import Library, crystal, library, require_same_in_lammps

pytestmark = pytest.mark.slow

ELEMENTS = ("H", "O", "Si")
UNIT = ("--option", "energy_unit=kcal/mol")
THREE = ("--option", "elements=H,O,Si")


@pytest.fixture(scope="module")
def schnetpack(
    driver_environment: DriverEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> Library:
    folder = tmp_path_factory.mktemp("schnetpack")
    needed = ["schnetpack==2.0.4"]
    return library(driver_environment, folder, "schnetpack", "schnetpack_models", needed)


@pytest.mark.parametrize("kind", ["schnet", "schnet_float32", "painn_references", "so3net"])
def test_lammps_gives_schnetpacks_numbers_on_any_ranks(
    schnetpack: Library, driver_environment: DriverEnvironment, kind: str
) -> None:
    source = schnetpack.make(kind, ".model")
    options = UNIT if kind == "painn_references" else (*UNIT, *THREE)
    answer = schnetpack.packed(source, *options, name=f"SchNetPack_{kind}")
    single = kind.endswith("float32")
    assert answer["library"]["largest_difference"] < (1e-6 if single else 1e-12)
    precision = "float32" if single else "float64"
    expected = schnetpack.compute(kind, source, crystal(ELEMENTS), precision)
    packed = schnetpack.folder / f"SchNetPack_{kind}"
    require_same_in_lammps(
        driver_environment,
        schnetpack.folder,
        packed,
        ELEMENTS,
        expected,
        1e-6 if single else 1e-11,
        exchanges=kind != "so3net",
    )


def test_units_and_elements_that_the_model_does_not_record_are_asked_for(
    schnetpack: Library,
) -> None:
    source = schnetpack.make("schnet", ".model")
    for options, message in (
        ((), "The model does not record its unit of energy."),
        (UNIT, "The model does not record for which elements it was trained."),
        (("--option", "energy_unit=furlong"), "SchNetPack does not know the unit furlong"),
    ):
        done = schnetpack.pack(source, *options)
        assert done.returncode == 35
        assert message in done.stderr
