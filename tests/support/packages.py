"""Descriptions in compiled models (extra/torchml.txt): the engine and the installer each read them,
and must accept and refuse the same ones."""

from __future__ import annotations

from tests.support import ROOT

#: The fuzzers begin with these.
GOOD = {
    path.name: path.read_text(encoding="utf-8")
    for path in sorted((ROOT / "driver_src/fuzz/corpus/packages").iterdir())
}

ON_CPU = """\
torchml-package 1
torch 2.13.0
device cpu
machine x86_64
instructions avx2 fma
argument descriptor float64 * 51
gradient descriptor
entry energies_and_gradient
"""

#: Errors to put into ON_CPU, and what they replace.
BAD = [
    ("torchml-package 1", "torchml-package 2"),
    ("torchml-package 1", "torchml-package 4"),
    ("argument descriptor float64 * 51\n", ""),
    ("gradient descriptor\n", ""),
    ("entry energies_and_gradient", "entry energies"),
    ("gradient descriptor", "forces"),
    ("float64", "complex64"),
    ("* 51", "* 5x"),
    ("* 51", "* -5"),
    ("* 51", "* 5.1"),
    ("* 51", "* \N{ARABIC-INDIC DIGIT FIVE}"),
    ("* 51", "* 99999999999999999999"),
    ("argument descriptor float64 * 51", "argument descriptor"),
]
