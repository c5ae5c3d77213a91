"""NequIP's and Allegro's models, packed by one command, give NequIP's own numbers in LAMMPS."""

from __future__ import annotations

import pytest

from tests.support import DriverEnvironment
from tests.zoo.libraries import (
    Library,
    crystal,
    library,
    parameters,
    require_same_in_lammps,
)

pytestmark = pytest.mark.slow

ELEMENTS = ("H", "O", "Si")
REQUIREMENTS = ("nequip==0.19.1", "nequip-allegro==0.8.3")


@pytest.fixture(scope="module")
def nequip(
    driver_environment: DriverEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> Library:
    folder = tmp_path_factory.mktemp("nequip")
    return library(driver_environment, folder, "nequip", "nequip_models", REQUIREMENTS)


@pytest.mark.parametrize(
    ("kind", "suffix"),
    [
        ("nequip", ".ckpt"),
        ("nequip", ".nequip.zip"),
        ("nequip", ".nequip.pth"),
        ("nequip32", ".ckpt"),
        ("nequip_more", ".ckpt"),
        ("allegro", ".ckpt"),
        ("allegro", ".nequip.zip"),
        ("allegro32", ".ckpt"),
        ("allegro_more", ".ckpt"),
    ],
)
def test_lammps_gives_nequips_numbers_on_any_ranks(
    nequip: Library, driver_environment: DriverEnvironment, kind: str, suffix: str
) -> None:
    nequip.make(kind, ".ckpt")
    source = nequip.make(kind, suffix)
    one = nequip.of("allegro" if kind.startswith("allegro") else "nequip")
    name = f"NequIP_{kind}{suffix.replace('.', '_')}"
    answer = one.packed(source, name=name)
    single = kind.endswith("32")
    assert answer["library"]["largest_difference"] < (2e-6 if single else 1e-12)
    expected = nequip.compute(kind, source, crystal(ELEMENTS))
    require_same_in_lammps(
        driver_environment,
        nequip.folder,
        nequip.folder / name,
        ELEMENTS,
        expected,
        2e-6 if single else 1e-11,
        exchanges=kind.startswith("nequip") and suffix != ".nequip.pth",
    )


def test_layers_and_type_are_read_from_the_model(nequip: Library) -> None:
    """Allegro passes no messages: an energy depends on its atom's neighbours alone."""
    for kind, layers in (("nequip_more", "3"), ("allegro32", "1")):
        name = f"NequIP_read_{layers}"
        nequip.packed(nequip.make(kind, ".ckpt"), name=name)
        values = parameters(nequip.folder / name)
        assert values[4:7] == ["Edges", "4.0", layers]
        assert values[values.index("precision") + 1] == "float64"


def test_types_that_are_not_elements_are_asked_for(nequip: Library) -> None:
    source = nequip.make("nequip_types", ".ckpt")
    done = nequip.pack(source)
    assert done.returncode == 35
    assert "Types of the model are not named as elements are: A." in done.stderr
    assert "--option types=Si:A,O:B" in done.stderr
    answer = nequip.packed(source, "--option", "types=H:A,O:B,Si:C", name="NequIP_types")
    assert answer["library"]["largest_difference"] < 1e-12


def test_code_for_other_simulators_is_refused_with_advice(nequip: Library) -> None:
    compiled = nequip.folder / "compiled.nequip.pt2"
    compiled.write_bytes(b"")
    for name in ("nequip", "allegro"):
        done = nequip.of(name).pack(compiled)
        assert done.returncode == 50
        assert "the checkpoint (.ckpt) or the package (.nequip.zip)" in " ".join(
            done.stderr.split()
        )


def test_a_file_of_nequip_is_not_allegros(nequip: Library) -> None:
    done = nequip.of("allegro").pack(nequip.make("nequip", ".ckpt"))
    assert done.returncode == 49
    assert "Use --from nequip." in done.stderr
