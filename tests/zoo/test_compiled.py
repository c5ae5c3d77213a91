"""Models of libraries as machine code: their libraries' own numbers, in LAMMPS on any ranks."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import DriverEnvironment
from tests.zoo.libraries import Library, crystal, library, require_same_in_lammps

pytestmark = pytest.mark.slow

ELEMENTS = ("H", "O", "Si")
UNIT = ("--option", "energy_unit=eV")
#: By adapter: what pip installs; a small model, the ending of its file, options; relative rounding.
LIBRARIES: dict[str, tuple[list[str], str, str, tuple[str, ...], float]] = {
    "mace": (["mace-torch==0.3.16"], "plain", ".model", (), 1e-11),
    "sevennet": (["sevenn==0.13.0"], "7net-0", "", (), 1e-6),
    "nequip": (["nequip==0.19.1", "nequip-allegro==0.8.3"], "nequip", ".ckpt", (), 1e-11),
    "schnetpack": (["schnetpack==2.0.4"], "painn_references", ".model", UNIT, 1e-11),
}


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_compiled_model_gives_its_librarys_numbers(
    driver_environment: DriverEnvironment, tmp_path: Path, name: str
) -> None:
    requirements, kind, suffix, options, rounding = LIBRARIES[name]
    one: Library = library(driver_environment, tmp_path, name, f"{name}_models", requirements)
    source = one.make(kind, suffix) if suffix else kind
    packed = one.folder / f"Compiled_{name}"
    answer = one.packed(source, "--compile", *options, name=packed.name)
    assert answer["library"]["compiled"]["device"] == "cpu"
    assert answer["library"]["largest_difference"] < rounding
    precision = "float32" if name == "sevennet" else "float64"
    expected = one.compute(kind, Path(source), crystal(ELEMENTS), precision)
    require_same_in_lammps(driver_environment, one.folder, packed, ELEMENTS, expected, rounding)
