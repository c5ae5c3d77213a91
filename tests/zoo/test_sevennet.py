"""SevenNet's models are packed by one command, with the weights of its package."""

from __future__ import annotations

import pytest

from tests.support import DriverEnvironment
from tests.zoo.libraries import Library, library

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def sevennet(
    driver_environment: DriverEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> Library:
    folder = tmp_path_factory.mktemp("sevennet")
    return library(driver_environment, folder, "sevennet", "sevennet_models", ["sevenn==0.13.0"])


def test_what_is_needed_is_read_from_the_model(sevennet: Library) -> None:
    answer = sevennet.packed("7net-0", name="SevenNet_0")
    assert len(answer["elements"]) == 89
    assert (answer["cutoff"], answer["n_layers"], answer["precision"]) == (5.0, 5, "float32")
    assert "all 89 elements" in [row["system"] for row in answer["library"]["comparison"]]
    assert answer["library"]["largest_difference"] < 1e-6


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
