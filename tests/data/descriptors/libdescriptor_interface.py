"""libdescriptor's shared library, called from any Python through ctypes.

libdescriptor's own Python module imports only on Python 3.8 to 3.10, and passes a single cutoff for
all pairs of species; its reader of ``.dat`` files does not reach all pairs either. The C++
functions below it accept all cutoffs. This module calls them as a C++ compiler would: it lays out
libstdc++'s std::string and std::vector by hand, and uses mangled names.
"""

import ctypes
from pathlib import Path

import numpy as np

SYMMETRY_FUNCTIONS, BISPECTRUM, SOAP = 0, 1, 2
MOST_NEIGHBOURS = {SYMMETRY_FUNCTIONS: 10**6, BISPECTRUM: 250, SOAP: 100}  # its arrays end there

STRING = "NSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE"
INIT = "_ZN10Descriptor14DescriptorKind14initDescriptor"


class String(ctypes.Structure):
    """libstdc++'s std::string."""

    _fields_ = [
        ("data", ctypes.c_void_p),
        ("size", ctypes.c_size_t),
        ("inside", ctypes.c_char * 16),
    ]


class Vector(ctypes.Structure):
    """libstdc++'s std::vector."""

    _fields_ = [
        ("begin", ctypes.c_void_p),
        ("end", ctypes.c_void_p),
        ("capacity", ctypes.c_void_p),
    ]


class DescriptorKind(ctypes.Structure):
    """Descriptor::DescriptorKind, up to its width."""

    _fields_ = [
        ("virtual_functions", ctypes.c_void_p),
        ("kind", ctypes.c_int),
        ("file_name", String),
        ("width", ctypes.c_int),
    ]


class Library:
    """libdescriptor 0.2.3's shared library."""

    def __init__(self, path):
        self.functions = ctypes.CDLL(str(path))
        self.alive = []  # objects that C++ objects point to

    def function(self, name, result=None):
        found = getattr(self.functions, name)
        found.restype = result
        return found

    def string(self, text):
        made = String()
        letters = ctypes.create_string_buffer(text.encode())
        self.alive.append((made, letters))
        made.data, made.size = ctypes.addressof(letters), len(text)
        return made

    def vector(self, values):
        made = Vector()
        self.alive.append((made, values))
        made.begin = ctypes.addressof(values)
        made.end = made.capacity = made.begin + ctypes.sizeof(values)
        return made

    def strings(self, texts):
        return self.vector((String * len(texts))(*[self.string(text) for text in texts]))

    def doubles(self, values):
        return self.vector((ctypes.c_double * len(values))(*values))

    def integers(self, values):
        return self.vector((ctypes.c_int * len(values))(*values))

    def symmetry_functions(self, elements, cutoffs, functions):
        """From ``functions``, a list of (kind, rows of parameters), and cutoffs (n, n)."""
        kinds = [kind for kind, _ in functions]
        rows = [[row or [0.0] for row in rows] for _, rows in functions]
        sizes = [size for block in rows for size in (len(block), len(block[0]))]
        flat = [value for block in rows for row in block for value in row]
        init = self.function(
            f"{INIT}ENS_19AvailableDescriptorEPSt6vectorI{STRING}SaIS8_EEPS8_PdSB_PS2_IiSaIiEE"
            "PS2_IdSaIdEE",
            ctypes.POINTER(DescriptorKind),
        )
        table = np.ascontiguousarray(cutoffs, dtype=np.float64)
        kind = init(
            SYMMETRY_FUNCTIONS,
            ctypes.byref(self.strings(elements)),
            ctypes.byref(self.string("cos")),
            table.ctypes.data_as(ctypes.c_void_p),
            ctypes.byref(self.strings(kinds)),
            ctypes.byref(self.integers(sizes)),
            ctypes.byref(self.doubles(flat)),
        )
        kind.contents.kind = SYMMETRY_FUNCTIONS
        set_cutoff = self.function("_ZN17SymmetryFunctions10set_cutoffEPKcmPKd")
        set_cutoff(
            kind, b"cos", ctypes.c_size_t(len(elements)), table.ctypes.data_as(ctypes.c_void_p)
        )
        return kind

    def bispectrum(
        self, cutoffs, weights, twojmax, rfac0, diagonalstyle, rmin0, switch_flag, bzero_flag
    ):
        """With cutoffs (n, n) and weights (n)."""
        init = self.function(
            f"{INIT}ENS_19AvailableDescriptorEdiiidiiPdPSt6vectorI{STRING}SaIS9_EEPS3_IdSaIdEE",
            ctypes.POINTER(DescriptorKind),
        )
        table = np.ascontiguousarray(cutoffs, dtype=np.float64)
        names = [f"species{i}" for i in range(len(weights))]
        kind = init(
            BISPECTRUM,
            ctypes.c_double(rfac0),
            twojmax,
            diagonalstyle,
            0,
            ctypes.c_double(rmin0),
            switch_flag,
            bzero_flag,
            table.ctypes.data_as(ctypes.c_void_p),
            ctypes.byref(self.strings(names)),
            ctypes.byref(self.doubles(weights)),
        )
        set_cutoff = self.function("_ZN10Bispectrum10set_cutoffEPKcmPKd")
        set_cutoff(
            kind, b"cos", ctypes.c_size_t(len(weights)), table.ctypes.data_as(ctypes.c_void_p)
        )
        return kind

    def soap(self, elements, n_max, l_max, cutoff, eta):
        init = self.function(
            f"{INIT}ENS_19AvailableDescriptorEiidRSt6vectorI{STRING}SaIS8_EES8_d",
            ctypes.POINTER(DescriptorKind),
        )
        return init(
            SOAP,
            n_max,
            l_max,
            ctypes.c_double(cutoff),
            ctypes.byref(self.strings(elements)),
            ctypes.byref(self.string("polynomial")),  # a class by value goes by its address
            ctypes.c_double(eta),
        )

    def from_file(self, path, kind):
        """As libdescriptor itself reads a .dat file."""
        init = self.function(
            f"{INIT}ER{STRING}NS_19AvailableDescriptorE", ctypes.POINTER(DescriptorKind)
        )
        return init(ctypes.byref(self.string(str(path))), kind)

    def value(self, kind, species, coordinates):
        """Descriptor (width) of the first atom, all the others being its neighbours."""
        species = np.ascontiguousarray(species, dtype=np.int32)
        coordinates = np.ascontiguousarray(coordinates, dtype=np.float64)
        neighbours = np.arange(1, len(species), dtype=np.int32)
        assert len(neighbours) <= MOST_NEIGHBOURS[kind.contents.kind]
        found = np.zeros(kind.contents.width)
        compute = self.function(
            "_ZN10Descriptor19compute_single_atomEiiPiS0_iPdS1_PNS_14DescriptorKindE"
        )
        compute(
            0,
            len(species),
            species.ctypes.data_as(ctypes.c_void_p),
            neighbours.ctypes.data_as(ctypes.c_void_p),
            len(neighbours),
            coordinates.ctypes.data_as(ctypes.c_void_p),
            found.ctypes.data_as(ctypes.c_void_p),
            kind,
        )
        return found

    def product(self, kind, species, coordinates, weights):
        """The vector-Jacobian product of weights (width) for each atom's position, (n, 3)."""
        species = np.ascontiguousarray(species, dtype=np.int32)
        coordinates = np.ascontiguousarray(coordinates, dtype=np.float64)
        neighbours = np.arange(1, len(species), dtype=np.int32)
        assert len(neighbours) <= MOST_NEIGHBOURS[kind.contents.kind]
        weights = np.array(weights, dtype=np.float64)  # libdescriptor writes into them
        value = np.zeros(kind.contents.width)
        found = np.zeros_like(coordinates)
        gradient = self.function(
            "_ZN10Descriptor20gradient_single_atomEiiPiS0_iPdS1_S1_S1_PNS_14DescriptorKindE"
        )
        gradient(
            0,
            len(species),
            species.ctypes.data_as(ctypes.c_void_p),
            neighbours.ctypes.data_as(ctypes.c_void_p),
            len(neighbours),
            coordinates.ctypes.data_as(ctypes.c_void_p),
            found.ctypes.data_as(ctypes.c_void_p),
            value.ctypes.data_as(ctypes.c_void_p),
            weights.ctypes.data_as(ctypes.c_void_p),
            kind,
        )
        return found


def installed_library(folder):
    """The shared library that an installed libdescriptor brings along."""
    return Path(folder) / "libdescriptor.libs" / "libdescriptor-67dcd8c6.so"
