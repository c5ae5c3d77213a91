"""The driver reads all its environment variables alike: empty counts as unset, spaces and case do
not matter, and an unknown value is an error that names the variable and its values.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.support.descriptor_models import TanhNetwork, write_descriptor_model
from tests.support.torch_models import Springs, write_model

pytestmark = pytest.mark.usefixtures("driver_environment")

PLACES = np.array([[0.0, 0.0, 0.0], [2.0, 0.1, 0.3], [1.0, 2.0, 0.2]])


def springs(folder: Path) -> Path:
    return write_model(folder, Springs())


def descriptors(folder: Path) -> Path:
    return write_descriptor_model(folder, TanhNetwork(15), "every_kind")


#: A model that the variable affects, the variable's values, and the default.
VARIABLES: dict[str, tuple[Callable[[Path], Path], tuple[str, ...], str]] = {
    "KIM_MODEL_PROFILE": (springs, ("0", "1", "no", "yes", "false", "true", "off", "on"), "off"),
    "KIM_MODEL_EXECUTION_DEVICE": (springs, ("cpu", "cuda", "mps", "xpu"), "cpu"),
    "KIM_MODEL_DESCRIPTOR_BACKEND": (descriptors, ("native", "libdescriptor"), "native"),
    "TORCHML_INSTRUCTION_SET": (descriptors, ("avx512", "avx2", "baseline"), "avx512"),
}


def energy(folder: Path) -> float:
    import torchml_driver

    return float(torchml_driver.Potential(folder).compute(["Si"] * 3, PLACES).energy)


@pytest.mark.parametrize("name", VARIABLES)
def test_an_unknown_value_is_named_with_those_that_there_are(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torchml_driver

    write, values, _ = VARIABLES[name]
    folder = write(tmp_path / "model")
    monkeypatch.setenv(name, "perhaps")
    with pytest.raises(torchml_driver.Error, match=f"{name} is 'perhaps'; it must be") as raised:
        energy(folder)
    for value in values:
        assert re.search(rf"\b{value}\b", str(raised.value)), value


@pytest.mark.parametrize("name", VARIABLES)
def test_an_empty_value_counts_as_none_and_capitals_and_spaces_do_not_matter(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, _, default = VARIABLES[name]
    folder = write(tmp_path / "model")
    monkeypatch.delenv(name, raising=False)
    expected = energy(folder)
    for value in ("", " ", default, default.upper(), f" {default.capitalize()} "):
        monkeypatch.setenv(name, value)
        assert energy(folder) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KIM_MODEL_TORCH_EXTENSIONS", ""),
        ("KIM_MODEL_TORCH_EXTENSIONS", " "),
        ("KIM_MODEL_TORCH_EXTENSIONS", ":"),
        ("LIBDESCRIPTOR_ROOT", ""),
        ("LIBDESCRIPTOR_ROOT", " "),
    ],
)
def test_an_empty_path_is_no_path(
    name: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = descriptors(tmp_path / "model")
    monkeypatch.setenv(name, value)
    energy(folder)


@pytest.mark.parametrize(("value", "printed"), [("1", True), ("yes", True), ("0", False)])
def test_a_profile_is_printed_where_it_is_switched_on(
    value: str,
    printed: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("KIM_MODEL_PROFILE", value)
    energy(springs(tmp_path / "model"))
    assert ("TorchML profile" in capfd.readouterr().err) is printed
