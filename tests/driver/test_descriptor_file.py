"""Descriptor files are read in both existing layouts, and errors are reported with their line."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.build import bulk

from tests.support.descriptor_cases import DATA

pytestmark = pytest.mark.usefixtures("driver_environment")

SYMMETRY = """\
cos
1
Si Si 4.0
2
g2 2 2
0.3 0.7
1.1 2.0  # eta Rs
g4 1 3
1 -1 0.05
False
3
"""
TWO = SYMMETRY.replace("1\nSi Si 4.0", "2\nSi Si 4.0\nSi C 3.6\nC Si 3.6\nC C 3.1")
BISPECTRUM = "cos\n1\nSi Si 4.0\n2\n0.99363\n3\n0\n1\n0\n1.0\n"
SOAP = "4\n3\n4.0\n0.5\npolynomial\n1\nSi\n"


def read(path: Path, elements: list[str]) -> Any:
    return importlib.import_module("torchml_driver.descriptors").Descriptor(path, elements)


def written(folder: Path, text: str) -> Path:
    path = folder / "descriptor.dat"
    path.write_text(text)
    return path


def layouts() -> list[str]:
    return sorted(
        path.name.removesuffix(".libdescriptor.dat") for path in DATA.glob("*.libdescriptor.dat")
    )


@pytest.mark.parametrize("name", layouts())
def test_kliffs_and_libdescriptors_layouts_say_the_same(name: str) -> None:
    atoms = bulk("Si", a=5.43, cubic=True)
    atoms.rattle(0.1, seed=1)
    one, other = (
        read(DATA / f"{name}.{layout}.dat", ["Si"]).values(atoms)
        for layout in ("kliff", "libdescriptor")
    )
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("pairs", ["Si Si 4.0\nSi C 3.6\nC C 3.1", "C C 3.1\nC Si 3.6\nSi Si 4.0"])
def test_pairs_may_stand_once_and_in_any_order(tmp_path: Path, pairs: str) -> None:
    atoms = bulk("SiC", "zincblende", a=4.36, cubic=True)
    every = read(written(tmp_path, TWO), ["Si", "C"]).values(atoms)
    text = SYMMETRY.replace("1\nSi Si 4.0", f"2\n{pairs}")
    np.testing.assert_array_equal(read(written(tmp_path, text), ["Si", "C"]).values(atoms), every)


def test_comments_blank_lines_and_line_ends_do_not_matter(tmp_path: Path) -> None:
    atoms = bulk("Si", a=5.43, cubic=True)
    plain = read(written(tmp_path, SYMMETRY), ["Si"]).values(atoms)
    noisy = "".join(f"# about to come\r\n\r\n  {line} \t# so\r\n" for line in SYMMETRY.split("\n"))
    (tmp_path / "descriptor.dat").write_bytes(noisy.encode())
    found = read(tmp_path / "descriptor.dat", ["Si"]).values(atoms)
    np.testing.assert_array_equal(found, plain)


@pytest.mark.parametrize("g1", ["g1", "g1 1 1\n0.0", "g1 1 0"])
def test_g1_comes_with_and_without_numbers(tmp_path: Path, g1: str) -> None:
    text = SYMMETRY.replace("g4 1 3\n1 -1 0.05", g1)
    assert read(written(tmp_path, text), ["Si"]).width == 3


@pytest.mark.parametrize(
    "ending",
    [
        "center_and_normalize False\n",
        "center_and_normalize  True\n3   # descriptor size\n# mean\n0.0 \n\n# deviation\n1.0 \n",
        "True\n3\n",
        "center_and_normalize True\n3\n0 0 0\n1 1 1\n",
        "True\n3\n0\n0\n0\n1\n1\n1\n",
    ],
)
def test_normalisation_that_changes_nothing_may_be_written_in_many_ways(
    tmp_path: Path, ending: str
) -> None:
    atoms = bulk("Si", a=5.43, cubic=True)
    plain = read(written(tmp_path, SYMMETRY), ["Si"]).values(atoms)
    text = SYMMETRY.replace("False\n3\n", ending)
    np.testing.assert_array_equal(read(written(tmp_path, text), ["Si"]).values(atoms), plain)


@pytest.mark.parametrize(
    ("change", "to", "message"),
    [
        ("cos\n", "exp\n", r"line 1: the cutoff type must be cos, not 'exp'"),
        ("1\nSi", "one\nSi", r"line 2: the number of species .* not 'one'"),
        ("Si Si 4.0", "Si Si", r"line 3: expected a pair of species and its cutoff, not 'Si Si'"),
        ("Si Si 4.0", "Si Si -4", r"line 3: a cutoff .* positive, not -4"),
        ("Si Si 4.0", "Si Si nan", r"line 3: a cutoff .* number, not 'nan'"),
        ("Si Si 4.0", "Ge Ge 4.0", r"line 3: 'Ge' is not one of the model's elements \(Si\)"),
        ("Si Si 4.0", "Si Si 4.0\nSi Si 3.0", r"line 4: .* two cutoffs, 4 and 3"),
        ("1\nSi", "2\nSi", r"line 4: .* announce 2 species, .* for 1"),
        ("2\ng2", "x\ng2", r"line 4: expected a pair of species"),
        ("2\ng2", "0\ng2", r"line 4: the number of kinds .* 1 to 1000, not '0'"),
        ("g2 2 2", "g2 2", r"line 5: expected 'g2 ROWS COLUMNS', not 'g2 2'"),
        ("g2 2 2", "g2 2 3", r"line 5: g2 takes 2 parameter\(s\) per row, not 3"),
        ("g2 2 2", "g2 -2 2", r"line 5: the number of rows"),
        ("g2 2 2", "g2 99999999999 2", r"line 5: the number of rows"),
        ("g4 1 3", "g6 1 3", r"line 8: expected a kind of symmetry functions .* not 'g6 1 3'"),
        ("0.3 0.7", "0.3", r"line 6: a row of g2 must have 2 number\(s\), not '0.3'"),
        ("0.3 0.7", "0.3 much", r"line 6: a parameter must be a number, not 'much'"),
        ("0.3 0.7", "0.3 inf", r"line 6: a parameter must be a number, not 'inf'"),
        ("1 -1 0.05", "0 -1 0.05", r"line 9: zeta, .* positive, not 0"),
        ("False", "maybe", r"line 10: the normalisation flag .* not 'maybe'"),
        ("False\n3", "False\n4", r"line 11: the descriptor's width must be 3, .* not '4'"),
        ("False\n3\n", "False\n3\n0.0\n", r"line 12: unexpected line after the last value"),
        ("False\n3\n", "True\n3\n0.0\n", r"line 12: .* \(2 or 6 numbers\), not 1 number"),
        ("False\n3\n", "True\n3\n0.0\n0.0\n", r"line 13: standard deviations .* not 0"),
        ("False\n3\n", "", r"ends before the normalisation flag \(after line 9\)"),
        ("g4 1 3\n1 -1 0.05\nFalse\n3\n", "", r"ends before a kind of symmetry functions"),
    ],
)
def test_an_invalid_line_is_named(tmp_path: Path, change: str, to: str, message: str) -> None:
    error = importlib.import_module("torchml_driver").Error
    assert change in SYMMETRY
    with pytest.raises(error, match=f"descriptor file descriptor.dat.*{message}"):
        read(written(tmp_path, SYMMETRY.replace(change, to, 1)), ["Si"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BISPECTRUM.replace("\n2\n", "\n2.3\n"), r"line 4: jmax must be a multiple of 1/2"),
        (BISPECTRUM.replace("\n3\n", "\n4\n"), r"line 6: diagonalstyle .* 0 to 3, not '4'"),
        (BISPECTRUM.replace("\n1.0\n", "\n1.0 2.0\n"), r"line 10: expected one weight for each"),
        (BISPECTRUM.replace("\n1.0\n", "\n"), r"ends before the weights"),
        (BISPECTRUM + "7\n", r"line 11: unexpected line after the last value"),
        (SOAP.replace("polynomial", "bessel"), r"line 5: the radial basis .* not 'bessel'"),
        (SOAP.replace("0.5", "-0.5"), r"line 4: eta must be positive"),
        (SOAP.replace("1\nSi", "1\nGe"), r"line 7: 'Ge' is not one of the model's elements"),
        (SOAP.replace("1\nSi", "2\nSi"), r"ends before the species"),
        (SOAP.replace("1\nSi\n", ""), r"ends before the number of species"),
        ("", "is empty"),
        ("\x00\x01", "is not a text file"),
    ],
)
def test_invalid_files_of_the_other_descriptors_are_refused(
    tmp_path: Path, text: str, message: str
) -> None:
    error = importlib.import_module("torchml_driver").Error
    with pytest.raises(error, match=f"descriptor file descriptor.dat.*{message}"):
        read(written(tmp_path, text), ["Si"])


def test_every_pair_of_the_models_elements_needs_a_cutoff(tmp_path: Path) -> None:
    error = importlib.import_module("torchml_driver").Error
    with pytest.raises(error, match=r"line 4: .* no cutoff for the pair Si C"):
        read(written(tmp_path, SYMMETRY), ["Si", "C"])


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    error = importlib.import_module("torchml_driver").Error
    with pytest.raises(error, match="cannot be read"):
        read(tmp_path / "nothing.dat", ["Si"])
