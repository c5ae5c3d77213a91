"""Model files of other kinds are told for what they are, with the command that takes them."""

from __future__ import annotations

import importlib.metadata
import pickle
import zipfile
from pathlib import Path

import pytest

from tests.installer.synthetic_machines import Machine, make_torchscript
from torchml_installer.errors import (
    ModelFileDamagedError,
    NotTorchScriptError,
    TorchMLError,
)
from torchml_installer.models.inspection import inspect
from torchml_installer.models.pack import PackOptions, pack


def refusals(file: Path, folder: Path) -> TorchMLError:
    """The error with which `model inspect` and `model pack` refuse a file, which is the same."""
    with pytest.raises(TorchMLError) as inspected:
        inspect(str(file))
    with pytest.raises(TorchMLError) as packed:
        pack(PackOptions(file, ("Si",), 3.0, name="M", output=folder / "packed"))
    assert packed.value.message == inspected.value.message
    assert type(packed.value) is type(inspected.value)
    assert not (folder / "packed").exists()
    return packed.value


def archive_of(path: Path, **contents: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in contents.items():
            archive.writestr(f"m/{name}", text)
    return path


def test_a_program_of_torch_export_is_to_be_compiled(saved: Path, tmp_path: Path) -> None:
    error = refusals(saved / "exported.pt2", tmp_path)
    version = importlib.metadata.version("torch").partition("+")[0]
    assert f"an exported program (torch.export.save of torch {version}" in error.message
    assert f"torchml-install model compile {saved}/exported.pt2" in error.remedy


def test_a_program_of_an_older_torch_is_recognised_too(tmp_path: Path) -> None:
    file = tmp_path / "old.pt2"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("serialized_exported_program.json", '{"torch_version": "2.5.1"}')
        archive.writestr("version", "8.2")
    assert (
        "an exported program (torch.export.save of torch 2.5.1" in refusals(file, tmp_path).message
    )


def test_the_same_under_the_name_of_torchscript_is_recognised(saved: Path, tmp_path: Path) -> None:
    file = tmp_path / "m.pt"
    file.write_bytes((saved / "exported.pt2").read_bytes())
    assert "an exported program (torch.export.save" in refusals(file, tmp_path).message


def test_a_checkpoint_is_told_with_its_keys_and_how_to_get_at_the_weights(
    saved: Path, tmp_path: Path
) -> None:
    error = refusals(saved / "checkpoint.pt", tmp_path)
    assert "is a checkpoint, a pickled dictionary with epoch, model, optimizer" in error.message
    assert "map_location='cpu')['model'], 'checkpoint_weights.pt')" in error.remedy
    assert "--weights checkpoint_weights.pt" in error.remedy


@pytest.mark.parametrize("name", ["pickled.pt", "pickled.model"])
def test_a_pickled_module_is_told_with_its_class(saved: Path, tmp_path: Path, name: str) -> None:
    error = refusals(saved / name, tmp_path)
    assert "class, __main__.Net" in error.message
    assert "`torch.jit.script(model.eval()).save('pickled_script.pt')`" in error.remedy


def test_a_pickled_module_of_an_e3nn_library_gets_a_way_that_works(tmp_path: Path) -> None:
    class_name = b"cmace.modules.models\nScaleShiftMACE\n"
    file = tmp_path / "MACE.model"
    data = b"\x80\x02" + class_name + b")\x81}X\x01\x00\x00\x00aK\x01sb."
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", data)
        archive.writestr("archive/version", "3\n")
    error = refusals(file, tmp_path)
    assert "class, mace.modules.models.ScaleShiftMACE" in error.message
    assert "e3nn.util.jit.script(wrapper.eval())" in error.remedy
    assert "torchml-install model compile" in error.remedy
    assert "`torch.jit.script" not in error.remedy


def test_a_pickle_of_something_else_is_told(tmp_path: Path) -> None:
    file = tmp_path / "m.pt"
    file.write_bytes(pickle.dumps([1, 2, 3]))
    error = refusals(file, tmp_path)
    assert isinstance(error, NotTorchScriptError)
    assert "a pickled list (torch.save or pickle), not a model" in error.message


def test_a_package_of_nequip_is_told_with_its_elements_and_cutoff(tmp_path: Path) -> None:
    name = "data/aotinductor/model/x.wrapper_metadata.json"
    facts = '{"r_max": "4.0", "type_names": "Si C"}'
    file = archive_of(tmp_path / "m.nequip.pt2", **{name: facts})
    error = refusals(file, tmp_path)
    assert "nequip-compile wrote" in error.message
    assert "elements Si C, cutoff 4.0 Å" in error.message
    assert "torchml-install model compile" in error.remedy


def test_a_torch_package_is_told(tmp_path: Path) -> None:
    file = archive_of(tmp_path / "m.pt", **{".data/extern_modules": "torch"})
    assert "a torch.package archive" in refusals(file, tmp_path).message


@pytest.mark.parametrize("entry", ["../outside.txt", "model/../../outside.txt", "outside.txt"])
def test_an_archive_with_entries_outside_its_folder_is_not_packed(
    entry: str, tmp_path: Path
) -> None:
    file = make_torchscript(tmp_path / "m.pt")
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(entry, "x")
    error = refusals(file, tmp_path)
    assert isinstance(error, ModelFileDamagedError)
    assert f"'{entry}'" in error.message


def test_a_device_in_the_code_is_named_by_inspect_and_by_pack(
    machine: Machine, saved: Path
) -> None:
    found = inspect(str(saved / "gpu.pt")).as_json()
    assert found["code_devices"] == ["cuda:0"]
    assert any("The model's code names the device cuda:0" in note for note in found["notes"])
    words = ("--elements", "Si", "--cutoff", "3.0", "--name", "Gpu")
    outcome = machine.install("model", "pack", saved / "gpu.pt", *words)
    assert "The model's code names the device cuda:0" in outcome.err


def test_classes_of_a_library_are_listed_and_those_of_torch_are_not(
    saved: Path, tmp_path: Path
) -> None:
    assert inspect(str(saved / "quantised.pt")).as_json()["classes"] == []
    file = tmp_path / "m.pt"
    with zipfile.ZipFile(saved / "quantised.pt") as archive, zipfile.ZipFile(file, "w") as copy:
        for name in archive.namelist():
            data = archive.read(name)
            data = data.replace(b"quantized.LinearPackedParamsBase", b"lab.Evaluation")
            copy.writestr(name, data.replace(b"quantized\nLinearPackedP", b"lab\nLinearPackedP"))
    found = inspect(str(file)).as_json()
    assert found["classes"] == ["lab.Evaluation"]
    (note,) = [note for note in found["notes"] if "lab.Evaluation" in note]
    assert "KIM_MODEL_TORCH_EXTENSIONS" in note


def test_how_e3nn_models_are_scripted_is_said_where_it_is_needed(machine: Machine) -> None:
    assert "e3nn.util.jit.script" in machine.install("model", "pack", "--help").out
    text = machine.folder / "text.pt"
    text.write_text("hello")
    outcome = machine.install("model", "pack", text, "--elements", "Si", "--cutoff", "3.0")
    assert outcome.code == NotTorchScriptError.exit_code
    assert "e3nn.util.jit.script(model).save(FILE)" in outcome.err
