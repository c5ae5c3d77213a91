"""CHGNet's models, packed by one command with the weights of its package, give CHGNet's own numbers
in LAMMPS."""

from __future__ import annotations

import pytest
from ase.build import bulk

from tests.support import DriverEnvironment, torchml_install
from tests.support.lammps_runs import Lammps
from tests.zoo.libraries import Library, crystal, library, require_same_in_lammps
from tests.zoo.steadiness import require_steady_energy

pytestmark = pytest.mark.slow

ELEMENTS = ("H", "O", "Si")


@pytest.fixture(scope="module")
def chgnet(
    driver_environment: DriverEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> Library:
    folder = tmp_path_factory.mktemp("chgnet")
    return library(driver_environment, folder, "chgnet", "chgnet_models", ["chgnet==0.4.2"])


@pytest.fixture(scope="module")
def chgnet_0_3_0(chgnet: Library) -> Library:
    """With the packed model CHGNet_0_3_0 in its folder."""
    answer = chgnet.packed("0.3.0", name="CHGNet_0_3_0")
    assert len(answer["elements"]) == 94
    assert (answer["cutoff"], answer["n_layers"], answer["precision"]) == (6.0, 4, "float32")
    assert answer["atomic_numbers"]
    assert any("Magnetic moments" in note for note in answer["library"]["notes"])
    return chgnet


def test_lammps_gives_chgnets_numbers_on_any_ranks(
    chgnet_0_3_0: Library, driver_environment: DriverEnvironment
) -> None:
    folder = chgnet_0_3_0.folder
    expected = chgnet_0_3_0.compute("0.3.0", folder, crystal(ELEMENTS), "float32")
    packed = folder / "CHGNet_0_3_0"
    # CHGNet itself computes positions in single precision: its forces round more than energies.
    require_same_in_lammps(driver_environment, folder, packed, ELEMENTS, expected, 3e-6)
    salt = bulk("NaCl", "rocksalt", a=5.64, cubic=True)
    require_steady_energy(Lammps(folder, driver_environment.env), "CHGNet_0_3_0", salt)


def test_chgnet_passes_all_checks(
    chgnet_0_3_0: Library, driver_environment: DriverEnvironment
) -> None:
    folder = chgnet_0_3_0.folder
    torchml_install("model", "verify", "CHGNet_0_3_0", env=driver_environment.env, cwd=folder)


@pytest.mark.parametrize("source", ["0.2.0", "r2scan"])
def test_other_models_of_the_package_are_packed(chgnet: Library, source: str) -> None:
    assert chgnet.packed(source, name="Other")["library"]["source"] == source
