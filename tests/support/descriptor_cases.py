"""Reference values of descriptors, which libdescriptor 0.2.3 computed (see tests/data/descriptors),
and structures to test descriptors on."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from ase import Atoms

from tests.support import ROOT

DATA = ROOT / "tests" / "data" / "descriptors"


@cache
def _references() -> dict[str, npt.NDArray[Any]]:
    with np.load(DATA / "references.npz") as archive:
        return dict(archive)


def descriptor_file(descriptor: str) -> Path:
    return DATA / f"{descriptor}.kliff.dat"


def cases(*beginnings: str) -> list[tuple[str, str]]:
    """(descriptor, structure) of the references whose descriptor begins so."""
    names = {key.split("/")[1] for key in _references() if key.startswith("case/")}
    pairs = (name.split("@") for name in sorted(names))
    return [(one, other) for one, other in pairs if one.startswith(beginnings)]


def reference(descriptor: str, structure: str) -> dict[str, npt.NDArray[np.float64]]:
    """values, weights, products, strain_products and, for some, jacobian."""
    beginning = f"case/{descriptor}@{structure}/"
    return {
        key.removeprefix(beginning): array
        for key, array in _references().items()
        if key.startswith(beginning)
    }


def structure(name: str) -> tuple[list[str], Atoms]:
    """The model's elements in order, and the atoms."""

    def part(key: str) -> npt.NDArray[Any]:
        return _references()[f"structure/{name}/{key}"]

    elements = [str(element) for element in part("elements")]
    symbols = [elements[index] for index in part("species")]
    return elements, Atoms(symbols, part("positions"), cell=part("cell"), pbc=part("pbc"))


def assert_close(found: npt.ArrayLike, expected: npt.ArrayLike, tolerance: float) -> None:
    """Asserts equality relative to the largest expected number."""
    scale = max(float(np.abs(expected).max(initial=0.0)), 1e-12)
    difference = float(np.abs(np.asarray(found) - np.asarray(expected)).max(initial=0.0))
    assert difference <= tolerance * scale, f"{difference / scale:.2e} relative"
