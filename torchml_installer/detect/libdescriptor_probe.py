"""Tests a libdescriptor with a value and its derivative that are known in closed form.

    python -m torchml_installer.detect.libdescriptor_probe LIBRARY

Exits with 0 if they are right, else with 1 and a line on stderr. Runs in a separate process, since
an unsuitable library can crash it.

The symmetry function g2 of two particles at a distance r (J. Behler and M. Parrinello, Phys. Rev.
Lett. 98, 146401 (2007)): exp(-eta (r - shift)^2) (cos(pi r / cutoff) + 1) / 2.
"""

from __future__ import annotations

import ctypes
import math
import sys
import tempfile
from pathlib import Path

ETA, SHIFT, CUTOFF, DISTANCE = 0.4, 0.5, 4.0, 2.3

_FILE = f"""\
cos
1
X X {CUTOFF}
1
g2 1 2
{ETA} {SHIFT}
False
1
"""
_ARGUMENTS = "iiPiS0_iPdS1_"
_MAKE = (
    "_ZN10Descriptor14DescriptorKind14initDescriptorERNSt7__cxx1112basic_stringIcSt11char_traits"
    "IcESaIcEEENS_19AvailableDescriptorE"
)
_COMPUTE = f"_ZN10Descriptor19compute_single_atomE{_ARGUMENTS}PNS_14DescriptorKindE"
_GRADIENT = f"_ZN10Descriptor20gradient_single_atomE{_ARGUMENTS}S1_S1_PNS_14DescriptorKindE"


class _String(ctypes.Structure):
    """libstdc++'s std::string, for strings too long to be stored inside it."""

    _fields_ = (
        ("data", ctypes.c_char_p),
        ("size", ctypes.c_size_t),
        ("capacity", ctypes.c_size_t),
        ("unused", ctypes.c_size_t),
    )


def known() -> tuple[float, float]:
    """The value, and its derivative with respect to the distance (1/Å)."""
    gauss = math.exp(-ETA * (DISTANCE - SHIFT) ** 2)
    cutoff = (math.cos(math.pi * DISTANCE / CUTOFF) + 1) / 2
    slope = -math.pi / (2 * CUTOFF) * math.sin(math.pi * DISTANCE / CUTOFF)
    return gauss * cutoff, gauss * (slope - 2 * ETA * (DISTANCE - SHIFT) * cutoff)


def computed(library: str) -> tuple[float, float]:
    """The same two from a library; OSError or AttributeError for another kind of library."""
    functions = ctypes.CDLL(library)
    make, compute, gradient = (functions[name] for name in (_MAKE, _COMPUTE, _GRADIENT))
    make.restype = ctypes.c_void_p
    compute.restype = gradient.restype = None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "symmetry_functions.dat"
        path.write_text(_FILE, encoding="ascii")
        name = str(path).encode()
        kind = ctypes.c_void_p(make(ctypes.byref(_String(name, len(name), len(name), 0)), 0))
    species, neighbours = (ctypes.c_int * 2)(0, 0), (ctypes.c_int * 1)(1)
    along = [component / 3 for component in (1.0, -2.0, 2.0)]
    places = (ctypes.c_double * 6)(0, 0, 0, *(DISTANCE * component for component in along))
    value = (ctypes.c_double * 1)()
    particles = (0, 2, species, neighbours, 1, places)
    compute(*particles, value, kind)
    derivative = (ctypes.c_double * 6)()
    gradient(*particles, derivative, (ctypes.c_double * 1)(), (ctypes.c_double * 1)(1.0), kind)
    return value[0], sum(a * b for a, b in zip(derivative[3:], along, strict=True))


def main(library: str) -> int:
    for what, right, found in zip(
        ("a value", "a derivative"), known(), computed(library), strict=True
    ):
        if not abs(found - right) < 1e-12:
            print(f"it computes {what} as {found!r} instead of {right!r}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
