"""A package records which species codes its model gets; an environment variable decides for
packages without a record, and may not contradict the others."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support import DriverEnvironment, install_kim_model
from tests.support.kim_simulator import Particles, Simulator
from tests.support.structures import dimer
from tests.support.torch_models import SpeciesAsEnergy, parameter_text, torchscript

VARIABLE = "KIM_MODEL_ELEMENTS_MAP"
NUMBERS = "TorchML_of_atomic_numbers"
CODES = "TorchML_of_species_codes"
UNRECORDED = "TorchML_that_does_not_say"
SETTINGS = {
    NUMBERS: "atomic_numbers True\n",
    CODES: "atomic_numbers False\n",
    UNRECORDED: "",
}


@pytest.fixture(scope="module", autouse=True)
def _installed(
    driver_environment: DriverEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> None:
    model = torchscript(SpeciesAsEnergy())
    for name, setting in SETTINGS.items():
        text = parameter_text("m.pt", elements="2\nC Si") + setting
        files = {"m.param": text.encode(), "m.pt": model}
        install_kim_model(driver_environment.folder, name, files, tmp_path_factory.mktemp("model"))


def energy_of_two_silicon_atoms(name: str) -> float:
    """eV: twice the code of silicon."""
    energy = Simulator(name).compute(Particles.of(dimer(), 3.0)).energy
    assert energy is not None
    return energy


def log(folder: Path, kind: str) -> str:
    found = re.findall(rf"\* {kind} \* [^\n]*", (folder / "kim.log").read_text())
    return "\n".join(entry for entry in found if "TorchML:" in entry)


@pytest.mark.usefixtures("in_collection")
def test_models_of_both_kinds_share_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert energy_of_two_silicon_atoms(NUMBERS) == 28.0
    assert energy_of_two_silicon_atoms(CODES) == 2.0
    assert energy_of_two_silicon_atoms(NUMBERS) == 28.0


@pytest.mark.usefixtures("in_collection")
def test_the_variable_decides_for_packages_that_do_not_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert energy_of_two_silicon_atoms(UNRECORDED) == 2.0
    for value in ("yes", "1", "True", "anything"):
        monkeypatch.setenv(VARIABLE, value)
        assert energy_of_two_silicon_atoms(UNRECORDED) == 28.0
    monkeypatch.setenv(VARIABLE, "")  # like any empty variable: unset
    assert energy_of_two_silicon_atoms(UNRECORDED) == 2.0
    assert log(tmp_path, "warning") == ""


@pytest.mark.usefixtures("in_collection")
@pytest.mark.parametrize("value", ["0", "no", "False", "OFF"])
def test_a_variable_that_means_no_is_taken_so_with_a_warning(
    value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The original driver interprets any value as yes."""
    monkeypatch.setenv(VARIABLE, value)
    assert energy_of_two_silicon_atoms(UNRECORDED) == 2.0
    warning = log(tmp_path, "warning")
    assert f"{VARIABLE} is '{value}'" in warning
    assert "any value as yes" in warning


@pytest.mark.usefixtures("in_collection")
@pytest.mark.parametrize(("name", "value"), [(CODES, "yes"), (NUMBERS, "0")])
def test_a_variable_that_contradicts_the_package_is_an_error(
    name: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, value)
    with pytest.raises(RuntimeError):
        Simulator(name)
    error = log(tmp_path, "error")
    assert "m.param" in error
    assert SETTINGS[name].strip() in error
    assert f"{VARIABLE}={value}" in error
    assert "Unset the variable" in error


@pytest.mark.usefixtures("in_collection")
@pytest.mark.parametrize(("name", "value"), [(CODES, "no"), (NUMBERS, "yes"), (NUMBERS, "")])
def test_a_variable_that_agrees_with_the_package_is_no_matter(
    name: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, value)
    assert energy_of_two_silicon_atoms(name) == (28.0 if name == NUMBERS else 2.0)
    assert log(tmp_path, "warning") == ""
