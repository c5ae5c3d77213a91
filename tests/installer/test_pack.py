"""`model pack` makes folders that KIM installs, and refuses what the driver could not run."""

from __future__ import annotations

import json
import os
import pickle
import threading
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.installer.synthetic_machines import (
    NEIGHBOUR_FORWARD,
    ODD_NAME,
    Machine,
    make_torchscript,
    write,
)
from tests.support import ROOT
from torchml_installer.errors import (
    BadNameError,
    BadOptionError,
    BadParameterFileError,
    ModelFileDamagedError,
    ModelFileMissingError,
    NotPermittedError,
    NotTorchScriptError,
    OutputExistsError,
    PythonModuleError,
    TorchMLError,
    UnsoundModelError,
    WrongForwardError,
)
from torchml_installer.models import descriptor_file, parameter_file, torchscript
from torchml_installer.models.install import read_folder
from torchml_installer.models.pack import PackedModel, PackOptions, pack
from torchml_installer.models.parameter_file import CallingConvention

DESCRIPTOR_FORWARD = """\
class Model(Module):
  def forward(self: __torch__.Model,
    descriptor: Tensor) -> Tensor:
    return torch.sum(descriptor)
"""


def pack_in(folder: Path, file: Path, **changes: Any) -> PackedModel:
    """Packs with sensible options, except for the changed ones."""
    values: dict[str, Any] = {
        "elements": ("Si",),
        "cutoff": 3.77,
        "name": "SW_demo",
        "output": folder,
        **changes,
    }
    return pack(PackOptions(file=file, **values))


def test_a_packed_model_is_one_that_install_takes(tmp_path: Path) -> None:
    file = make_torchscript(tmp_path / "SW_Si.pt")
    packed = pack_in(tmp_path / "out", file, elements=("Si", "C"))
    assert sorted(path.name for path in packed.folder.iterdir()) == [
        "CMakeLists.txt",
        "SW_demo.param",
        "SW_demo.pt",
        "embed.cmake",
    ]
    assert (packed.folder / "SW_demo.pt").read_bytes() == file.read_bytes()
    parameters = parameter_file.read(packed.folder / "SW_demo.param")
    assert (parameters.elements, parameters.cutoff) == (("Si", "C"), 3.77)
    assert (parameters.model_file, parameters.n_inputs) == ("SW_demo.pt", 5)
    model = read_folder(packed.folder)
    assert (model.name, model.driver) == ("SW_demo", "TorchML__MD_173118614730_001")
    assert list((tmp_path / "out").iterdir()) == [packed.folder]


def test_the_files_name_may_be_anything(tmp_path: Path) -> None:
    file = make_torchscript(tmp_path / ODD_NAME / "my-model 2.pt")
    packed = pack_in(tmp_path / ODD_NAME, file, name=None)
    assert packed.name == "my_model_2"
    assert (packed.folder / "my_model_2.pt").is_file()


@pytest.mark.parametrize(
    ("name", "suggested"),
    [("my-model", "my_model"), ("2body", "M_2body"), ("Å", "_"), ("", "m"), ("a" * 201, "aaa")],
    ids=["hyphen", "digit", "not ASCII", "empty", "long"],
)
def test_a_name_that_kim_refuses_is_told_with_a_legal_one(
    tmp_path: Path, name: str, suggested: str
) -> None:
    with pytest.raises(BadNameError) as caught:
        pack_in(tmp_path, make_torchscript(tmp_path / "a.pt"), name=name)
    assert f"--name {suggested}" in caught.value.remedy
    with pytest.raises(BadNameError, match="driver name"):
        pack_in(tmp_path, tmp_path / "a.pt", driver="Torch-ML")


@pytest.mark.parametrize(
    ("elements", "message", "remedy"),
    [
        (("si",), "'si' is not a chemical element", "Did you mean 'Si'?"),
        (("SI",), "'SI' is not a chemical element", "Did you mean 'Si'?"),
        (("14",), "'14' is not a chemical element", "Did you mean 'Si'?"),
        (("silicon",), "'silicon' is not a chemical element", "Did you mean 'Si'?"),
        (("Xx",), "'Xx' is not a chemical element", "chemical symbols"),
        (("Si", "Si"), "has Si twice", "once"),
        ((), "no elements", "--elements"),
    ],
)
def test_elements_are_checked_and_the_near_miss_is_suggested(
    tmp_path: Path, elements: tuple[str, ...], message: str, remedy: str
) -> None:
    with pytest.raises(BadOptionError) as caught:
        pack_in(tmp_path, make_torchscript(tmp_path / "a.pt"), elements=elements)
    assert message in caught.value.message
    assert remedy in caught.value.remedy


def test_all_118_elements_are_known(tmp_path: Path) -> None:
    for symbol in ("H", "Ar", "Tl", "U", "Og"):
        pack_in(tmp_path, make_torchscript(tmp_path / "a.pt"), elements=(symbol,), name=symbol)


@pytest.mark.parametrize("cutoff", [0.0, -3.77, float("nan"), float("inf")])
def test_the_cutoff_is_a_positive_number(tmp_path: Path, cutoff: float) -> None:
    with pytest.raises(BadOptionError, match="cutoff"):
        pack_in(tmp_path, make_torchscript(tmp_path / "a.pt"), cutoff=cutoff)


def _damaged(path: Path, how: str) -> Path:
    make_torchscript(path)
    data = path.read_bytes()
    if how == "truncated":
        path.write_bytes(data[: len(data) // 2])
    elif how == "empty":
        path.write_bytes(b"")
    else:
        middle = data.index(bytes(2000)) + 1000
        path.write_bytes(data[:middle] + b"\x01" + data[middle + 1 :])
    return path


@pytest.mark.parametrize("how", ["truncated", "empty", "one flipped bit"])
def test_a_damaged_file_is_told(tmp_path: Path, how: str) -> None:
    with pytest.raises(ModelFileDamagedError, match=r"model\.pt"):
        pack_in(tmp_path, _damaged(tmp_path / "model.pt", how))
    assert not (tmp_path / "SW_demo").exists()


def test_a_missing_file_or_a_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelFileMissingError, match="There is no model file"):
        pack_in(tmp_path, tmp_path / "missing.pt")
    with pytest.raises(ModelFileMissingError, match="is a folder"):
        pack_in(tmp_path, tmp_path)


def _zip(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    return path


def test_what_is_not_torchscript_is_named_with_the_way_to_make_it(tmp_path: Path) -> None:
    (tmp_path / "pickle.pt").write_bytes(pickle.dumps({"weight": 1}, protocol=2))
    files = {
        _zip(tmp_path / "state.pt", "a/data.pkl", "a/version", "a/data/0"): "torch.save",
        _zip(tmp_path / "zip.pt", "readme.txt"): "a zip archive",
        tmp_path / "pickle.pt": "a pickle",
        write(tmp_path / "text.pt", "hello\n"): "a text file",
        write(tmp_path / "lfs.pt", "version https://git-lfs.github.com/spec/v1\n"): "git lfs pull",
    }
    for file, kind in files.items():
        with pytest.raises(NotTorchScriptError) as caught:
            pack_in(tmp_path, file)
        assert kind in caught.value.message
        assert "torch.jit.script(model" in caught.value.remedy


def test_a_package_by_torch_alone_is_told_how_to_be_made(tmp_path: Path) -> None:
    package = _zip(tmp_path / "m.pt2", "m/data/aotinductor/model/x.so")
    with pytest.raises(NotTorchScriptError) as caught:
        pack_in(tmp_path, package)
    assert "lacks the description of its arguments" in caught.value.message
    assert "torchml-install model compile" in caught.value.remedy


def test_a_forward_with_other_arguments_is_refused_with_both_lists(tmp_path: Path) -> None:
    code = NEIGHBOUR_FORWARD.replace("    nlist: Tensor,\n", "")
    with pytest.raises(WrongForwardError) as caught:
        pack_in(tmp_path, make_torchscript(tmp_path / "a.pt", code))
    assert "takes 4 arguments (species, coords, n_neigh, contributing)" in caught.value.message
    assert "needs 5 (species, coordinates, n_neigh, nlist, contributing)" in caught.value.message


def test_names_of_graphs_name_the_pattern(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With two layers, a graph model takes as many arguments as one on neighbour lists."""
    code = NEIGHBOUR_FORWARD.replace(
        "n_neigh: Tensor,\n    nlist", "graph_layer1: Tensor,\n    graph_layer2"
    )
    file = make_torchscript(tmp_path / "two.pt", code)
    pack_in(tmp_path, file)
    assert "Add --pattern graph --layers 2." in capsys.readouterr().err
    file = make_torchscript(tmp_path / "one.pt", code.replace("    graph_layer2: Tensor,\n", ""))
    with pytest.raises(WrongForwardError) as caught:
        pack_in(tmp_path, file)
    assert caught.value.remedy == "Add --pattern graph --layers 1."


def test_returned_forces_are_only_promised_when_there_are_any(tmp_path: Path) -> None:
    file = make_torchscript(tmp_path / "energy.pt")
    with pytest.raises(WrongForwardError, match="not energies and forces"):
        pack_in(tmp_path, file, returns_forces=True)
    both = make_torchscript(
        tmp_path / "both.pt", NEIGHBOUR_FORWARD.replace("-> Tensor", "-> Tuple[Tensor, Tensor]")
    )
    packed = pack_in(tmp_path, both, returns_forces=True)
    assert parameter_file.read(packed.folder / "SW_demo.param").returns_forces


def test_a_graph_model_has_one_edge_list_a_layer(tmp_path: Path) -> None:
    code = NEIGHBOUR_FORWARD.replace("n_neigh: Tensor,\n    nlist", "edges1: Tensor,\n    edges2")
    file = make_torchscript(tmp_path / "gnn.pt", code)
    # What is made without torch cannot be evaluated.
    graph: dict[str, Any] = {"pattern": CallingConvention.GRAPH, "find_graph_settings": False}
    packed = pack_in(tmp_path, file, n_layers=2, **graph)
    assert parameter_file.read(packed.folder / "SW_demo.param").n_layers == 2
    with pytest.raises(WrongForwardError, match="graph_layer3"):
        pack_in(tmp_path, file, n_layers=3, force=True, **graph)
    with pytest.raises(BadOptionError, match="number of its message-passing layers"):
        pack_in(tmp_path, file, pattern=CallingConvention.GRAPH)
    with pytest.raises(BadOptionError, match="only for models on graphs or edges"):
        pack_in(tmp_path, file, n_layers=2)


def test_a_model_on_edges_that_is_packed_as_one_staged_graph_is_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = NEIGHBOUR_FORWARD.replace(
        "n_neigh: Tensor,\n    nlist: Tensor", "edge_vectors: Tensor"
    ).replace("coords", "edge_index")
    file = make_torchscript(tmp_path / "gnn.pt", code)
    pack_in(tmp_path, file, n_layers=1, pattern=CallingConvention.GRAPH, find_graph_settings=False)
    assert "Add --pattern edges --layers N." in capsys.readouterr().err


def test_a_model_on_edges_has_layers_and_may_return_a_gradient(tmp_path: Path) -> None:
    code = NEIGHBOUR_FORWARD.replace(
        "n_neigh: Tensor,\n    nlist: Tensor", "edge_vectors: Tensor"
    ).replace("coords", "edge_index")
    file = make_torchscript(tmp_path / "gnn.pt", code)
    edges: dict[str, Any] = {"pattern": CallingConvention.EDGES}
    packed = pack_in(tmp_path, file, n_layers=2, **edges)
    written = parameter_file.read(packed.folder / "SW_demo.param")
    assert (written.pattern, written.n_layers, written.n_inputs) == (CallingConvention.EDGES, 2, 4)
    with pytest.raises(BadOptionError, match="number of its message-passing layers"):
        pack_in(tmp_path, file, **edges)
    with pytest.raises(WrongForwardError, match="single tensor"):
        pack_in(tmp_path, file, n_layers=2, returns_edge_gradient=True, **edges)
    with pytest.raises(BadOptionError, match="only for models on edges"):
        pack_in(tmp_path, file, returns_edge_gradient=True)
    both = make_torchscript(
        tmp_path / "both.pt", code.replace("-> Tensor", "-> Tuple[Tensor, Tensor]")
    )
    packed = pack_in(tmp_path / "both", both, n_layers=2, returns_edge_gradient=True, **edges)
    written = parameter_file.read(packed.folder / "SW_demo.param")
    assert (written.returns_forces, written.returns_edge_gradient) == (True, True)
    packed = pack_in(tmp_path / "forces", both, n_layers=2, returns_forces=True, **edges)
    written = parameter_file.read(packed.folder / "SW_demo.param")
    assert (written.returns_forces, written.returns_edge_gradient) == (True, False)
    other = make_torchscript(tmp_path / "other.pt", NEIGHBOUR_FORWARD)
    with pytest.raises(WrongForwardError, match="edge_index, edge_vectors"):
        pack_in(tmp_path, other, n_layers=2, **edges)


def test_what_is_not_known_of_a_model_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the Python module nothing is evaluated, and nothing recorded that nobody said."""
    file = make_torchscript(tmp_path / "a.pt")
    packed = pack_in(tmp_path / "out", file)
    assert (packed.checked, packed.parameters.atomic_numbers) == (False, None)
    told = capsys.readouterr().err
    assert "The model was packed unchecked: " in told
    assert "KIM_MODEL_ELEMENTS_MAP decides" in told
    for chosen in (True, False):
        pack_in(tmp_path / "out", file, atomic_numbers=chosen, force=True)
        recorded = parameter_file.read(packed.folder / "SW_demo.param").atomic_numbers
        assert recorded is chosen
        assert "KIM_MODEL_ELEMENTS_MAP" not in capsys.readouterr().err


def test_a_model_on_descriptors_has_no_species_codes(tmp_path: Path) -> None:
    file = make_torchscript(tmp_path / "net.pt", DESCRIPTOR_FORWARD)
    described = DESCRIPTORS / "set51.kliff.dat"
    with pytest.raises(BadOptionError, match="takes no species codes"):
        pack_in(
            tmp_path,
            file,
            pattern=CallingConvention.DESCRIPTOR,
            descriptor=described,
            atomic_numbers=True,
        )


def _answering(answer: dict[str, Any]) -> Callable[..., object]:
    """The trial's answer; nothing else can be asked."""

    def answered(module: str, *_arguments: object, **_options: object) -> object:
        if module != "trial":
            raise PythonModuleError("The module is not installed.", "")
        return answer

    return answered


def _check(name: str, serious: bool) -> dict[str, Any]:
    numbers = {"deviation": 0.5, "tolerance": 1e-9, "unit": "eV"}
    return {"name": name, "passed": False, **numbers, "explanation": "it jumps", "serious": serious}


EITHER = {"outcome": "either", "energies": [1.0, 1.0], "atoms": 16}


def test_a_model_that_fails_a_serious_check_is_not_packed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = make_torchscript(tmp_path / "a.pt")
    answer = {"species": EITHER, "checks": [_check("net force", serious=True)]}
    monkeypatch.setattr("torchml_installer.models.engine.answer", _answering(answer))
    with pytest.raises(UnsoundModelError, match="net force: it jumps") as caught:
        pack_in(tmp_path / "out", file)
    assert "--unchecked" in caught.value.remedy
    assert list((tmp_path / "out").iterdir()) == []
    assert not pack_in(tmp_path / "out", file, check=False).checked

    answer["checks"] = [_check("cutoff", serious=False)]
    capsys.readouterr()
    assert pack_in(tmp_path / "out", file, name="jumps").checked
    assert "warning: cutoff: it jumps (off by 0.5 eV" in capsys.readouterr().err


def test_energies_without_a_gradient_may_come_with_forces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = {"failed": "element 0 of tensors does not require grad and has no grad_fn."}
    monkeypatch.setattr("torchml_installer.models.engine.answer", _answering(answer))
    with pytest.raises(UnsoundModelError) as caught:
        pack_in(tmp_path, make_torchscript(tmp_path / "a.pt"))
    assert "add --returns-forces" in caught.value.remedy


@pytest.mark.parametrize(
    ("cutoff", "unit"), [(0.6, "0.6 nm"), (6e-10, "0.6 nm"), (600.0, "600 pm")]
)
def test_a_cutoff_in_another_unit_is_questioned(
    cutoff: float, unit: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = make_torchscript(tmp_path / "a.pt")
    pack_in(tmp_path, file, cutoff=cutoff, check=False)
    assert f"--cutoff is in Å: for {unit}, write --cutoff 6." in capsys.readouterr().err
    pack_in(tmp_path, file, name="usual", cutoff=6.0, check=False)
    assert "--cutoff is in" not in capsys.readouterr().err


def test_a_model_that_cannot_be_loaded_here_is_packed_and_that_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It may have been compiled for the GPUs of another machine."""
    answer = {"not_loaded": "there is no GPU here."}
    monkeypatch.setattr("torchml_installer.models.engine.answer", _answering(answer))
    assert not pack_in(tmp_path, make_torchscript(tmp_path / "a.pt")).checked
    assert "does not run here (there is no GPU here)" in capsys.readouterr().err


def test_a_model_that_cannot_be_loaded_anywhere_is_not_packed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = {"refused": "descriptor file a.dat, line 3: no."}
    monkeypatch.setattr("torchml_installer.models.engine.answer", _answering(answer))
    with pytest.raises(
        UnsoundModelError, match=r"cannot be loaded: descriptor file a\.dat, line 3"
    ):
        pack_in(tmp_path, make_torchscript(tmp_path / "a.pt"))


def test_weights_of_several_types_are_named_where_no_inputs_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = make_torchscript(tmp_path / "a.pt")
    trials = [{"inputs": "float64", "problem": "types differ."}]
    answers = {
        "precision": {"precision": None, "weights": ["float64", "float32"], "trials": trials},
        "trial": {"species": EITHER, "checks": []},
    }
    monkeypatch.setattr(
        "torchml_installer.models.engine.answer", lambda module, *_, **__: answers[module]
    )
    pack_in(tmp_path / "out", file)
    assert "weights have several types (float64, float32)" in capsys.readouterr().err


DESCRIPTORS = ROOT / "tests" / "data" / "descriptors"


@pytest.mark.parametrize("layout", ["kliff", "libdescriptor"])
@pytest.mark.parametrize(
    ("descriptor", "kind"),
    [
        ("set51", "SymmetryFunctions"),
        ("every_kind", "SymmetryFunctions"),
        ("bispectrum8", "Bispectrum"),
        ("soap", "SOAP"),
    ],
)
def test_a_model_on_descriptors_gets_its_descriptor_file(
    tmp_path: Path, descriptor: str, kind: str, layout: str
) -> None:
    file = make_torchscript(tmp_path / "net.pt", DESCRIPTOR_FORWARD)
    described = DESCRIPTORS / f"{descriptor}.{layout}.dat"
    packed = pack_in(tmp_path, file, pattern=CallingConvention.DESCRIPTOR, descriptor=described)
    assert (packed.folder / "SW_demo.dat").read_bytes() == described.read_bytes()
    parameters = parameter_file.read(packed.folder / "SW_demo.param")
    assert (parameters.pattern, parameters.descriptor) == (CallingConvention.DESCRIPTOR, kind)
    assert (parameters.n_inputs, parameters.returns_forces) == (1, False)
    assert [path.name for path in read_folder(packed.folder).files] == [
        "SW_demo.param",
        "SW_demo.pt",
        "SW_demo.dat",
    ]


@pytest.mark.parametrize("read", [descriptor_file.kind, parameter_file.read])
def test_a_text_that_is_much_too_long_is_not_read_whole(
    tmp_path: Path, read: Callable[[Path], object]
) -> None:
    """A data set by mistake, of more gigabytes than the machine has."""
    file = tmp_path / "large.dat"
    with file.open("wb") as stream:
        stream.truncate(200 << 20)
    tracemalloc.start()
    with pytest.raises(BadParameterFileError):
        read(file)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20 << 20


@pytest.mark.parametrize(
    ("read", "error"),
    [
        (descriptor_file.kind, ModelFileMissingError),
        (parameter_file.read, BadParameterFileError),
        (torchscript.inspect, ModelFileMissingError),
    ],
)
def test_nothing_waits_for_a_pipe_that_nobody_writes_to(
    tmp_path: Path, read: Callable[[Path], object], error: type[Exception]
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    # Whoever waits reads nothing in the end.
    rescue = threading.Timer(2.0, lambda: os.close(os.open(pipe, os.O_RDWR)))
    rescue.start()
    with pytest.raises(error, match="is a pipe or a device"):
        read(pipe)
    rescue.cancel()


def test_a_model_on_descriptors_wants_a_descriptor_file_that_is_one(tmp_path: Path) -> None:
    file = make_torchscript(tmp_path / "net.pt", DESCRIPTOR_FORWARD)
    good = DESCRIPTORS / "set51.kliff.dat"
    with pytest.raises(BadOptionError, match="needs the file that describes its descriptors"):
        pack_in(tmp_path, file, pattern=CallingConvention.DESCRIPTOR)
    with pytest.raises(BadOptionError, match="only for descriptor models"):
        pack_in(tmp_path, make_torchscript(tmp_path / "a.pt"), descriptor=good)
    options = {"pattern": CallingConvention.DESCRIPTOR, "descriptor": good}
    with pytest.raises(BadOptionError, match="cannot return forces"):
        pack_in(tmp_path, file, returns_forces=True, **options)
    with pytest.raises(ModelFileMissingError, match=r"descriptor file .*nothing\.dat"):
        pack_in(
            tmp_path,
            file,
            pattern=CallingConvention.DESCRIPTOR,
            descriptor=tmp_path / "nothing.dat",
        )
    with pytest.raises(BadParameterFileError, match="not a text file"):
        pack_in(tmp_path, file, pattern=CallingConvention.DESCRIPTOR, descriptor=file)
    other = make_torchscript(tmp_path / "a.pt")
    with pytest.raises(WrongForwardError, match="needs 1"):
        pack_in(tmp_path, other, **options)


def test_an_existing_folder_is_only_replaced_on_request(tmp_path: Path) -> None:
    file = make_torchscript(tmp_path / "a.pt")
    pack_in(tmp_path, file)
    with pytest.raises(OutputExistsError) as caught:
        pack_in(tmp_path, file, cutoff=5.0)
    assert "--force" in caught.value.remedy
    packed = pack_in(tmp_path, file, cutoff=5.0, force=True)
    assert parameter_file.read(packed.folder / "SW_demo.param").cutoff == 5.0


def test_force_never_replaces_what_is_no_model(tmp_path: Path) -> None:
    thesis = write(tmp_path / "SW_demo/thesis.tex", "years of work")
    with pytest.raises(OutputExistsError, match="not a portable model"):
        pack_in(tmp_path, make_torchscript(tmp_path / "a.pt"), force=True)
    assert thesis.read_text() == "years of work"


def test_a_failed_write_leaves_the_old_folder_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = make_torchscript(tmp_path / "a.pt")
    out = tmp_path / "out"
    packed = pack_in(out, file)
    before = (packed.folder / "SW_demo.param").read_text()

    def full_disk(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", full_disk)
    with pytest.raises(OSError, match="No space left"):
        pack_in(out, file, cutoff=9.0, force=True)
    assert (packed.folder / "SW_demo.param").read_text() == before
    assert list(out.iterdir()) == [packed.folder]


def test_a_folder_that_may_not_be_written_is_told(machine: Machine) -> None:
    closed = machine.folder / "closed"
    closed.mkdir(mode=0o500)
    make_torchscript(machine.folder / "a.pt")
    words = ("a.pt", "--elements", "Si", "--cutoff", "4", "--output", closed)
    outcome = machine.install("model", "pack", *words, almighty=False)
    assert outcome.code == NotPermittedError.exit_code
    assert str(closed) in outcome.err


def test_the_command_prints_json_for_programs(machine: Machine) -> None:
    make_torchscript(machine.folder / "a.pt")
    outcome = machine.install(
        *("model", "pack", "a.pt", "--elements", "Si, C", "--cutoff", "4", "--json")
    )
    assert outcome.code == 0, outcome.err
    answer = json.loads(outcome.out)
    assert answer["schema"] == 1
    assert answer["folder"] == str(machine.folder / "a")
    assert (answer["elements"], answer["cutoff"]) == (["Si", "C"], 4.0)


@pytest.mark.parametrize("spelling", ["neighbours", "neighbors"])
def test_both_spellings_of_neighbours_are_taken(machine: Machine, spelling: str) -> None:
    make_torchscript(machine.folder / "a.pt")
    outcome = machine.install(
        *("model", "pack", "a.pt", "--elements", "Si", "--cutoff", "4", "--json"),
        *("--pattern", spelling),
    )
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out)["pattern"] == "neighbours"


def test_the_command_ends_with_the_failures_code(machine: Machine) -> None:
    make_torchscript(machine.folder / "a.pt")
    common = ("--elements", "Si", "--cutoff", "4")
    cases: list[tuple[tuple[str, ...], type[TorchMLError]]] = [
        (("missing.pt", *common), ModelFileMissingError),
        (("a.pt", *common, "--name", "my-model"), BadNameError),
        (("a.pt", "--elements", "si", "--cutoff", "4"), BadOptionError),
        (("a.pt", "--elements", "Si", "--cutoff", "-4"), BadOptionError),
        (("a.pt", *common, "--pattern", "descriptor"), BadOptionError),
    ]
    for arguments, error in cases:
        outcome = machine.install("model", "pack", *arguments)
        assert outcome.code == error.exit_code
        assert outcome.out == ""
        assert outcome.err.startswith("error: ")
        assert "\n  what to do: " in outcome.err
        assert "Traceback" not in outcome.err


def test_signatures_are_read_from_what_torch_itself_writes(saved: Path) -> None:
    signature = torchscript.inspect(saved / "nested.pt").signature
    assert signature is not None
    assert signature.arguments == ("species", "coords", "n_neigh", "nlist", "contributing")
    assert signature.returns == "Tuple[Tensor, Tensor]"
    with pytest.raises(NotTorchScriptError, match=r"torch\.save"):
        torchscript.inspect(saved / "weights.pt")
