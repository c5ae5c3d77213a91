"""`model pack --from` packs the model of a library that brings its own adapter, and nothing that
does not give the library's own results."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.support import DriverEnvironment, made_up_library
from torchml_installer.errors import (
    BadOptionError,
    LibraryDiffersError,
    LibraryMissingError,
    LibraryVersionError,
    ModelFileMissingError,
    NotCompilableError,
    OtherLibraryError,
    OutputExistsError,
    TorchMLError,
    UnsupportedModelError,
)

Pack = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """The folder of the made-up library."""
    folder = tmp_path / "library"
    made_up_library.install(folder)
    return folder


@pytest.fixture
def pack(driver_environment: DriverEnvironment, library: Path, tmp_path: Path) -> Pack:
    """Packs a model of the made-up library in tmp_path."""

    def packed(source: str, *options: str, name: str = made_up_library.NAME) -> Any:
        command = [sys.executable, "-m", "torchml_installer", "model", "pack", "--from", name]
        env = {**driver_environment.env, "PYTHONPATH": str(library)}
        return subprocess.run(
            [*command, source, *options],
            capture_output=True,
            text=True,
            env=env,
            cwd=tmp_path,
            check=False,
        )

    return packed


def refused(done: subprocess.CompletedProcess[str], error: type[TorchMLError]) -> str:
    """What a command said that ended with an error, and wrote nothing."""
    assert done.returncode == error.exit_code, done.stderr
    assert done.stdout == ""
    return " ".join(done.stderr.split())


def test_a_library_s_model_is_packed_without_elements_and_cutoff(
    pack: Pack, tmp_path: Path
) -> None:
    from torchml_driver import Potential

    done = pack("plain", "--name", "Plain")
    assert done.returncode == 0, done.stderr
    potential = Potential(tmp_path / "Plain")
    assert potential.elements == ["Si", "O", "H"]
    assert potential.cutoff == 4.0
    assert potential.influence_distance == 4.0
    assert potential.atomic_numbers
    assert potential.precision == 64
    left = 1 - 1.6**2 / 4.0**2
    expected = -1.7 * np.log1p(0.7 * left**3) - 2.3 * np.log1p(left**3)
    found = potential.compute(["Si", "O"], [[0, 0, 0], [0, 0, 1.6]])
    assert found.energy == pytest.approx(expected, abs=1e-12)
    assert "Charges are left out." in done.stderr
    for system in ("crystal", "slab", "molecule", "isolated atom, H"):
        assert f"\n  {system} " in done.stdout


def test_origin_and_differences_are_kept_with_the_model(pack: Pack, tmp_path: Path) -> None:
    done = pack("plain", "--option", "precision=float64", "--json")
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "plain/library.json").read_text())
    assert json.loads(done.stdout)["library"] == record
    assert (record["library"], record["version"]) == ("embedded", "1.2")
    assert (record["source"], record["options"]) == ("plain", {"precision": "float64"})
    assert record["facts"] == {"model": "plain"}
    assert {row["system"] for row in record["comparison"]} >= {"crystal", "slab", "molecule"}
    crystal = record["comparison"][0]
    assert set(crystal) == {
        "system", "atoms", "energy", "forces", "stress", "relative", "rounding", "problem",
    }  # fmt: skip
    assert 0 < record["largest_difference"] < 1e-13
    comments = (tmp_path / "plain/plain.param").read_text()
    assert '# Made of "plain", precision=float64 with Embedded 1.2\n' in comments
    # KIM installs what CMakeLists.txt names: the parameter file travels, the record stays.
    assert "library.json" not in (tmp_path / "plain/CMakeLists.txt").read_text()


def test_species_codes_that_the_adapter_knows_are_not_guessed(
    pack: Pack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchml_driver import trial

    assert pack("plain").returncode == 0
    answer = trial.answered({"model": str(tmp_path / "plain")})
    assert answer["species"]["outcome"] != "none"
    assert answer["species"]["atoms"] > 0

    def guess(_potential: object) -> None:
        pytest.fail("the model was evaluated with other codes")

    monkeypatch.setattr(trial, "find", guess)
    answer = trial.answered({"model": str(tmp_path / "plain"), "codes_known": True})
    assert answer["species"]["outcome"] == "none"
    assert all(check["passed"] for check in answer["checks"])


def test_a_model_in_single_precision_may_differ_by_its_rounding(pack: Pack, tmp_path: Path) -> None:
    done = pack("plain", "--option", "precision=float32", "--json")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)["library"]
    assert record["tolerance"] == 1e-5
    assert 1e-9 < record["largest_difference"] < 1e-5


def test_other_results_than_the_library_s_are_refused(pack: Pack, tmp_path: Path) -> None:
    said = refused(pack("other"), LibraryDiffersError)
    assert "differ from those of Embedded 1.2 by more than rounding" in said
    assert "1.2, 1.3" in said
    assert " crystal " in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["library"]


def test_a_library_that_rounds_more_is_judged_by_its_own_changes(
    pack: Pack, tmp_path: Path
) -> None:
    done = pack("rough")
    assert done.returncode == 0, done.stderr
    assert "Embedded's own change with order and place of the atoms" in done.stdout
    rows = json.loads((tmp_path / "rough/library.json").read_text())["comparison"]
    rounded = [row for row in rows if row["relative"] > 1e-8]
    assert rounded
    assert all(row["relative"] < 3 * row["rounding"] for row in rounded)
    refused(pack("wild"), LibraryDiffersError)  # no rounding is as large


@pytest.mark.parametrize("source", ["nan", "unable"])
def test_a_calculator_that_gives_no_results_proves_nothing(
    pack: Pack, tmp_path: Path, source: str
) -> None:
    refused(pack(source), LibraryDiffersError)
    assert not (tmp_path / source).exists()


def test_a_system_on_which_the_library_fails_is_named(pack: Pack) -> None:
    done = pack("lonely")
    assert done.returncode == 0, done.stderr
    assert "Embedded fails: ValueError: an atom without neighbours" in done.stdout


def test_a_missing_library_is_named_with_the_command_that_installs_it(
    pack: Pack, library: Path
) -> None:
    said = refused(pack("7net-0", name="sevennet"), LibraryMissingError)
    assert "python -m pip install sevenn" in said
    (library / "embedded.py").write_text("raise RuntimeError('no GPU')")
    assert "no GPU" in refused(pack("plain"), LibraryMissingError)


def test_an_old_version_is_refused_and_a_new_one_tried(pack: Pack, library: Path) -> None:
    found = library / "embedded-1.2.dist-info"
    metadata = (found / "METADATA").read_text()
    (found / "METADATA").write_text(metadata.replace("1.2", "1.0"))
    assert "1.1 or newer" in refused(pack("plain"), LibraryVersionError)
    (found / "METADATA").write_text(metadata.replace("1.2", "2.0"))
    done = pack("plain")
    assert done.returncode == 0
    assert "tried with 1.2, 1.3" in " ".join(done.stderr.split())


def test_a_name_that_the_library_does_not_have_lists_those_that_it_has(pack: Pack) -> None:
    assert "one of these: plain, lonely" in refused(pack("plane"), ModelFileMissingError)


def test_a_file_of_another_library_is_named(pack: Pack, tmp_path: Path) -> None:
    ours, theirs, nobody_s = (tmp_path / name for name in ("ours.pth", "theirs.pth", "text.pth"))
    torch.save({"embedded": 1}, ours)
    assert pack(str(ours)).returncode == 0
    config = {"_number_of_species": 1}
    torch.save({"model_state_dict": {}, "config": config}, theirs)
    assert "--from sevennet" in refused(pack(str(theirs)), OtherLibraryError)
    nobody_s.write_text("nothing")
    assert "not a model of Embedded" in refused(pack(str(nobody_s)), OtherLibraryError)


@pytest.mark.parametrize(
    ("source", "words"), [("charged", "charges at long range"), ("broken", "KeyError: 'weights'")]
)
def test_a_model_that_cannot_be_adapted_says_why(pack: Pack, source: str, words: str) -> None:
    assert words in refused(pack(source), UnsupportedModelError)


def test_unknown_libraries_and_options_list_those_that_there_are(pack: Pack) -> None:
    said = refused(pack("plain", name="embeded"), BadOptionError)
    assert {"embedded", "sevennet"} <= set(re.findall(r"\w+", said))
    said = refused(pack("plain", "--option", "charge=1"), BadOptionError)
    assert "precision (float64 or float32)" in said


def test_an_existing_folder_is_refused_before_the_library_is_started(
    pack: Pack, tmp_path: Path
) -> None:
    assert pack("plain").returncode == 0
    (tmp_path / "library/embedded.py").write_text("raise RuntimeError")
    refused(pack("plain"), OutputExistsError)
    assert pack("plain", "--force").returncode == LibraryMissingError.exit_code
    assert (tmp_path / "plain/library.json").exists()


def on_a_molecule(folder: Path) -> Any:
    from torchml_driver import Potential

    positions = [[0.0, 0.0, 0.0], [0.0, 0.0, 1.6], [0.9, 0.2, -0.4]]
    return Potential(folder).compute(["Si", "O", "H"], positions)


@pytest.mark.slow
def test_a_model_is_compiled_with_its_torchscript_beside_it(
    pack: Pack, driver_environment: DriverEnvironment, tmp_path: Path
) -> None:
    assert pack("plain", "--name", "Plain").returncode == 0
    done = pack("plain", "--compile", "--name", "Fast", "--json")
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "Fast"
    made = {path.name for path in folder.iterdir()}
    assert made == {"CMakeLists.txt", "Fast.param", "Fast.pt", "Fast.pt2", "library.json"}
    listed = (folder / "CMakeLists.txt").read_text()
    assert '"Fast.pt2"' in listed
    assert '"Fast.pt"' not in listed  # KIM does not install it
    record = json.loads(done.stdout)["library"]
    assert record == json.loads((folder / "library.json").read_text())
    assert record["compiled"]["largest_difference"] < 1e-10
    assert record["largest_difference"] < 1e-12  # from the library's own calculator
    expected, found = (on_a_molecule(tmp_path / name) for name in ("Plain", "Fast"))
    assert found.energy == pytest.approx(expected.energy, abs=1e-12)
    np.testing.assert_allclose(found.forces, expected.forces, rtol=0, atol=1e-12)

    command = [sys.executable, "-m", "torchml_installer", "model", "compile", "Plain"]
    again = subprocess.run(
        command, env=driver_environment.env, cwd=tmp_path, capture_output=True, text=True
    )
    assert again.returncode == 0, again.stderr
    assert "torchml-install model install Plain" in again.stdout
    folder = tmp_path / "Plain"
    for name in ("CMakeLists.txt", "Plain.param"):
        text = (folder / name).read_text()
        assert "Plain.pt2" in text
        assert not re.search(r"Plain\.pt\b", text)
    assert (folder / "Plain.pt").is_file()
    assert "compiled" in json.loads((folder / "library.json").read_text())
    found = on_a_molecule(folder)
    assert found.energy == pytest.approx(expected.energy, abs=1e-12)
    np.testing.assert_allclose(found.forces, expected.forces, rtol=0, atol=1e-12)


def test_a_model_that_cannot_be_compiled_names_the_place_in_its_code(
    pack: Pack, library: Path, tmp_path: Path
) -> None:
    done = pack("branching", "--compile")
    said = refused(done, NotCompilableError)
    assert "branching of Embedded 1.2 cannot be compiled" in said
    assert "depends on the values of tensors" in said
    assert "embedded.py, line" in said
    assert "if float(edge_vectors.square().sum()) > 1e30" in said
    assert "without --compile" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["library"]


def test_options_of_other_sources_are_refused_for_a_folder(pack: Pack, tmp_path: Path) -> None:
    assert pack("plain").returncode == 0
    command = [sys.executable, "-m", "torchml_installer", "model", "compile", "plain"]
    for option in (["--cutoff", "4.0"], ["--fold"], ["--output", "x.pt2"]):
        done = subprocess.run([*command, *option], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 2
        assert f"{option[0]} is not for the folder of a packed model" in " ".join(
            done.stderr.split()
        )


def test_options_that_the_library_answers_are_refused(pack: Pack) -> None:
    done = pack("plain", "--cutoff", "5.0")
    assert done.returncode == 2
    assert "--cutoff is not for models of a library" in " ".join(done.stderr.split())
    done = pack("plain", "--option", "precision")
    assert done.returncode == 2
    assert "not of the form KEY=VALUE" in done.stderr
