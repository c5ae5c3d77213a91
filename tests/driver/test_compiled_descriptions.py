"""Descriptions in compiled models: the engine and the installer read and refuse the same ones."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.packages import BAD, GOOD, ON_CPU
from torchml_installer.errors import ModelFileDamagedError, NotTorchScriptError
from torchml_installer.models.compiled import inspect

pytestmark = pytest.mark.usefixtures("driver_environment")


def write_package(path: Path, text: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/extra/torchml.txt", text)
    return path


@pytest.mark.parametrize("name", GOOD)
def test_the_engine_and_the_installer_read_the_same(name: str, tmp_path: Path) -> None:
    from torchml_driver import _core

    read = inspect(write_package(tmp_path / "model.pt2", GOOD[name]))
    assert _core.package_facts(GOOD[name]) == {
        "torch": read.torch,
        "device": read.device,
        "machine": read.machine,
        "capability": read.capability,
        "instructions": list(read.instructions),
        "arguments": [(one.name, one.dtype, list(one.sizes)) for one in read.signature],
        "forces": read.returns_forces,
        "entries": list(read.entries),
    }


@pytest.mark.parametrize(("line", "instead"), BAD)
def test_the_engine_and_the_installer_refuse_the_same(
    line: str, instead: str, tmp_path: Path
) -> None:
    from torchml_driver import _core

    text = ON_CPU.replace(line, instead)
    assert text != ON_CPU
    file = write_package(tmp_path / "model.pt2", text)
    with pytest.raises((ModelFileDamagedError, NotTorchScriptError)) as caught:
        inspect(file)
    assert "torchml-install model compile" in caught.value.remedy
    with pytest.raises(RuntimeError, match=r"model\.pt2"):
        _core.package_facts(text)


STEPS = """\
torchml-package 3
device cpu
argument coords float64 * 3
argument pairs int64 2 *
gradient coords
entry energies_and_gradient
step energies_and_gradient {"select": 2, "argument": 1, "index": 0}
step energies_and_gradient {"zeros": 3, "type": "float64", "sizes": [{"argument": 0, "axis": 0}, 3]}
step energies_and_gradient {"part": "a", "block": 2, "inputs": [{"value": 2, "rows": true}, \
{"value": 0, "read_at": [2]}], "outputs": [{"value": 3, "add_at": 2}]}
step energies_and_gradient {"exchange": 5, "of": 3, "backward": false}
step energies_and_gradient {"part": "b", "block": 0, "inputs": [{"value": 5}], \
"outputs": [{"value": 4}]}
step energies_and_gradient {"return": [3, 4]}
"""

#: What is wrong in STEPS, and in place of what.
BAD_STEPS = [
    ('{"return": [3, 4]}', '{"return": []}'),
    ('{"return": [3, 4]}', '{"return": [6]}'),
    ('{"return": [3, 4]}', '{"return": [3, 4]'),
    ('{"return": [3, 4]}', "return 3 4"),
    ('{"return": [3, 4]}', '{"return": [3, 4], "more": 1}'),
    ('{"return": [3, 4]}', '{"result": [3, 4]}'),
    ('{"return": [3, 4]}', '["return"]'),
    ('{"select": 2', '{"select": 0'),
    ('{"select": 2', '{"select": 100000'),
    ('"argument": 1, "index": 0', '"argument": 1, "index": 2'),
    ('"argument": 1, "index": 0', '"argument": 0, "index": 0'),
    ('"argument": 1, "index": 0', '"argument": 2, "index": 0'),
    ('"argument": 1, "index": 0', '"argument": 1'),
    ('"float64", "sizes"', '"complex64", "sizes"'),
    ('"axis": 0', '"axis": 2'),
    ('"axis": 0', '"axis": -1'),
    ('"block": 2', '"block": 0'),
    ('"block": 2', '"block": "2"'),
    ('"rows": true', '"rows": false'),
    ('"rows": true', '"rows": true, "read_at": [2]'),
    ('"rows": true', '"split": true'),
    ('"read_at": [2]', '"read_at": [4]'),
    ('"read_at": [2]', '"read_at": 2'),
    ('"add_at": 2', '"add_at": 6'),
    ('"add_at": 2', '"rows": true'),
    ('"add_at": 2', '"add_at": 2, "one_where": [1]'),
    ('"add_at": 2', '"add_at": 2, "zero_where": [], "one_where": [2]'),
    ('{"value": 3, "add_at": 2}', '{"value": 0, "add_at": 2}'),
    ('"part": "b"', '"part": ""'),
    ('"outputs": [{"value": 4}]', '"outputs": []'),
    ('"outputs": [{"value": 4}]', '"outputs": [{"value": 3}]'),
    ('"inputs": [{"value": 5}]', '"inputs": [5]'),
    ('"exchange": 5, "of": 3', '"exchange": 3, "of": 3'),
    ('"exchange": 5, "of": 3', '"exchange": 5, "of": 4'),
    ('"exchange": 5, "of": 3', '"exchange": 5'),
    ('"backward": false', '"backward": 0'),
    ('"backward": false', '"block": 0'),
    (', "backward": false', ""),
]


def run_steps(text: str) -> tuple[torch.Tensor, ...]:
    """Adds up rows of coords by the first row of pairs, and doubles the sums."""
    from torchml_driver import _core
    from torchml_driver.inputs import from_engine, to_engine

    def part(name: str, taken: Any) -> Any:
        inputs = from_engine(taken)
        made = 2 * inputs[0] if name == "b" else inputs[1][inputs[0]]
        return to_engine((made,))

    coords = torch.arange(9, dtype=torch.float64).reshape(3, 3)
    inputs = to_engine((coords, torch.tensor([[0, 2, 2], [1, 1, 0]])))
    return from_engine(_core.run_plan(text, "energies_and_gradient", inputs, part, 1 << 30))


def test_steps_run_as_they_are_described() -> None:
    sums, doubled = run_steps(STEPS)
    expected = [[0.0, 1.0, 2.0], [0.0, 0.0, 0.0], [12.0, 14.0, 16.0]]
    assert sums.tolist() == expected
    assert torch.equal(doubled, 2 * sums)


@pytest.mark.parametrize(("line", "instead"), BAD_STEPS)
def test_invalid_steps_are_refused_by_name(line: str, instead: str) -> None:
    text = STEPS.replace(line, instead, 1)
    assert text != STEPS
    with pytest.raises(RuntimeError, match=r"has an invalid step: '.*`torchml-install model"):
        run_steps(text)


def test_steps_that_return_nothing_are_refused() -> None:
    text = STEPS[: STEPS.rindex("step ")]
    with pytest.raises(RuntimeError, match="none that returns"):
        run_steps(text)
