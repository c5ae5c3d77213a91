"""Parameter files are read as carelessly as they are written, and mistakes are told by line."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from tests.installer.synthetic_machines import write
from tests.support import ROOT
from tests.support.original_parameter_file import OriginalValues, read_as_original
from tests.support.value_files import BAD_PARAMETERS, GOOD_PARAMETERS
from torchml_installer.errors import BadParameterFileError
from torchml_installer.models.parameter_file import (
    PRECISIONS,
    CallingConvention,
    GraphSettings,
    Parameters,
    parse,
    read,
)

KLIFF_STYLE = """\
# Num of elements
2
Si C

# Preprocessing kind
none

# Cutoff and n_conv layers
4.0
# Model
SiC.pt

# Returns Forces
False
# Number of inputs
5

# Any Descriptors?
None
"""


def test_what_is_written_reads_back_the_same() -> None:
    parameters = Parameters(("Si", "C"), CallingConvention.NEIGHBOURS, 3.77118, "SiC.pt")
    assert parse(parameters.as_text(), Path("x.param")) == parameters


def test_a_graphs_layers_have_a_line_of_their_own() -> None:
    parameters = Parameters(
        ("Si",), CallingConvention.GRAPH, 4.5, "gnn.pt", True, n_inputs=6, n_layers=3
    )
    assert parse(parameters.as_text(), Path("x.param")) == parameters
    assert parameters.influence_distance == pytest.approx(13.5)


def test_a_model_on_edges_has_layers_too_and_may_return_its_gradient() -> None:
    edges = CallingConvention.EDGES
    parameters = Parameters(
        ("Si",), edges, 4.5, "gnn.pt", n_inputs=4, n_layers=3, atomic_numbers=True
    )
    text = parameters.as_text()
    assert parse(text, Path("x.param")) == parameters
    assert parameters.influence_distance == pytest.approx(13.5)
    returned = dataclasses.replace(parameters, returns_forces=True, returns_edge_gradient=True)
    assert parse(returned.as_text(), Path("x.param")) == returned
    with pytest.raises(BadParameterFileError, match=r"'returns forces' must be True"):
        parse(text + "returns_edge_gradient True\n", Path("x.param"))


def test_what_a_graph_model_can_do_without_stands_after_the_values() -> None:
    settings = GraphSettings(edge_receiver_row=1, drop_unused_particles=True)
    parameters = Parameters(
        ("Si",), CallingConvention.GRAPH, 4.5, "gnn.pt", n_layers=3, graph=settings
    )
    text = parameters.as_text()
    assert text.splitlines()[-2:] == ["edge_receiver_row 1", "drop_unused_particles True"]
    assert parse(text, Path("x.param")) == parameters


@pytest.mark.parametrize("pattern", [one for one in CallingConvention if one.value != "descriptor"])
@pytest.mark.parametrize("atomic_numbers", [None, True, False])
@pytest.mark.parametrize("precision", [None, *PRECISIONS])
def test_what_a_model_is_given_is_recorded_after_the_values(
    pattern: CallingConvention, precision: str | None, atomic_numbers: bool | None
) -> None:
    parameters = Parameters(
        ("Si",), pattern, 4.5, "gnn.pt", precision=precision, atomic_numbers=atomic_numbers
    )
    assert parse(parameters.as_text(), Path("x.param")) == parameters


@pytest.mark.parametrize("elements", [("Si",), ("Si", "C", "Og")])
@pytest.mark.parametrize("returns_forces", [False, True])
@pytest.mark.parametrize("settings", [False, True])
@pytest.mark.parametrize(
    "pattern",
    # That driver is older than models on edges.
    [pattern for pattern in CallingConvention if pattern is not CallingConvention.EDGES],
)
def test_the_original_driver_reads_what_is_written(
    pattern: CallingConvention, settings: bool, returns_forces: bool, elements: tuple[str, ...]
) -> None:
    graph = pattern is CallingConvention.GRAPH
    descriptor = "Bispectrum" if pattern is CallingConvention.DESCRIPTOR else "None"
    parameters = Parameters(
        elements,
        pattern,
        1e-5 if settings else 3.77118,
        "model.pt",
        returns_forces,
        n_inputs=7,
        n_layers=4 if graph else 1,
        descriptor=descriptor,
        graph=GraphSettings(1, True) if graph and settings else GraphSettings(),
        precision="float32" if settings else None,
        atomic_numbers=True if settings and pattern is not CallingConvention.DESCRIPTOR else None,
    )
    text = parameters.as_text()
    assert parse(text, Path("x.param")) == parameters
    assert read_as_original(text) == OriginalValues(
        elements=list(elements),
        preprocessing=pattern.preprocessing.lower(),
        cutoff=parameters.cutoff,
        n_layers=4 if graph else 0,
        model_file="model.pt",
        returns_forces=returns_forces,
        n_inputs=7,
        descriptor=descriptor.lower() if pattern is CallingConvention.DESCRIPTOR else "",
    )


def shipped_parameter_files() -> list[Path]:
    """Those of the examples, and those that stand for KLIFF's."""
    found = [*(ROOT / "examples").rglob("*.param"), *(ROOT / "tests" / "data").rglob("*.param")]
    assert len(found) >= 6
    return found


@pytest.mark.parametrize("file", shipped_parameter_files(), ids=lambda file: file.stem)
def test_the_original_driver_reads_the_examples_as_we_do(file: Path) -> None:
    ours = read(file)
    original = read_as_original(file.read_text())
    assert original.elements == list(ours.elements)
    assert original.cutoff == ours.cutoff
    assert original.model_file == ours.model_file
    assert original.n_inputs == ours.n_inputs


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("fewer_edges 1", "unknown setting 'fewer_edges'"),
        ("edge_receiver_row 2", "0 or 1"),
        ("drop_unused_particles perhaps", "True or False"),
        ("precision double", "float64, float32, float16 or bfloat16"),
        ("atomic_numbers 14", "True or False"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(setting: str, reason: str) -> None:
    text = Parameters(("Si",), CallingConvention.GRAPH, 4.5, "gnn.pt", n_layers=3).as_text()
    with pytest.raises(BadParameterFileError, match=reason):
        parse(text + setting, Path("x.param"))


def test_settings_of_graphs_are_refused_for_other_models() -> None:
    with pytest.raises(BadParameterFileError, match="only to models with preprocessing Graph"):
        parse(KLIFF_STYLE + "edge_receiver_row 1", Path("x.param"))


def test_atomic_numbers_are_refused_for_models_that_see_no_species() -> None:
    text = Parameters(("Si",), CallingConvention.DESCRIPTOR, 4.5, "net.pt", n_inputs=1).as_text()
    with pytest.raises(
        BadParameterFileError, match="only to models with preprocessing None, Graph or Edges"
    ):
        parse(text + "atomic_numbers True", Path("x.param"))


@pytest.mark.parametrize("name", GOOD_PARAMETERS)
def test_what_the_driver_reads_is_read(name: str, tmp_path: Path) -> None:
    """tests/unit compares the values, where the driver's own reader is built."""
    file = tmp_path / "model.param"
    file.write_bytes(GOOD_PARAMETERS[name])
    read(file)


@pytest.mark.parametrize("name", BAD_PARAMETERS)
def test_what_the_driver_refuses_is_refused(name: str, tmp_path: Path) -> None:
    file = tmp_path / "model.param"
    file.write_bytes(BAD_PARAMETERS[name])
    with pytest.raises(BadParameterFileError):
        read(file)


def test_comments_and_blank_lines_do_not_count() -> None:
    parameters = parse(KLIFF_STYLE, Path("x.param"))
    assert parameters == Parameters(("Si", "C"), CallingConvention.NEIGHBOURS, 4.0, "SiC.pt")
    bare = "\n".join(line for line in KLIFF_STYLE.splitlines() if line and line[0] != "#")
    assert parse(bare, Path("x.param")) == parameters
    windows = KLIFF_STYLE.replace("\n", "  # noted\r\n")
    assert parse(windows, Path("x.param")) == parameters


def test_elements_may_stand_on_several_lines() -> None:
    text = KLIFF_STYLE.replace("Si C", "Si\nC")
    assert parse(text, Path("x.param")).elements == ("Si", "C")


@pytest.mark.parametrize(
    ("old", "new", "line", "reason"),
    [
        (
            "2\n",
            "two\n",
            2,
            "the number of elements must be a whole number from 1 to 118, not 'two'",
        ),
        ("2\n", "-1\n", 2, "not '-1'"),
        ("Si C", "si C", 3, "'si' is not an element symbol; did you mean 'Si'?"),
        ("Si C", "Si Xx", 3, "'Xx' is not an element symbol; the number of elements is 2."),
        ("Si C", "Si Si", 3, "the element Si is named twice"),
        ("Si C", "Si C O", 3, "the number of elements is 2, but 3 are named"),
        (
            "none",
            "Voronoi",
            6,
            "must be None, Descriptor, Graph or Edges, not 'Voronoi'",
        ),
        ("4.0", "-4.0", 9, "the cutoff must be a positive number (in Å), not '-4.0'"),
        ("4.0", "4_0.0", 9, "not '4_0.0'"),
        ("4.0", "\u0664.0", 9, "not '\u0664.0'"),
        ("4.0", "inf", 9, "not 'inf'"),
        ("4.0", "4.0 3", 9, "not '4.0 3'"),
        ("False", "maybe", 14, "'returns forces' must be True or False, not 'maybe'"),
        ("\nNone\n", "\nNone\nmore\n", 20, "unknown setting 'more'"),
    ],
)
def test_a_mistake_is_told_with_its_line(old: str, new: str, line: int, reason: str) -> None:
    with pytest.raises(BadParameterFileError) as caught:
        parse(KLIFF_STYLE.replace(old, new, 1), Path("x.param"))
    assert caught.value.message.startswith(f"x.param, line {line}: ")
    assert reason in caught.value.message


def test_an_empty_or_truncated_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadParameterFileError, match="has no values at all"):
        read(write(tmp_path / "empty.param", "# nothing\n\n"))
    with pytest.raises(BadParameterFileError, match=r"ends before the cutoff \(after line 6\)"):
        read(write(tmp_path / "short.param", KLIFF_STYLE.partition("# Cutoff")[0]))


def test_a_binary_or_missing_file_is_told(tmp_path: Path) -> None:
    binary = tmp_path / "model.param"
    binary.write_bytes(b"PK\x03\x04\x00\x00")
    with pytest.raises(BadParameterFileError, match="not a text file"):
        read(binary)
    with pytest.raises(BadParameterFileError, match="cannot be read"):
        read(tmp_path / "missing.param")
