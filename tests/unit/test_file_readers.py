"""The driver and the installer read the same values in a file, or both refuse it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.value_files import (
    BAD_DESCRIPTORS,
    BAD_PARAMETERS,
    GOOD_DESCRIPTORS,
    GOOD_PARAMETERS,
    WRONG_DESCRIPTORS,
)
from torchml_installer.errors import BadParameterFileError
from torchml_installer.models import descriptor_file, parameter_file


class Reader:
    """The driver's."""

    def __init__(self, program: Path, folder: Path) -> None:
        self.program = program
        self.folder = folder

    def read(self, name: str, contents: bytes, suffix: str) -> tuple[dict[str, Any], Path]:
        """The driver's message for a file, and the file."""
        file = self.folder / f"{name.replace('/', ' ')}{suffix}"
        file.write_bytes(contents)
        done = subprocess.run([str(self.program), str(file)], capture_output=True, check=True)
        said: dict[str, Any] = json.loads(done.stdout.decode(errors="replace"))
        return said, file


@pytest.fixture
def driver(programs: Path, tmp_path: Path) -> Reader:
    return Reader(programs / "torchml_read_files", tmp_path)


def as_json(parameters: parameter_file.Parameters) -> Mapping[str, Any]:
    """As the driver's reader prints it."""
    return {
        "elements": list(parameters.elements),
        "preprocessing": parameters.pattern.preprocessing,
        "cutoff": parameters.cutoff,
        "n_layers": parameters.n_layers,
        "model_file": parameters.model_file,
        "returns_forces": parameters.returns_forces,
        "n_inputs": parameters.n_inputs,
        "descriptor": parameters.descriptor,
        "edge_receiver_row": parameters.graph.edge_receiver_row,
        "drop_unused_particles": parameters.graph.drop_unused_particles,
        "precision": parameters.precision,
        "atomic_numbers": parameters.atomic_numbers,
        "returns_edge_gradient": parameters.returns_edge_gradient,
    }


@pytest.mark.parametrize("name", GOOD_PARAMETERS)
def test_the_same_parameters_are_read(name: str, driver: Reader) -> None:
    said, file = driver.read(name, GOOD_PARAMETERS[name], ".param")
    assert said == as_json(parameter_file.read(file))


@pytest.mark.parametrize("name", BAD_PARAMETERS)
def test_the_same_parameter_files_are_refused(name: str, driver: Reader) -> None:
    said, file = driver.read(name, BAD_PARAMETERS[name], ".param")
    assert list(said) == ["error"]
    with pytest.raises(BadParameterFileError):
        parameter_file.read(file)


@pytest.mark.parametrize("name", GOOD_DESCRIPTORS)
def test_the_same_descriptor_is_read(name: str, driver: Reader) -> None:
    said, file = driver.read(name, GOOD_DESCRIPTORS[name], ".dat")
    summary = descriptor_file.summary(file)
    assert said["kind"] == summary["kind"]
    assert said["functions"] == summary["functions"]
    assert summary["cutoff"] in (None, said["cutoff"])
    assert summary["cutoff"] is not None or said["kind"] == "SOAP"


@pytest.mark.parametrize("name", BAD_DESCRIPTORS)
def test_the_same_descriptor_files_are_refused(name: str, driver: Reader) -> None:
    said, file = driver.read(name, BAD_DESCRIPTORS[name], ".dat")
    assert list(said) == ["error"]
    with pytest.raises(BadParameterFileError):
        descriptor_file.summary(file)


@pytest.mark.parametrize("name", WRONG_DESCRIPTORS)
def test_wrong_numbers_in_a_descriptor_file_are_left_to_the_driver(
    name: str, driver: Reader
) -> None:
    said, file = driver.read(name, WRONG_DESCRIPTORS[name], ".dat")
    assert list(said) == ["error"]
    assert descriptor_file.summary(file)["kind"] in ("SymmetryFunctions", "Bispectrum", "SOAP")
