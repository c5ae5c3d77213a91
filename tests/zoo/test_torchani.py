"""TorchANI's models, packed by one command, give TorchANI's own numbers in LAMMPS."""

from __future__ import annotations

import pytest

from tests.support import DriverEnvironment
from tests.zoo.libraries import Library, crystal, library, require_same_in_lammps

pytestmark = pytest.mark.slow

ELEMENTS = ("H", "C", "N", "O")


@pytest.fixture(scope="module")
def torchani(
    driver_environment: DriverEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> Library:
    folder = tmp_path_factory.mktemp("torchani")
    return library(driver_environment, folder, "torchani", "torchani_models", ["torchani==2.9.0"])


@pytest.mark.parametrize("kind", ["plain", "repulsion", "ensemble", "float32"])
def test_lammps_gives_torchanis_numbers_on_any_ranks(
    torchani: Library, driver_environment: DriverEnvironment, kind: str
) -> None:
    source = torchani.make(kind, ".pt")
    answer = torchani.packed(source, name=f"TorchANI_{kind}")
    single = kind == "float32"
    assert answer["library"]["largest_difference"] < (5e-6 if single else 1e-12)
    expected = torchani.compute(kind, source, crystal(ELEMENTS), "float32" if single else "float64")
    packed = torchani.folder / f"TorchANI_{kind}"
    require_same_in_lammps(
        driver_environment, torchani.folder, packed, ELEMENTS, expected, 2e-6 if single else 1e-11
    )


def test_one_network_of_an_ensemble(torchani: Library) -> None:
    source = torchani.make("ensemble", ".pt")
    answer = torchani.packed(source, "--option", "member=1", name="TorchANI_member")
    assert answer["library"]["largest_difference"] < 1e-12
    done = torchani.pack(source, "--option", "member=3")
    assert done.returncode == 35
    assert "The model has no network 3." in done.stderr


def test_dispersion_between_all_atoms_is_refused(torchani: Library) -> None:
    """Its coefficients depend on the coordination of both atoms."""
    done = torchani.pack(torchani.make("dispersion", ".pt"))
    assert done.returncode == 50
    assert "TwoBodyDispersionD3" in done.stderr


def test_a_name_that_torchani_does_not_know_lists_those_that_it_does(torchani: Library) -> None:
    done = torchani.pack("ANI3x")
    assert done.returncode == 30
    assert "ANI1x" in done.stderr
    assert "ANI2x" in done.stderr
    assert "simple_ani" not in done.stderr
