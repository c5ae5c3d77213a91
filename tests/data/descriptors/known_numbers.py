"""Prints the results that the driver requires of libdescriptor before it trusts the library.

driver_src/src/descriptors/libdescriptor.cpp compares them.

    python tests/data/descriptors/known_numbers.py SITE-PACKAGES-WITH-LIBDESCRIPTOR-0.2.3
"""

import sys

import numpy as np
from libdescriptor_interface import Library, installed_library

CUTOFFS = [[3.0, 2.8], [2.8, 2.6]]
SPECIES = [0, 1, 0, 1]
POSITIONS = np.array([[0, 0, 0], [1.1, 0.2, -0.4], [-0.7, 1.3, 0.5], [0.3, -1.2, 1.6]])
FUNCTIONS = [("g2", [[0.4, 0.5]]), ("g4", [[2, 1, 0.1]]), ("g5", [[1, -1, 0.2]])]

library = Library(installed_library(sys.argv[1]))
for kind in (
    library.symmetry_functions(["A", "B"], CUTOFFS, FUNCTIONS),
    library.bispectrum(CUTOFFS, [1.0, 0.6], 3, 0.99363, 3, 0.2, 1, 0),
    library.soap(["A", "B"], 2, 2, 3.0, 0.7),
):
    weights = 1 / (1 + np.arange(kind.contents.width))
    value = weights @ library.value(kind, SPECIES, POSITIONS)
    derivative = library.product(kind, SPECIES, POSITIONS, weights)[-1]
    print(repr(float(value)), [float(number) for number in derivative])
