"""SevenNet's models, packed by one command with the weights of its package, give SevenNet's own
numbers in LAMMPS."""

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
def sevennet(
    driver_environment: DriverEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> Library:
    folder = tmp_path_factory.mktemp("sevennet")
    return library(driver_environment, folder, "sevennet", "sevennet_models", ["sevenn==0.13.0"])


@pytest.fixture(scope="module")
def sevennet_0(sevennet: Library) -> Library:
    """With the packed model SevenNet_0 in its folder."""
    answer = sevennet.packed("7net-0", name="SevenNet_0")
    assert len(answer["elements"]) == 89
    assert (answer["cutoff"], answer["n_layers"], answer["precision"]) == (5.0, 5, "float32")
    assert "all 89 elements" in [row["system"] for row in answer["library"]["comparison"]]
    assert answer["library"]["largest_difference"] < 1e-6
    return sevennet


def test_lammps_gives_sevennets_numbers_on_any_ranks(
    sevennet_0: Library, driver_environment: DriverEnvironment
) -> None:
    folder = sevennet_0.folder
    expected = sevennet_0.compute("7net-0", folder, crystal(ELEMENTS), "float32")
    packed = folder / "SevenNet_0"
    require_same_in_lammps(driver_environment, folder, packed, ELEMENTS, expected, 1e-6)
    salt = bulk("NaCl", "rocksalt", a=5.64, cubic=True)
    require_steady_energy(Lammps(folder, driver_environment.env), "SevenNet_0", salt)


def test_sevennet_0_passes_all_checks(
    sevennet_0: Library, driver_environment: DriverEnvironment
) -> None:
    folder = sevennet_0.folder
    torchml_install("model", "verify", "SevenNet_0", env=driver_environment.env, cwd=folder)


@pytest.mark.parametrize("source", ["7net-l3i5", "7net-0_22May2024"])
def test_other_models_of_the_package_are_packed(sevennet: Library, source: str) -> None:
    assert sevennet.packed(source, name="Other")["library"]["source"] == source


def test_a_model_of_several_data_sets_gives_the_chosen_one_s_energies(sevennet: Library) -> None:
    done = sevennet.pack("7net-mf-0", name="Multiple")
    assert done.returncode == 35
    assert "R2SCAN, PBE" in done.stderr
    for modal in ("PBE", "R2SCAN"):
        answer = sevennet.packed("7net-mf-0", "--option", f"modal={modal}", name=f"Of_{modal}")
        assert answer["library"]["facts"]["modal"] == modal
    done = sevennet.pack("7net-mf-0", "--option", "modal=SCAN", name="Multiple")
    assert done.returncode == 35
    done = sevennet.pack("7net-0", "--option", "modal=PBE", name="Multiple")
    assert done.returncode == 35
