"""Evaluates two particles of known energy through the KIM-API: ``python -m ... LIBRARY MODEL``.

Runs as a separate process, in case the driver crashes. Calls libkim-api's C interface through
ctypes, and so needs neither kimpy nor a compiler. Prints a JSON object with ``energy`` (eV) and
``forces`` ((2, 3), eV/Å); otherwise the last line of stderr says what went wrong.
"""

from __future__ import annotations

import ctypes
import json
import math
import sys
from collections.abc import Callable
from typing import Any

#: Å; the second particle lies on the x axis.
DISTANCE = 1.5
CUTOFF = 3.0
ELEMENT = "Si"
#: eV and eV/Å, of the model in ``driver_check.py``: exp(-distance).
ENERGY = math.exp(-DISTANCE)
FORCES = ((-ENERGY, 0.0, 0.0), (ENERGY, 0.0, 0.0))
TOLERANCE = 1e-10

#: The exit code if libkim-api is unusable, for which the driver is not to blame.
NOT_ASKED = 3


class _Enumeration(ctypes.Structure):
    """KIM's enumerations are structures of one integer, passed by value."""

    _fields_ = (("id", ctypes.c_int),)


_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.c_void_p,
    ctypes.c_int,
    ctypes.POINTER(ctypes.c_double),
    ctypes.c_int,
    ctypes.c_int,
    ctypes.POINTER(ctypes.c_int),
    ctypes.POINTER(ctypes.POINTER(ctypes.c_int)),
)


class Kim:
    """The needed parts of libkim-api. Raises OSError if it cannot be loaded."""

    def __init__(self, library: str) -> None:
        self._library = ctypes.CDLL(library)

    def constant(self, name: str) -> _Enumeration:
        return _Enumeration.in_dll(self._library, f"KIM_{name}")

    def call(self, name: str, *arguments: Any) -> None:
        """Raises RuntimeError if the routine fails."""
        routine: Callable[..., int] = getattr(self._library, f"KIM_{name}")
        if routine(*arguments) != 0:
            raise RuntimeError(f"KIM_{name} failed; see kim.log")


def compute(library: str, model_name: str) -> tuple[float, list[list[float]]]:
    """(energy, forces) of two particles, each the other's neighbour."""
    kim = Kim(library)
    model, arguments, accepted = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_int()
    kim.call(
        "Model_Create",
        kim.constant("NUMBERING_zeroBased"),
        kim.constant("LENGTH_UNIT_A"),
        kim.constant("ENERGY_UNIT_eV"),
        kim.constant("CHARGE_UNIT_e"),
        kim.constant("TEMPERATURE_UNIT_K"),
        kim.constant("TIME_UNIT_ps"),
        model_name.encode(),
        ctypes.byref(accepted),
        ctypes.byref(model),
    )
    supported, code = ctypes.c_int(), ctypes.c_int()
    species = kim.constant(f"SPECIES_NAME_{ELEMENT}")
    kim.call(
        "Model_GetSpeciesSupportAndCode",
        *(model, species, ctypes.byref(supported), ctypes.byref(code)),
    )
    kim.call("Model_ComputeArgumentsCreate", model, ctypes.byref(arguments))
    integers = {
        "numberOfParticles": (ctypes.c_int * 1)(2),
        "particleSpeciesCodes": (ctypes.c_int * 2)(code.value, code.value),
        "particleContributing": (ctypes.c_int * 2)(1, 1),
    }
    energy, forces = (ctypes.c_double * 1)(), (ctypes.c_double * 6)()
    numbers = {
        "coordinates": (ctypes.c_double * 6)(0.0, 0.0, 0.0, DISTANCE, 0.0, 0.0),
        "partialEnergy": energy,
        "partialForces": forces,
    }
    for kind, values in (("Integer", integers), ("Double", numbers)):
        for name, array in values.items():
            argument = kim.constant(f"COMPUTE_ARGUMENT_NAME_{name}")
            kim.call(f"ComputeArguments_SetArgumentPointer{kind}", arguments, argument, array)
    rows = ((ctypes.c_int * 1)(1), (ctypes.c_int * 1)(0))

    def neighbours(
        _data: Any, _lists: int, _cutoffs: Any, _index: int, particle: int, count: Any, row: Any
    ) -> int:
        count[0] = 1
        row[0] = ctypes.cast(rows[particle], ctypes.POINTER(ctypes.c_int))
        return 0

    callback = _CALLBACK(neighbours)
    kim.call(
        "ComputeArguments_SetCallbackPointer",
        arguments,
        kim.constant("COMPUTE_CALLBACK_NAME_GetNeighborList"),
        kim.constant("LANGUAGE_NAME_c"),
        ctypes.cast(callback, ctypes.c_void_p),
        None,
    )
    kim.call("Model_Compute", model, arguments)
    return energy[0], [list(forces[:3]), list(forces[3:])]


def main(library: str, model_name: str) -> int:
    try:
        energy, forces = compute(library, model_name)
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    except (OSError, AttributeError, ValueError) as error:
        print(f"{library} cannot be used: {error}", file=sys.stderr)
        return NOT_ASKED
    print(json.dumps({"energy": energy, "forces": forces}))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
