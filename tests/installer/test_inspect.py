"""`model inspect` says what a model file, folder or installed model is, without importing torch."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.installer.synthetic_machines import Machine, make_torchscript, write
from tests.support import ROOT, install_kim_model
from tests.support.example_model import REFERENCE_MODEL
from torchml_installer.errors import (
    BadOptionError,
    BadParameterFileError,
    ModelFileDamagedError,
    ModelFileMissingError,
    NotAModelFolderError,
    NotTorchScriptError,
    WrongForwardError,
)
from torchml_installer.models import operators, reading_installed
from torchml_installer.models.inspection import inspect, lines
from torchml_installer.models.pack import PackOptions, pack
from torchml_installer.models.parameter_file import CallingConvention
from torchml_installer.support.kim_items import InstalledItem

PACKAGE = """\
torchml-package 1
torch 2.13.0
device cpu
machine x86_64
instructions avx2 fma
argument species int64 *
argument coords float64 * 3
argument graph_layer1 int64 2 *
argument graph_layer2 int64 2 *
argument contributing int64 *
gradient coords
entry energies
entry energies_and_gradient
file data/aotinductor/energies/a.so 3 352441c2
"""


def make_package(path: Path, text: str = PACKAGE) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data/aotinductor/energies/a.so", b"abc")
        archive.writestr("model/extra/torchml.txt", text)
    return path


def test_what_a_package_was_compiled_for_is_recorded_when_it_is_packed(tmp_path: Path) -> None:
    file = make_package(tmp_path / "m.pt2", PACKAGE + "species atomic_numbers\n")
    assert inspect(str(file)).as_json()["atomic_numbers"] is True
    options = PackOptions(
        file, ("Si",), 4.0, pattern=CallingConvention.GRAPH, n_layers=2, output=tmp_path / "out"
    )
    packed = pack(replace(options, find_graph_settings=False))
    assert packed.parameters.atomic_numbers is True
    with pytest.raises(BadOptionError, match="compiled with --atomic-numbers"):
        pack(replace(options, atomic_numbers=False))


@pytest.mark.parametrize(
    ("setting", "known", "shown"),
    [
        ("atomic_numbers True", True, "species      atomic numbers"),
        ("atomic_numbers False", False, "species      0, 1, … in the order"),
        ("", None, "KIM_MODEL_ELEMENTS_MAP"),
    ],
)
def test_the_kind_of_species_codes_is_shown(
    machine: Machine, saved: Path, setting: str, known: bool | None, shown: str
) -> None:
    folder = packed(machine, saved / "scripted.pt")
    with (folder / "Net.param").open("a") as text:
        text.write(f"{setting}\n")
    found = inspect(str(folder))
    assert found.as_json()["atomic_numbers"] is known
    assert any(shown in line for line in lines(found))


def as_json(machine: Machine, path: Path | str, code: int = 0) -> dict[str, Any]:
    outcome = machine.install("model", "inspect", path, "--json")
    assert outcome.code == code, outcome.err
    found = json.loads(outcome.out)
    assert isinstance(found, dict)
    return found


# --- files ----------------------------------------------------------------------------------


def test_a_scripted_models_forward_and_numbers_are_shown(saved: Path) -> None:
    found = inspect(str(saved / "scripted.pt")).as_json()
    assert found["kind"] == "torchscript"
    assert found["forward"]["arguments"][:2] == ["species", "coords"]
    assert found["patterns"] == [{"pattern": "neighbours", "n_layers": 1}]
    assert found["parameters"] == {"float32": 16, "float64": 4}
    assert found["buffers"] == {"float32": 3}
    assert found["devices"] == ["cpu"]
    assert found["problems"] == []
    assert found["next_step"].startswith("torchml-install model pack ")


def test_a_frozen_models_numbers_are_its_constants(saved: Path) -> None:
    found = inspect(str(saved / "frozen.pt")).as_json()
    assert found["parameters"] == {}
    assert found["constants"]["float32"] >= 16


def test_torch_is_not_imported(saved: Path) -> None:
    code = (
        "import sys; from torchml_installer.models.inspection import inspect;"
        "inspect(sys.argv[1]); print([m for m in sys.modules if m.split('.')[0] == 'torch'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, saved / "scripted.pt"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "patterns"),
    [
        ("descriptor", [("descriptor", 1)]),
        ("species, coords, edge_index, contributing", [("graph", 1)]),
        ("species, coordinates, graph_layer1, contributing", [("graph", 1)]),
        ("species, edge_index, edge_vectors, contributing", [("edges", 1)]),
        ("z, edge_index, edge_vec, mask", [("edges", 1)]),
        ("z, edges, r_ij, mask", [("edges", 1)]),
        ("a, b, c, d", [("graph", 1), ("edges", 1)]),
        ("species, coords, edge_index0, edge_index1, contributing", [("graph", 2)]),
        ("a, b, c, d, e", [("neighbours", 1), ("graph", 2)]),
        ("z, x, g1, g2, g3, c", [("graph", 3)]),
        ("x, y", []),
    ],
)
def test_the_calling_convention_is_recognised(
    tmp_path: Path, arguments: str, patterns: list[tuple[str, int]]
) -> None:
    listed = ", ".join(f"{name}: Tensor" for name in arguments.split(", "))
    code = f"class Model(Module):\n  def forward(self: __torch__.Model, {listed}) -> Tensor:\n"
    found = inspect(str(make_torchscript(tmp_path / "m.pt", code))).as_json()
    assert [(item["pattern"], item["n_layers"]) for item in found["patterns"]] == patterns
    assert bool(found["problems"]) == (not patterns)


def test_operators_that_a_model_calls_are_listed(tmp_path: Path) -> None:
    code = (
        "class Model(Module):\n  def forward(self: __torch__.Model, d: Tensor) -> Tensor:\n"
        "    a = ops.torch_scatter.scatter_max(a, b)\n    b = ops.prim.device(a)\n"
        "    c = ops.torch_cluster.knn(a)\n    d = ops.torch_sparse.saint(a)\n"
    )
    found = inspect(str(make_torchscript(tmp_path / "m.pt", code)))
    listed = {item["name"]: item["in_driver"] for item in found.as_json()["operators"]}
    assert listed == {
        "torch_scatter::scatter_max": True,
        "torch_cluster::knn": False,
        "torch_sparse::saint": False,
    }
    (note,) = found.as_json()["notes"]
    assert "KIM_MODEL_TORCH_EXTENSIONS" in note


def test_libraries_in_the_file_are_listed_and_need_no_variable(tmp_path: Path) -> None:
    code = (
        "class Model(Module):\n  def forward(self: __torch__.Model, d: Tensor) -> Tensor:\n"
        "    a = ops.lab.knn(d)\n"
        "  def list(self) -> __torch__.torch.classes.lab.Pairs:\n"
    )
    file = make_torchscript(tmp_path / "m.pt", code)
    assert len(inspect(str(file)).as_json()["notes"]) == 2
    with zipfile.ZipFile(file, "a") as archive:
        top = archive.namelist()[0].partition("/")[0]
        text = "torchml-libraries 1\ntorch 2.13.0\nmachine x86_64\nlibrary liblab.so\n"
        archive.writestr(f"{top}/extra/torchml/libraries.txt", text)
    found = inspect(str(file))
    assert found.as_json()["libraries"] == ["liblab.so"]
    assert found.as_json()["notes"] == []
    assert "  libraries    liblab.so, in the file" in lines(found)


def test_the_drivers_own_operators_are_known() -> None:
    defined: dict[str, set[str]] = {}
    for name in ("scatter", "sparse"):
        text = (ROOT / f"driver_src/src/torch_ops/{name}.cpp").read_text()
        defined[f"torch_{name}"] = set(re.findall(r'library\.def\(\s*"(\w+)\(', text))
    assert {key: set(value) for key, value in operators.IN_DRIVER.items()} == defined


def test_a_compiled_model_says_what_it_needs(tmp_path: Path) -> None:
    found = inspect(str(make_package(tmp_path / "m.pt2"))).as_json()
    assert found["kind"] == "compiled"
    assert (found["torch"], found["device"], found["machine"]) == ("2.13.0", "cpu", "x86_64")
    assert found["instructions"] == ["avx2", "fma"]
    assert found["arguments"][1] == {"name": "coords", "dtype": "float64", "sizes": ["*", "3"]}
    assert found["patterns"] == [{"pattern": "graph", "n_layers": 2}]
    assert found["entries"] == ["energies", "energies_and_gradient"]
    assert "--pattern graph --layers 2" in found["next_step"]


def test_packing_a_compiled_model_records_its_own_type(tmp_path: Path) -> None:
    file = make_package(tmp_path / "m.pt2")
    options: dict[str, Any] = {"elements": ("Si",), "cutoff": 3.0, "output": tmp_path}
    options |= {"pattern": CallingConvention.GRAPH, "n_layers": 2, "find_graph_settings": False}
    packed = pack(PackOptions(file, **options))
    assert packed.as_json()["precision"] == "float64"
    assert inspect(str(packed.folder)).as_json()["precision"] == "float64"
    with pytest.raises(BadOptionError, match="compiled for inputs of type float64, not float32"):
        pack(PackOptions(file, **options, precision="float32", force=True))


def test_a_package_of_a_newer_release_is_refused(tmp_path: Path) -> None:
    file = make_package(tmp_path / "m.pt2", PACKAGE.replace("package 1", "package 4"))
    with pytest.raises(NotTorchScriptError, match="another version"):
        inspect(str(file))


def test_torchscript_of_a_newer_torch_is_refused(tmp_path: Path) -> None:
    file = make_torchscript(tmp_path / "m.pt")
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("model/version", "11\n")
    (problem,) = inspect(str(file)).as_json()["problems"]
    assert "format 11" in problem
    assert "newer torch" in problem


def test_a_model_on_dictionaries_has_no_kind(tmp_path: Path) -> None:
    """Its one argument is not a descriptor."""
    code = """class Model(Module):
  def forward(self: __torch__.Model,
    data: Dict[str, Tensor]) -> Dict[str, Tensor]:
    return data
"""
    (problem,) = inspect(str(make_torchscript(tmp_path / "m.pt", code))).as_json()["problems"]
    assert "takes 1 argument (data), but the driver calls forward(species" in problem


@pytest.mark.parametrize(
    ("name", "words", "remedy"),
    [
        ("pickled.pt", "a pickled module", "torch.load"),
        ("weights.pt", "a state dict", "load_state_dict"),
    ],
)
def test_what_torch_save_wrote_gets_the_lines_that_make_torchscript(
    saved: Path, name: str, words: str, remedy: str
) -> None:
    with pytest.raises(NotTorchScriptError, match=words) as caught:
        inspect(str(saved / name))
    assert remedy in caught.value.remedy
    assert "torch.jit.script" in caught.value.remedy


def test_damaged_files_are_told(saved: Path, tmp_path: Path) -> None:
    whole = (saved / "scripted.pt").read_bytes()
    cut = tmp_path / "cut.pt"
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelFileDamagedError, match="truncated"):
        inspect(str(cut))
    with pytest.raises(NotTorchScriptError, match="a text file"):
        inspect(str(write(tmp_path / "text.pt", "hello")))
    with pytest.raises(ModelFileMissingError):
        inspect(str(tmp_path / "none.pt"))


def test_a_pickle_that_would_run_something_runs_nothing(tmp_path: Path) -> None:
    file = make_torchscript(tmp_path / "m.pt")
    harm = tmp_path / "harm"
    with zipfile.ZipFile(tmp_path / "evil.pt", "w") as copy, zipfile.ZipFile(file) as archive:
        for name in archive.namelist():
            data = archive.read(name)
            if name.endswith("/data.pkl"):
                data = b"\x80\x02c__torch__\nModel\n0cos\nsystem\nX"
                command = f"touch {harm}".encode()
                data += len(command).to_bytes(4, "little") + command + b"\x85R."
            copy.writestr(name, data)
    found = inspect(str(tmp_path / "evil.pt")).as_json()
    assert not harm.exists()
    assert found["parameters"] is None


# --- folders and installed models -----------------------------------------------------------


def packed(machine: Machine, file: Path, *options: str) -> Path:
    words = ("--elements", "Si,C", "--cutoff", "3.5", "--name", "Net", *options)
    words += ("--unchecked",)  # it sums coordinates: no potential
    outcome = machine.install("model", "pack", file, *words)
    assert outcome.code == 0, outcome.err
    return machine.folder / "Net"


def test_a_folder_says_what_kim_will_know(machine: Machine, saved: Path) -> None:
    folder = packed(machine, saved / "scripted.pt", "--driver", "Not_Installed")
    found = as_json(machine, folder)
    assert found["kind"] == "portable-model"
    assert (found["name"], found["driver"]) == ("Net", "Not_Installed")
    assert found["driver_found"] is None
    assert (found["elements"], found["cutoff"]) == (["Si", "C"], 3.5)
    assert found["influence_distance"] == 3.5
    assert found["units"] == {"length": "Å", "energy": "eV"}
    assert found["model"]["parameters"] == {"float32": 16, "float64": 4}
    assert found["next_step"] == "torchml-install driver --name Not_Installed"
    text = machine.install("model", "inspect", folder).out
    assert "Not_Installed" in text
    assert "not installed" in text


def test_a_folder_says_from_which_library_its_model_is(machine: Machine, saved: Path) -> None:
    folder = packed(machine, saved / "scripted.pt")
    assert as_json(machine, folder)["library"] is None
    rows = [{"system": "crystal", "relative": 1.9e-7}, {"system": "slab", "relative": None}]
    record = {
        **{"schema": 1, "library": "sevennet", "title": "SevenNet", "version": "0.13.0"},
        **{"torch": "2.13.0", "source": "7net-mf-0", "options": {"modal": "PBE"}, "notes": []},
        **{"facts": {"sha256": "abc"}, "tolerance": 1e-5, "largest_difference": 1.9e-7},
        "comparison": rows,
    }
    (folder / "library.json").write_text(json.dumps(record))
    assert as_json(machine, folder)["library"] == record
    text = " ".join(machine.install("model", "inspect", folder).out.split())
    assert "made from 7net-mf-0, modal=PBE, by SevenNet 0.13.0 with torch 2.13.0" in text
    assert "sha256 abc" in text
    assert "up to 1.9e-07 from SevenNet's own calculator (1e-05 is rounding): crystal" in text
    assert "crystal 1.9e-07, slab fails" in text


@pytest.mark.parametrize("text", ["{", "[]", '{"schema": 1}', '{"schema": 2}'])
def test_a_damaged_record_of_a_library_is_noted(machine: Machine, saved: Path, text: str) -> None:
    folder = packed(machine, saved / "scripted.pt")
    (folder / "library.json").write_text(text)
    found = as_json(machine, folder)
    assert found["library"] is None
    assert any("library.json cannot be read" in note for note in found["notes"])


def test_a_folder_with_descriptors_sums_up_the_descriptor_file(
    machine: Machine, tmp_path: Path
) -> None:
    code = "class Model(Module):\n  def forward(self: __torch__.Model, d: Tensor) -> Tensor:\n"
    file = make_torchscript(tmp_path / "net.pt", code)
    descriptor = write(tmp_path / "d.dat", "cos\n1\nSi Si 5.0\n1\ng2 1 2\n0.1 0.0\n")
    options = ("--pattern", "descriptor", "--descriptor", str(descriptor))
    found = as_json(machine, packed(machine, file, *options))
    assert found["descriptor"] == {
        "file": "Net.dat",
        "kind": "SymmetryFunctions",
        "functions": {"g2": 1},
        "cutoff": 5.0,
    }


def test_what_would_be_refused_is_told_all_at_once(machine: Machine, saved: Path) -> None:
    folder = packed(machine, saved / "scripted.pt")
    parameters = folder / "Net.param"
    parameters.write_text(parameters.read_text().replace("\nNone\n", "\nGraph\n", 1))
    text = parameters.read_text().replace("\n3.5\n", "\n3.5\n4\n")
    parameters.write_text(text)
    found = as_json(machine, folder, WrongForwardError.exit_code)
    assert any("takes 5 arguments" in problem for problem in found["problems"])
    assert "model pack" in found["next_step"]


def test_a_bad_parameter_file_names_its_line(machine: Machine, saved: Path) -> None:
    folder = packed(machine, saved / "scripted.pt")
    write(folder / "Net.param", "2\nSi Xx\n")
    outcome = machine.install("model", "inspect", folder)
    assert outcome.code == BadParameterFileError.exit_code
    assert "line 2" in outcome.err


def test_an_installed_model_is_found_by_its_name(machine: Machine, saved: Path) -> None:
    folder = packed(machine, saved / "scripted.pt")
    outcome = machine.install("model", "install", folder, "--collection", "environment")
    assert outcome.code == 0, outcome.err
    folder.rename(machine.folder / "elsewhere")
    found = as_json(machine, "Net")
    assert found["kind"] == "installed-model"
    assert found["collection"] == "environmentVariable"
    assert found["path"].endswith("/collection/Net")
    assert found["elements"] == ["Si", "C"]
    assert found["model"]["buffers"] == {"float32": 3}


def test_a_model_that_a_newer_kim_api_has_installed_is_read_the_same(
    machine: Machine, saved: Path, tmp_path: Path
) -> None:
    """KIM-API 2.4 puts base64 where 2.3 puts a file's bytes, and changes nothing else: its library
    of a file is what 2.3 makes of the file in base64."""
    folder = packed(machine, saved / "scripted.pt")
    plain = {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".txt"}
    encoded = {name: base64.b64encode(data) for name, data in plain.items()}
    install_kim_model(tmp_path / "collection", "Newer", encoded, tmp_path / "source")
    found = as_json(machine, "Newer")
    assert found["kind"] == "installed-model"
    assert found["elements"] == ["Si", "C"]
    assert found["model"]["buffers"] == {"float32": 3}
    item = InstalledItem("environmentVariable", "Newer", tmp_path / "collection")
    unpacked = reading_installed.unpack(item, tmp_path)
    assert {file.name: file.read_bytes() for file in unpacked.files} == plain


def test_an_installed_model_that_is_no_torch_model_is_told(machine: Machine) -> None:
    outcome = machine.install("model", "inspect", REFERENCE_MODEL)
    assert outcome.code == NotAModelFolderError.exit_code, outcome.err + outcome.out
    assert "not a Torch model" in outcome.err


def test_a_name_that_is_nothing_is_told_with_what_lists_models(machine: Machine) -> None:
    outcome = machine.install("model", "inspect", "No_Such_Model__MO_1_000")
    assert outcome.code == ModelFileMissingError.exit_code
    assert "not a file, a folder or" in outcome.err
    assert "kim-api-collections-management list" in outcome.err


def test_the_example_is_inspected_as_a_user_would(machine: Machine, saved: Path) -> None:
    outcome = machine.install("model", "inspect", saved / "SW_Si.pt")
    assert outcome.code == 0, outcome.err
    assert "forward(species, coords, n_neigh, nlist, contributing)" in outcome.out
    assert "neighbours" in outcome.out
