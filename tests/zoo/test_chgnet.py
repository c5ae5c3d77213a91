"""CHGNet's models are packed by one command, with the weights of its package."""

from __future__ import annotations

import pytest

from tests.support import DriverEnvironment
from tests.zoo.libraries import Library, library

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def chgnet(
    driver_environment: DriverEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> Library:
    folder = tmp_path_factory.mktemp("chgnet")
    return library(driver_environment, folder, "chgnet", "chgnet_models", ["chgnet==0.4.2"])


def test_what_is_needed_is_read_from_the_model(chgnet: Library) -> None:
    answer = chgnet.packed("0.3.0", name="CHGNet_0_3_0")
    assert len(answer["elements"]) == 94
    assert (answer["cutoff"], answer["n_layers"], answer["precision"]) == (6.0, 4, "float32")
    assert answer["atomic_numbers"]
    assert any("Magnetic moments" in note for note in answer["library"]["notes"])


@pytest.mark.parametrize("source", ["0.2.0", "r2scan"])
def test_other_models_of_the_package_are_packed(chgnet: Library, source: str) -> None:
    assert chgnet.packed(source, name="Other")["library"]["source"] == source
