"""The types of the compiled module. Keep them in step with python/bindings.cpp.

n: atoms or particles. Coordinates in Å, energies in eV, forces in eV/Å, virials in eV as
xx yy zz yz xz xy.
"""

from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

__version__: str

class Error(RuntimeError): ...
class NotDefinedError(Error): ...
class ErrorHere(Error): ...  # noqa: N818 (as the module names it)

def atomic_number(symbol: str) -> int: ...
def element_symbol(atomic_number: int) -> str: ...
def libtorch() -> tuple[str, Path]: ...
def package_facts(description: str) -> dict[str, Any]: ...
def calling_convention(pattern: str, layers: int) -> tuple[list[str], int]: ...
def model_inputs(
    pattern: str,
    cutoff: float,
    layers: int,
    type: str,
    species: npt.NDArray[np.integer[Any]],
    coordinates: npt.NDArray[np.float64],
    contributing: npt.NDArray[np.integer[Any]],
    n_neigh: npt.NDArray[np.integer[Any]],
    nlist: npt.NDArray[np.integer[Any]],
) -> list[Any]: ...
def run_plan(
    description: str,
    entry: str,
    inputs: Sequence[Any],
    run: Callable[[str, Sequence[Any]], Sequence[Any]],
    largest_block: int,
) -> list[Any]: ...
def load_entry(
    file: str | PathLike[str], name: str, device: str, largest_block: int
) -> Callable[[Sequence[Any], int], list[Any]]: ...

# Energy; forces (n, 3), particle energies (n), virial (6), particle virials (n, 6), or None.
_Results = tuple[
    float,
    npt.NDArray[np.float64] | None,
    npt.NDArray[np.float64] | None,
    npt.NDArray[np.float64] | None,
    npt.NDArray[np.float64] | None,
]

class Potential:
    def __init__(
        self,
        files: Sequence[str | PathLike[str]],
        atomic_numbers: bool | None,
        device: str | None,
    ) -> None: ...
    @property
    def elements(self) -> list[str]: ...
    @property
    def cutoff(self) -> float: ...
    @property
    def influence_distance(self) -> float: ...
    @property
    def ghost_reach(self) -> float: ...
    @property
    def graph(self) -> tuple[str, int, int, str] | None: ...
    @property
    def device(self) -> str: ...
    @property
    def model_file(self) -> str: ...
    @property
    def has_descriptor(self) -> bool: ...
    @property
    def defines_particle_virials(self) -> bool: ...
    @property
    def species_codes(self) -> list[int]: ...
    @species_codes.setter
    def species_codes(self, codes: Sequence[int]) -> None: ...
    @property
    def atomic_numbers(self) -> bool: ...
    @property
    def recorded_atomic_numbers(self) -> bool | None: ...
    @property
    def precision(self) -> int: ...
    @property
    def input_type(self) -> str: ...
    @property
    def energy_type(self) -> str: ...
    @property
    def weight_types(self) -> list[str]: ...
    def take_warnings(self) -> list[str]: ...
    def compute_particles(
        self,
        species: npt.NDArray[np.int32],
        coordinates: npt.NDArray[np.float64],
        contributing: npt.NDArray[np.int32],
        n_neigh: npt.NDArray[np.int32],
        nlist: npt.NDArray[np.int32],
        forces: bool,
        particle_energies: bool,
        particle_virials: bool,
    ) -> _Results: ...
    def compute_periodic(
        self,
        species: npt.NDArray[np.int32],
        coordinates: npt.NDArray[np.float64],
        cell: npt.NDArray[np.float64],
        pairs: npt.NDArray[np.int64],
        shifts: npt.NDArray[np.int32],
        forces: bool,
        particle_energies: bool,
        particle_virials: bool,
    ) -> _Results: ...

class Descriptor:
    def __init__(self, file: str | PathLike[str], elements: Sequence[str]) -> None: ...
    @property
    def kind(self) -> str: ...
    @property
    def width(self) -> int: ...
    @property
    def cutoff(self) -> float: ...
    def values(
        self,
        species: npt.NDArray[np.int32],
        coordinates: npt.NDArray[np.float64],
        cell: npt.NDArray[np.float64],
        pairs: npt.NDArray[np.int64],
        shifts: npt.NDArray[np.int32],
    ) -> npt.NDArray[np.float64]: ...
    def vjp(
        self,
        species: npt.NDArray[np.int32],
        coordinates: npt.NDArray[np.float64],
        cell: npt.NDArray[np.float64],
        pairs: npt.NDArray[np.int64],
        shifts: npt.NDArray[np.int32],
        weights: npt.NDArray[np.float64],
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]: ...
