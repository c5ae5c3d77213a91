"""Parameter and descriptor files that both readers, the driver's and the installer's, must accept
or refuse alike: each is a name and the bytes of a file.
"""

from __future__ import annotations

from tests.support import ROOT

NEIGHBOURS = """\
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
GRAPH = NEIGHBOURS.replace("none", "Graph").replace("4.0", "4.0\n3")
EDGES = NEIGHBOURS.replace("none", "Edges").replace("4.0", "4.0\n3")
DESCRIPTOR = NEIGHBOURS.replace("none", "Descriptor").replace("Any Descriptors?\nNone", "\nSOAP")


def _changed(old: str, new: str, text: str = NEIGHBOURS) -> bytes:
    assert text.count(old) == 1, old
    return text.replace(old, new).encode()


def _with(*settings: str, text: str = NEIGHBOURS) -> bytes:
    return (text + "".join(f"{line}\n" for line in settings)).encode()


GOOD_PARAMETERS: dict[str, bytes] = {
    "as KLIFF writes it": NEIGHBOURS.encode(),
    "a graph": GRAPH.encode(),
    "a descriptor": DESCRIPTOR.encode(),
    "no comments": b"2\nSi C\nnone\n4.0\nSiC.pt\nFalse\n5\nNone\n",
    "no last line end": NEIGHBOURS.rstrip().encode(),
    "line ends of Windows": NEIGHBOURS.replace("\n", "  # noted\r\n").encode(),
    "tabs and form feeds": NEIGHBOURS.replace("Si C", "\fSi\tC\v")
    .replace("4.0", "\t4.0 ")
    .encode(),
    "comments in any script": _changed("# Model", "# Modèle \uff14 \u00a0"),
    "comments that are no UTF-8": NEIGHBOURS.encode().replace(b"# Model", b"# Mod\xe8le"),
    "elements on lines of their own": _changed("Si C", "Si\nC"),
    "leading zeros": _changed("\n5\n", "\n00000000000000000005\n"),
    "a cutoff with an exponent": _changed("4.0", "+.4e+1"),
    "a cutoff without a fraction": _changed("4.0", "4."),
    "a tiny cutoff": _changed("4.0", "1e-300"),
    "a cutoff of many digits": _changed("4.0", "3." + 40 * "7"),
    "a name with blanks": _changed("SiC.pt", "my model.pt"),
    "a name in any script": _changed("SiC.pt", "modèle.pt"),
    "words in capitals": NEIGHBOURS.replace("none", "NONE").replace("False", "TRUE").encode(),
    "edges": EDGES.encode(),
    "a model on edges that returns forces": _changed("False", "True", text=EDGES),
    "a model on edges that returns its gradient": _with(
        "returns_edge_gradient True", text=EDGES.replace("False", "True")
    ),
    "an edge gradient that is none": _with("returns_edge_gradient false", text=EDGES),
    "all settings": _with(
        "edge_receiver_row 1",
        "drop_unused_particles True",
        "precision bfloat16",
        "atomic_numbers false",
        text=GRAPH,
    ),
    "settings after tabs": _with("precision\tfloat32", "atomic_numbers \t True"),
    "the last of two settings": _with("precision float32", "precision float64"),
    **{
        f"{file.parent.name} {file.name}": file.read_bytes()
        for file in sorted((ROOT / "examples").rglob("*.param"))
    },
    **{
        f"fuzzing {name}": (ROOT / "driver_src/fuzz/corpus/parameters" / name).read_bytes()
        for name in ("edges", "graph", "neighbours")
    },
}

BAD_PARAMETERS: dict[str, bytes] = {
    "nothing": b"",
    "comments alone": b"# nothing\n\n",
    "no text": b"PK\x03\x04\x00\x00",
    "a byte zero": NEIGHBOURS.encode() + b"\0",
    "a mark of the byte order": b"\xef\xbb\xbf" + NEIGHBOURS.encode(),
    "too long": NEIGHBOURS.encode() + (1 << 20) * b"\n",
    "no number of elements": _changed("\n2\n", "\ntwo\n"),
    "a negative number of elements": _changed("\n2\n", "\n-2\n"),
    "a number of elements with a sign": _changed("\n2\n", "\n+2\n"),
    "a number of elements with a fraction": _changed("\n2\n", "\n2.0\n"),
    "a number of elements in another script": _changed("\n2\n", "\n\uff12\n"),
    "a number of elements with an underscore": _changed("\n2\n", "\n0_2\n"),
    "a huge number of elements": _changed("\n2\n", f"\n2{5000 * '0'}\n"),
    "more elements than there are": _changed("\n2\n", "\n119\n"),
    "fewer elements than named": _changed("\n2\n", "\n1\n"),
    "an element in small letters": _changed("Si C", "si C"),
    "an unknown element": _changed("Si C", "Si Xx"),
    "an element twice": _changed("Si C", "Si Si"),
    "elements with a comma": _changed("Si C", "Si,C"),
    "elements with a blank of Unicode": _changed("Si C", "Si\u00a0C"),
    "an unknown preprocessing": _changed("none", "Voronoi"),
    "an edge gradient of a model that returns none": _with(
        "returns_edge_gradient True", text=EDGES
    ),
    "an edge gradient of a model on graphs": _with(
        "returns_edge_gradient True", text=GRAPH.replace("False", "True")
    ),
    "an edge gradient perhaps": _with("returns_edge_gradient 1", text=EDGES),
    "a negative cutoff": _changed("4.0", "-4.0"),
    "no cutoff at all": _changed("4.0", "0"),
    "a cutoff that is too small for a number": _changed("4.0", "1e-400"),
    "a cutoff that is too large for a number": _changed("4.0", "1e400"),
    "an infinite cutoff": _changed("4.0", "inf"),
    "a cutoff that is no number": _changed("4.0", "nan"),
    "a cutoff with an underscore": _changed("4.0", "4_0.0"),
    "a cutoff in another script": _changed("4.0", "\uff14.0"),
    "a cutoff with Arabic digits": _changed("4.0", "\u0664.0"),
    "a cutoff with a comma": _changed("4.0", "4,0"),
    "a cutoff with a unit": _changed("4.0", "4.0A"),
    "a cutoff in hexadecimal": _changed("4.0", "0x4p0"),
    "a cutoff with half an exponent": _changed("4.0", "4e"),
    "a cutoff with a blank of Unicode": _changed("4.0", "4.0\u00a0"),
    "two cutoffs": _changed("4.0", "4.0 3"),
    "a graph without layers": _changed("none", "Graph"),
    "a graph of too many layers": _changed("4.0\n3", "4.0\n1001", GRAPH),
    "forces perhaps": _changed("False", "maybe"),
    "no inputs": _changed("\n5\n", "\n0\n"),
    "an end too early": NEIGHBOURS.partition("# Any")[0].encode(),
    "an unknown setting": _with("fewer_edges 1"),
    "a setting of graphs": _with("edge_receiver_row 1"),
    "a setting without a value": _with("precision"),
    "a setting with two values": _with("precision float32 float64"),
    "a setting after a blank of Unicode": _with("precision\u00a0float32"),
    "an unknown precision": _with("precision double"),
    "a precision in capitals": _with("precision Float32"),
    "a third row": _with("edge_receiver_row 2", text=GRAPH),
    "a setting perhaps": _with("drop_unused_particles perhaps", text=GRAPH),
    "atomic numbers in a number": _with("atomic_numbers 14"),
    "atomic numbers of descriptors": _with("atomic_numbers True", text=DESCRIPTOR),
    "fuzzing descriptor": (ROOT / "driver_src/fuzz/corpus/parameters/descriptor").read_bytes(),
}

_SYMMETRY = "cos\n1\nSi Si 4.0\n2\ng2 2 2\n0.5 0.0\n1.0 0.0\ng3 1 1\n1.5\nFalse\n3\n"
_BISPECTRUM = "cos\n1\nSi Si 4.0\n4\n0.99363\n0\n0.0\n1\n0\n1.0\n"
_SOAP = "cos\n1\nSi Si 4.0\n3\n2\n4.0\npolynomial\n1.0\n"

GOOD_DESCRIPTORS: dict[str, bytes] = {
    "symmetry functions": _SYMMETRY.encode(),
    "symmetry functions in capitals": _SYMMETRY.replace("g", "G").encode(),
    "symmetry functions with zeros": _changed("g2 2 2", "g2 000000000002 2", _SYMMETRY),
    "bispectrum": _BISPECTRUM.encode(),
    "bispectrum with words for flags": _changed("\n1\n0\n1.0", "\nTrue\nfalse\n1.0", _BISPECTRUM),
    "soap": _SOAP.encode(),
    "line ends of Windows": _SYMMETRY.replace("\n", " # noted\r\n").encode(),
    "comments in any script": ("# Modèle \uff14\n" + _BISPECTRUM).encode(),
    **{
        file.name: file.read_bytes()
        for file in sorted((ROOT / "tests/data/descriptors").glob("*.dat"))
    },
}

#: The installer reads only the kind, and leaves numbers and names to the driver.
BAD_DESCRIPTORS: dict[str, bytes] = {
    "nothing": b"",
    "comments alone": b"# nothing\n\n",
    "no text": b"PK\x03\x04\x00\x00",
    "too long": _SYMMETRY.encode() + (1 << 20) * b"\n",
    "a single value": b"cos\n",
}

#: Files that only the driver refuses; the installer names the possible kind of each without
#: failing.
WRONG_DESCRIPTORS: dict[str, bytes] = {
    "another cutoff type": _changed("cos", "tanh", _SYMMETRY),
    "a cutoff with an underscore": _changed("Si Si 4.0", "Si Si 4_0.0", _SYMMETRY),
    "a cutoff in another script": _changed("Si Si 4.0", "Si Si \uff14.0", _SYMMETRY),
    "rows in another script": _changed("g2 2 2", "g2 ² 2", _SYMMETRY),
    "too many rows": _changed("g2 2 2", "g2 99999999999999999999 2", _SYMMETRY),
    "an infinite number": _changed("0.99363", "inf", _BISPECTRUM),
    "a number with an underscore": _changed("0.99363", "0_1.0", _BISPECTRUM),
    "an unknown basis": _changed("polynomial", "gauss", _SOAP),
    "a first line of functions": _changed("cos", "g2", _BISPECTRUM),
    "a word before the functions": _changed("\n2\ng2", "\nword\n2\ng2", _SYMMETRY),
}
