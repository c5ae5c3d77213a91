"""The installer and the driver read parameter files alike: one must not pack what the other
refuses, and both must give the same messages."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.torch_models import parameter_text
from torchml_installer.errors import BadParameterFileError
from torchml_installer.models.parameter_file import parse

pytestmark = pytest.mark.usefixtures("in_collection")

CORPUS = ROOT / "driver_src/fuzz/corpus/parameters"
SOUND = parameter_text("model.pt")
GRAPH = parameter_text("model.pt", preprocessing="Graph", cutoff="4.0\n3")
EDGES = parameter_text("model.pt", preprocessing="Edges", cutoff="4.0\n3")
DESCRIPTOR = parameter_text("model.pt", preprocessing="Descriptor")

#: Each invalid in one place.
WRONG = {
    "elements by number": parameter_text("model.pt", elements="two\nSi C"),
    "too many elements": parameter_text("model.pt", elements="1\nSi C"),
    "an element in lower case": parameter_text("model.pt", elements="1\nsi"),
    "no element": parameter_text("model.pt", elements="1\nXx"),
    "an element twice": parameter_text("model.pt", elements="2\nSi Si"),
    "unknown preprocessing": parameter_text("model.pt", preprocessing="Magic"),
    "a negative cutoff": parameter_text("model.pt", cutoff=-1.0),
    "an infinite cutoff": parameter_text("model.pt", cutoff="inf"),
    "Python's number": parameter_text("model.pt", cutoff="4_0.0"),
    "digits of another script": parameter_text("model.pt", cutoff="\u0664.0"),
    "a hexadecimal cutoff": parameter_text("model.pt", cutoff="0x4p0"),
    "two cutoffs": parameter_text("model.pt", cutoff="4.0 5.0"),
    "no layers": parameter_text("model.pt", preprocessing="Graph", cutoff="4.0\n0"),
    "half a layer": parameter_text("model.pt", preprocessing="Graph", cutoff="4.0\n0.5"),
    "perhaps forces": SOUND.replace("False", "Perhaps"),
    "an unknown setting": SOUND + "speed 11\n",
    "a setting for graphs": SOUND + "edge_receiver_row 0\n",
    "no such row": GRAPH + "edge_receiver_row 2\n",
    "a setting for graphs, not edges": EDGES + "drop_unused_particles True\n",
    "edges without layers": parameter_text("model.pt", preprocessing="Edges"),
    "an edge gradient without forces": EDGES + "returns_edge_gradient True\n",
    "an edge gradient of neighbour lists": SOUND + "returns_edge_gradient False\n",
    "species codes of descriptors": DESCRIPTOR + "atomic_numbers True\n",
    "no such type": SOUND + "precision float128\n",
    "no truth": SOUND + "atomic_numbers maybe\n",
    "two values": SOUND + "precision float64 float32\n",
    "no value": SOUND + "precision\n",
    "an old file": (CORPUS / "descriptor").read_text(encoding="utf-8"),
}
RIGHT = {
    "all values": SOUND,
    "graphs": GRAPH,
    "edges": EDGES.replace("Edges", "eDGES"),
    "edges with forces": EDGES.replace("False", "True"),
    "edges with an edge gradient": EDGES.replace("False", "True") + "returns_edge_gradient True\n",
    "settings of edges": EDGES + "precision float32\natomic_numbers False\n",
    "settings": GRAPH + "edge_receiver_row 1\ndrop_unused_particles true\nprecision float32\n",
    "a number without digits behind the point": parameter_text("model.pt", cutoff="4."),
    "an exponent": parameter_text("model.pt", cutoff="+.4e1"),
    "leading zeros": parameter_text("model.pt", elements="000000000001\nSi"),
    "tabs and comments": SOUND.replace("\n", "\t# as it is\r\n"),
    **{name: (CORPUS / name).read_text(encoding="utf-8") for name in ("graph", "neighbours")},
}


def said_by_the_driver(text: str, folder: Path) -> str:
    """The file has no model, so there is always an error."""
    import torchml_driver

    (folder / "model.param").write_text(text, encoding="utf-8", newline="")
    with pytest.raises(torchml_driver.Error) as caught:
        torchml_driver.Potential(folder)
    return str(caught.value)


@pytest.mark.parametrize("name", WRONG)
def test_both_refuse_a_file_with_the_same_words(name: str, tmp_path: Path) -> None:
    with pytest.raises(BadParameterFileError) as caught:
        parse(WRONG[name], Path("model.param"))
    assert caught.value.message.removeprefix("model.param, ") in said_by_the_driver(
        WRONG[name], tmp_path
    )


@pytest.mark.parametrize("name", RIGHT)
def test_both_take_a_file(name: str, tmp_path: Path) -> None:
    model = parse(RIGHT[name], Path("model.param")).model_file
    said = said_by_the_driver(RIGHT[name], tmp_path)
    assert model in said
    assert "model.param, line" not in said
