"""MACE's models, packed by one command, give MACE's own numbers in LAMMPS."""

from __future__ import annotations

import shutil
from pathlib import Path

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
HEADS = ("--option", "head=cc")


@pytest.fixture(scope="module")
def mace(
    driver_environment: DriverEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> Library:
    folder = tmp_path_factory.mktemp("mace")
    return library(driver_environment, folder, "mace", "mace_models", ["mace-torch==0.3.16"])


@pytest.mark.parametrize("kind", ["plain", "float32", "heads", "repulsion", "nonlinear", "three"])
def test_lammps_gives_maces_numbers_on_any_ranks(
    mace: Library, driver_environment: DriverEnvironment, kind: str
) -> None:
    source = mace.make(kind, ".model")
    answer = mace.packed(source, *(HEADS if kind == "heads" else ()), name=f"MACE_{kind}")
    assert answer["library"]["largest_difference"] < (1e-6 if kind == "float32" else 1e-12)
    precision = "float32" if kind == "float32" else "float64"
    expected = mace.compute(kind, source, crystal(ELEMENTS), precision)
    rounding = 1e-6 if kind == "float32" else 1e-11
    packed = mace.folder / f"MACE_{kind}"
    require_same_in_lammps(
        driver_environment, mace.folder, packed, ELEMENTS, expected, rounding, exchanges=True
    )


def test_what_is_needed_is_read_from_the_model(mace: Library) -> None:
    mace.packed(mace.make("three", ".model"), name="MACE_read")
    assert parameters(mace.folder / "MACE_read") == [
        *("3", "H", "O", "Si", "Edges", "4.0", "3", "MACE_read.pt", "False", "4", "None"),
        *("precision", "float64", "atomic_numbers", "False"),
    ]


def test_density_models_and_conversion_to_float32(mace: Library) -> None:
    source = mace.make("density", ".model")
    answer = mace.packed(source, "--option", "dtype=float32", name="MACE_density")
    assert answer["library"]["tolerance"] == 1e-5
    assert answer["library"]["largest_difference"] < 1e-6


@pytest.mark.parametrize("options", [(), ("--option", "charge=-2", "--option", "spin=3")])
def test_charge_and_spin_are_those_of_the_options(mace: Library, options: tuple[str, ...]) -> None:
    answer = mace.packed(mace.make("charge", ".model"), *options, name="MACE_charge")
    charge, spin = ("-2", "3") if options else ("0", "1")
    assert f"The total charge is {charge} in every system." in answer["library"]["notes"]
    assert f"The total spin is {spin} in every system." in answer["library"]["notes"]
    assert answer["library"]["largest_difference"] < 1e-12


def test_a_head_must_be_chosen_and_exist(mace: Library) -> None:
    source = mace.make("heads", ".model")
    done = mace.pack(source)
    assert done.returncode == 35
    assert "The model has several heads: dft, cc." in done.stderr
    done = mace.pack(source, "--option", "head=mp2")
    assert done.returncode == 35
    assert "The model has no head mp2." in done.stderr


def test_options_that_the_model_does_not_take_are_refused(mace: Library) -> None:
    source = mace.make("plain", ".model")
    for option, message in (
        ("charge=1", "The model takes no charge."),
        ("dtype=float16", "There is no type float16."),
    ):
        done = mace.pack(source, "--option", option)
        assert done.returncode == 35
        assert message in done.stderr


def test_a_name_is_found_among_maces_downloads(mace: Library, tmp_path: Path) -> None:
    """Here in the folder in which MACE keeps them, since there is no network."""
    kept = tmp_path / "mace" / "20231210mace128L0_energy_epoch249model"
    kept.parent.mkdir()
    shutil.copy(mace.make("plain", ".model"), kept)
    elsewhere = Library(
        mace.name, mace.python, {**mace.env, "XDG_CACHE_HOME": str(tmp_path)}, mace.script,
        mace.folder,
    )  # fmt: skip
    answer = elsewhere.packed("small", name="MACE_MP_small")
    assert answer["library"]["largest_difference"] < 1e-12


def test_a_compiled_file_is_refused_with_advice(mace: Library) -> None:
    code = (
        "import sys, torch, mace; from e3nn.util import jit; torch.set_default_dtype(torch.float64)"
        "; jit.compile(torch.load(sys.argv[1], weights_only=False)).save(sys.argv[2])"
    )
    compiled = mace.folder / "compiled.model"
    from tests.support import run

    run([mace.python, "-c", code, mace.make("plain", ".model"), compiled], env=mace.env)
    done = mace.pack(compiled)
    assert done.returncode == 50
    assert "Name the .model file that training wrote beside it." in done.stderr
