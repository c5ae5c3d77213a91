"""What compiled models say of themselves: the engine and the installer read the same, and refuse
the same."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

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
