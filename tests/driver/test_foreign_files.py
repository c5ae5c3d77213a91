"""Files that the driver cannot run are identified in one line, with a remedy."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch

from tests.support import DriverEnvironment, compiled_models
from tests.support.torch_models import parameter_text, torchscript

pytestmark = pytest.mark.usefixtures("driver_environment")


class Harmonic(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.k = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))

    def forward(
        self,
        species: torch.Tensor,
        coords: torch.Tensor,
        n_neigh: torch.Tensor,
        nlist: torch.Tensor,
        contributing: torch.Tensor,
    ) -> torch.Tensor:
        return (self.k * coords.pow(2)).sum(1)


class OnAGpu(Harmonic):
    def forward(
        self,
        species: torch.Tensor,
        coords: torch.Tensor,
        n_neigh: torch.Tensor,
        nlist: torch.Tensor,
        contributing: torch.Tensor,
    ) -> torch.Tensor:
        return (torch.ones(3, dtype=torch.float64, device="cuda:0") * coords).sum(1)


class Quantised(torch.nn.Module):
    """A model with an object of a class that C++ code registers."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.ao.nn.quantized.dynamic.Linear(3, 1)

    def forward(
        self,
        species: torch.Tensor,
        coords: torch.Tensor,
        n_neigh: torch.Tensor,
        nlist: torch.Tensor,
        contributing: torch.Tensor,
    ) -> torch.Tensor:
        return self.layer(coords.float()).double()


def rewritten(source: bytes, target: Path, edit: Callable[[str, bytes], bytes]) -> Path:
    """An archive with modified records, as zip writes it."""
    original = target.with_suffix(".original")
    original.write_bytes(source)
    with zipfile.ZipFile(original) as archive, zipfile.ZipFile(target, "w") as copy:
        for name in archive.namelist():
            copy.writestr(name, edit(name, archive.read(name)))
    return target


def records(path: Path, contents: Mapping[str, bytes]) -> Path:
    """An archive with these records, as torch writes it."""
    writer = torch._C.PyTorchFileWriter(str(path))
    for name, data in contents.items():
        writer.write_record(name, data, len(data))
    writer.write_end_of_file()
    return path


def refusal(model: Path, folder: Path) -> str:
    """The driver's message when it loads a model file or computes two atoms with it."""
    from torchml_driver.potential import Error, Potential

    folder.mkdir()
    name = f"model{model.suffix}"
    (folder / name).write_bytes(model.read_bytes())
    (folder / "model.param").write_text(parameter_text(name))
    with pytest.raises(Error) as raised:
        Potential(folder).compute(["Si", "Si"], [[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
    message = str(raised.value)
    assert "\n" not in message
    assert len(message) < 900
    for noise in ("frame #", "Exception raised from", "Facebook", "enforce fail", ".cc:", ".cpp:"):
        assert noise not in message
    return message


def test_a_program_of_torch_export_is_to_be_compiled(tmp_path: Path) -> None:
    inputs = (
        torch.zeros(5, dtype=torch.int64),
        torch.rand(5, 3, dtype=torch.float64),
        torch.zeros(4, dtype=torch.int32),
        torch.zeros(7, dtype=torch.int32),
        torch.ones(5, dtype=torch.int64),
    )
    file = tmp_path / "m.pt2"
    torch.export.save(torch.export.export(Harmonic(), inputs), str(file))
    message = refusal(file, tmp_path / "model")
    assert f"was written by torch.export.save (torch {torch.__version__}) and" in message
    assert "torchml-install model compile" in message
    file.rename(tmp_path / "m.pt")
    assert "was written by torch.export.save" in refusal(
        tmp_path / "m.pt", tmp_path / "as_torchscript"
    )


@pytest.mark.parametrize("saved", ["module", "state dict", "checkpoint"])
@pytest.mark.parametrize("old", [False, True])
def test_a_pickle_of_torch_is_told_how_to_become_torchscript(
    saved: str, old: bool, tmp_path: Path
) -> None:
    model = Harmonic()
    value = {
        "module": model,
        "state dict": model.state_dict(),
        "checkpoint": {"epoch": 3, "model": model.state_dict()},
    }[saved]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.save(value, tmp_path / "m.pt", _use_new_zipfile_serialization=not old)
    message = refusal(tmp_path / "m.pt", tmp_path / "model")
    assert ("is a Python pickle" if old else "was written by torch.save") in message
    assert "torch.jit.script(model).save" in message
    assert "e3nn.util.jit.script" in message
    assert "torchml-install model inspect" in message


def test_torchscript_of_a_newer_format_is_told_with_both_versions(tmp_path: Path) -> None:
    file = rewritten(
        torchscript(Harmonic()),
        tmp_path / "m.pt",
        lambda name, data: b"99\n" if name.endswith("/version") else data,
    )
    message = refusal(file, tmp_path / "model")
    assert "saved by a newer torch" in message
    assert "its format is 99" in message
    assert f"this process's torch {torch.__version__.split('+')[0]} reads formats up to" in message


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (b"torch.pow(coords, 2)", b"torch.powder(coords, 2)", "the operator aten::powder, which"),
        (
            b"torch.pow(coords, 2)",
            b"torch.pow(coords, 2, exactly=True)",
            "the operator aten::pow with arguments that",
        ),
        (
            b"torch.pow(coords, 2)",
            b"torch.selu(coords, exactly=True)",
            "the operator aten::selu with arguments that",
        ),
    ],
)
def test_an_operator_that_only_a_newer_torch_has_is_told(
    before: bytes, after: bytes, words: str, tmp_path: Path
) -> None:
    def edit(name: str, data: bytes) -> bytes:
        assert not name.endswith("/model.py") or before in data
        return data.replace(before, after) if name.endswith(".py") else data

    message = refusal(
        rewritten(torchscript(Harmonic()), tmp_path / "m.pt", edit), tmp_path / "model"
    )
    assert words in message
    assert f"this process's torch {torch.__version__.split('+')[0]} does not know" in message
    assert "a newer torch saved the file (its format is" in message


def test_a_class_that_a_library_defines_is_named(tmp_path: Path) -> None:
    def edit(name: str, data: bytes) -> bytes:
        data = data.replace(b"quantized.LinearPackedParamsBase", b"lab.Evaluation")
        return data.replace(b"quantized\nLinearPackedParamsBase", b"lab\nEvaluation")

    message = refusal(
        rewritten(torchscript(Quantised()), tmp_path / "m.pt", edit), tmp_path / "model"
    )
    assert "classes that a C++ library defines and torch does not know: lab.Evaluation." in message
    assert "KIM_MODEL_TORCH_EXTENSIONS" in message


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_written_into_the_code_is_named(tmp_path: Path) -> None:
    (tmp_path / "m.pt").write_bytes(torchscript(OnAGpu()))
    message = refusal(tmp_path / "m.pt", tmp_path / "model")
    assert "failed on the device cpu: its code names the device cuda:0" in message
    assert "KIM_MODEL_EXECUTION_DEVICE=cuda" in message


def test_a_package_of_nequip_is_told_for_what_it_is(tmp_path: Path) -> None:
    facts = b'{"r_max": "4.0", "type_names": "Si C"}'
    code = "data/aotinductor/model/m"
    file = records(
        tmp_path / "m.pt2",
        {f"{code}.wrapper.so": b"x", f"{code}_metadata.json": facts},
    )
    message = refusal(file, tmp_path / "model")
    assert "is a package that nequip-compile wrote" in message
    assert "takes other arguments" in message


def test_a_package_by_torch_alone_is_told(tmp_path: Path) -> None:
    file = records(tmp_path / "m.pt2", {"data/aotinductor/model/m.wrapper.so": b"x"})
    assert "without a record (extra/torchml.txt)" in refusal(file, tmp_path / "model")


def test_an_archive_that_torch_refuses_shows_none_of_its_frames(tmp_path: Path) -> None:
    package = compiled_models.stillinger_weber().read_bytes()
    file = rewritten(package, tmp_path / "m.pt2", lambda _name, data: data)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("../outside.txt", "x")
    assert "is damaged, or was changed after torch wrote it" in refusal(file, tmp_path / "model")


def test_kim_logs_one_line_of_what_torch_says(
    in_collection: DriverEnvironment, tmp_path: Path
) -> None:
    from tests.support import install_kim_model
    from tests.support.kim_simulator import Particles, Simulator
    from tests.support.structures import rattled_crystal

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    files = {
        "m.param": parameter_text("m.pt").encode(),
        "m.pt": torchscript(OnAGpu()),
    }
    install_kim_model(in_collection.folder, "TorchML_on_a_GPU", files, tmp_path / "source")
    simulator = Simulator("TorchML_on_a_GPU")
    with pytest.raises(RuntimeError):
        simulator.compute(Particles.of(rattled_crystal(), 3.0))
    lines = [line for line in (tmp_path / "kim.log").read_text().splitlines() if "cuda:0" in line]
    assert len(lines) == 1
    assert "its code names the device" in lines[0]
    assert "frame #" not in (tmp_path / "kim.log").read_text()
