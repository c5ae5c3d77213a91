"""A portable model as a Python object."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from . import _core
from ._arrays import as_array, floats, integers, plain
from ._core import Error
from ._neighbours import find_pairs, full_cell
from ._sources import LoadedFiles, require_same

_N_ELEMENTS = 118

#: The attributes that come from loading the model; an object that was just unpickled lacks them.
_FROM_LOADING = frozenset({"_core", "_files", "_code_of", "_code_of_number"})
_loading = threading.RLock()


class ModelWarning(UserWarning):
    """A warning from a potential that computes nevertheless. The KIM driver logs it in kim.log."""


@dataclass(frozen=True)
class Result:
    """The results for one configuration; None for those that were not requested.

    Attributes:
        energy: eV.
        forces: (n, 3) float64, eV/Å.
        particle_energies: (n,) float64, eV; their sum is the energy.
        virial: (6,) float64, eV, in the order xx, yy, zz, yz, xz, xy: the derivative of the energy
            with respect to the strain, so that virial / volume is the stress in ASE's sign.
        particle_virials: (n, 6) float64, eV: each particle's part of the virial.
    """

    energy: float
    forces: npt.NDArray[np.float64] | None
    particle_energies: npt.NDArray[np.float64] | None
    virial: npt.NDArray[np.float64] | None
    particle_virials: npt.NDArray[np.float64] | None


@dataclass(frozen=True)
class GraphFacts:
    """The graph that a model on edges got.

    Attributes:
        mode: ``folded``: its nodes are the contributing particles; ``staged``: there are nodes for
            periodic images and other ranks' particles, too.
        nodes, edges: how many.
        reason: why it is not folded, and what to do; empty if it is.
    """

    mode: str
    nodes: int
    edges: int
    reason: str


class Potential:
    """A Torch potential, loaded from a portable model.

    Args:
        model: a portable-model folder, as ``torchml-install model pack`` writes it, or its
            ``*.param`` file.
        atomic_numbers: whether the model expects atomic numbers as species codes, instead of
            0, 1, … in the order of its elements. Only needed for models that do not record it;
            for these, the default is what the environment variable ``KIM_MODEL_ELEMENTS_MAP``
            says, as in the KIM driver.
        device: ``cpu``, ``cuda``, ``cuda:N``, or ``mps`` or ``xpu`` where torch has them. The
            default is what the environment variable ``KIM_MODEL_EXECUTION_DEVICE`` says, or the
            CPU.

    Raises:
        Error: if the model is missing, incomplete or cannot be loaded, if its device is missing,
            or if ``atomic_numbers`` or the variable contradicts what the model records.

    Threads that share an object compute one after the other; threads with one object each compute
    at the same time.

    A pickle holds the paths and checksums of the model's files, not their contents: another process
    loads the model when it first needs it, and raises Error if files are missing or have changed.
    Copies share the loaded model.
    """

    def __init__(
        self,
        model: str | os.PathLike[str],
        *,
        atomic_numbers: bool | None = None,
        device: str | None = None,
    ):
        files = _files_of(Path(model))
        loaded_files = LoadedFiles(files)
        self._model = Path(model).absolute()
        self._device = None if device is None else str(device)  # also a torch.device
        self._core = _core.Potential(files, atomic_numbers, self._device)
        self._files = loaded_files.only(self._is_part_of_the_model)
        self._atomic_numbers = bool(self._core.atomic_numbers)
        self._read_codes()
        self._warn()

    def _read_codes(self) -> None:
        self._code_of = dict(zip(self._core.elements, self._core.species_codes, strict=True))
        # Species may be symbols or, as in ASE, atomic numbers; both lead to the code.
        self._code_of_number = np.full(_N_ELEMENTS + 1, -1, dtype=np.int32)
        for symbol, code in self._code_of.items():
            self._code_of_number[_core.atomic_number(symbol)] = code

    def _use_codes(self, codes: Sequence[int]) -> None:
        """Gives the elements other species codes, to find out which ones the model was made for."""
        self._core.species_codes = list(codes)
        self._read_codes()

    def _is_part_of_the_model(self, file: Path) -> bool:
        return (
            file.suffix == ".param"
            or file.name == self._core.model_file
            or (file.suffix == ".dat" and self._core.has_descriptor)
        )

    def __copy__(self) -> Potential:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Potential:
        return self

    def __getstate__(self) -> dict[str, Any]:
        if "_pickled" in self.__dict__:  # not loaded yet
            return dict(self._pickled)
        return {
            "model": str(self._model),
            # The value in use: a process with another environment must use the same.
            "atomic_numbers": self._atomic_numbers,
            "device": self._device,
            "digests": self._files.digests(self._model),
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._pickled = state
        self._model = Path(state["model"])
        self._atomic_numbers = state["atomic_numbers"]
        self._device = state["device"]

    def __getattr__(self, name: str) -> Any:
        """Loads the model of an unpickled object when an attribute from loading is first needed.

        Unpickling itself must not fail: a multiprocessing worker that fails to unpickle its task
        never answers.
        """
        if name not in _FROM_LOADING or "_model" not in self.__dict__:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        with _loading:
            if "_pickled" in self.__dict__:
                state = self._pickled
                require_same(self._model, _files_of(self._model), state["digests"])
                Potential.__init__(
                    self,
                    self._model,
                    atomic_numbers=state["atomic_numbers"],
                    device=state["device"],
                )
                del self._pickled
        return self.__dict__[name]

    @property
    def model(self) -> Path:
        """The folder or parameter file that the model was loaded from, as an absolute path."""
        return self._model

    @property
    def elements(self) -> list[str]:
        """The elements that the model supports, in the model's order."""
        return list(self._core.elements)

    @property
    def species_codes(self) -> npt.NDArray[np.int32]:
        """The species code of each element, in the order of ``elements``."""
        return np.array(self._core.species_codes, dtype=np.int32)

    @property
    def atomic_numbers(self) -> bool:
        """Whether species codes are atomic numbers."""
        return bool(self._atomic_numbers)

    @property
    def defines_particle_virials(self) -> bool:
        """Whether ``particle_virials`` can be requested."""
        return bool(self._core.defines_particle_virials)

    @property
    def cutoff(self) -> float:
        """The cutoff, Å: only pairs nearer than this interact directly."""
        return float(self._core.cutoff)

    @property
    def influence_distance(self) -> float:
        """The largest distance at which one particle changes another's energy, Å."""
        return float(self._core.influence_distance)

    @property
    def device(self) -> str:
        """The device on which the model computes: ``cpu``, ``cuda:0``, …"""
        return str(self._core.device)

    @property
    def graph(self) -> GraphFacts | None:
        """The graph of the last computation, for models on edges; otherwise, and before the first
        computation, None."""
        facts = self._core.graph
        return None if facts is None else GraphFacts(*facts)

    @property
    def precision(self) -> int:
        """The bits of the model's floating-point type: 64, 32 or 16. If it has several, those of
        the least precise. Results are always float64."""
        return int(self._core.precision)

    @property
    def input_type(self) -> str:
        """The type of the model's inputs: ``float64``, ``float32``, ``float16`` or ``bfloat16``.
        If neither parameter file nor weights determine it, the first computation does."""
        return str(self._core.input_type)

    @property
    def weight_types(self) -> tuple[str, ...]:
        """The floating-point types of the model's weights; empty for a model that has none or is
        frozen."""
        return tuple(self._core.weight_types)

    @property
    def energy_type(self) -> str:
        """The type of the energies that the model last returned; empty before the first
        computation."""
        return str(self._core.energy_type)

    def compute(
        self,
        species: Sequence[str] | Sequence[int] | npt.NDArray[np.integer],
        coordinates: npt.ArrayLike,
        cell: npt.ArrayLike | None = None,
        pbc: bool | Sequence[bool] = False,
        *,
        forces: bool = True,
        particle_energies: bool = False,
        particle_virials: bool = False,
    ) -> Result:
        """Computes one configuration.

        Args:
            species: (n,) element symbols or atomic numbers.
            coordinates: (n, 3) Å.
            cell: (3, 3) Å, the cell's vectors in rows; required if ``pbc`` is true.
            pbc: whether the cell is periodic: one flag for all directions, or one for each.
            forces: whether to compute forces and virial; an energy alone is much cheaper.
            particle_energies: whether to compute each particle's energy.
            particle_virials: whether to compute each particle's part of the virial. Only
                models on descriptors or edges define it.

        Raises:
            NotDefinedError: if energies or virials of particles are requested and the model does
                not define them.
            Error: if the arrays do not match each other or the model, or if the model fails.
        """
        positions = floats("coordinates", coordinates, finite=True)
        if positions.size == 0:
            positions = positions.reshape(0, 3)
        if positions.ndim != 2 or positions.shape[1] != 3:
            raise Error(f"coordinates has the shape {positions.shape}; expected (n, 3).")
        codes = self._codes(species)
        if len(codes) != len(positions):
            raise Error(
                f"the length of species is {len(codes)}, but that of coordinates is "
                f"{len(positions)}; expected both to be equal."
            )
        box, periodic = full_cell(cell, pbc)
        pairs, shifts = find_pairs(positions, box, periodic, self.cutoff)
        result = Result(
            *self._core.compute_periodic(
                codes,
                positions,
                box,
                pairs,
                shifts,
                forces,
                particle_energies,
                particle_virials,
            )
        )
        self._warn()
        return result

    def compute_particles(
        self,
        codes: npt.ArrayLike,
        coordinates: npt.ArrayLike,
        contributing: npt.ArrayLike,
        n_neigh: npt.ArrayLike,
        nlist: npt.ArrayLike,
        *,
        forces: bool = True,
        particle_energies: bool = False,
        particle_virials: bool = False,
    ) -> Result:
        """Computes the input from a simulator, with ghosts as particles and given neighbour lists.

        Args:
            codes: (n,) the model's species codes.
            coordinates: (n, 3) Å.
            contributing: (n,) 1 = its energy counts, 0 = it does not.
            n_neigh: (n_contributing,) the number of neighbours of each contributing particle; or
                (n,) of all particles, which models on graphs or edges need.
            nlist: (sum of n_neigh,) the neighbours' indices, particle after particle. Neighbours
                beyond the cutoff are allowed, and ignored.
            forces, particle_energies, particle_virials: see compute.

        Returns:
            Forces on all n particles; the virial of the contributing particles' energy.

        Raises:
            NotDefinedError, Error: see compute.
        """
        result = Result(
            *self._core.compute_particles(
                integers("codes", codes),
                floats("coordinates", coordinates),
                integers("contributing", contributing),
                integers("n_neigh", n_neigh),
                integers("nlist", nlist),
                forces,
                particle_energies,
                particle_virials,
            )
        )
        self._warn()
        return result

    def _warn(self) -> None:
        for text in self._core.take_warnings():
            warnings.warn(text, ModelWarning, stacklevel=3)

    def _codes(
        self, species: Sequence[str] | Sequence[int] | npt.NDArray[np.integer]
    ) -> npt.NDArray[np.int32]:
        if isinstance(species, str):
            raise Error(
                f"species is the single string {str(species)!r}; expected one element symbol or "
                "atomic number for each particle, such as ['Si', 'C']."
            )
        if hasattr(species, "__array__"):
            array = as_array("species", species)
            if array.ndim != 1:
                raise Error(f"species has the shape {array.shape}; expected (n,).")
            if array.dtype.kind in "iu":
                return self._codes_of_numbers(array)
            species = array.tolist()
        codes = np.empty(len(species), dtype=np.int32)
        for index, kind in enumerate(species):
            if isinstance(kind, str):
                code = self._code_of.get(kind, -1)
            elif isinstance(kind, (int, np.integer)) and not isinstance(kind, bool):
                code = self._code_of_number[kind] if 0 <= kind <= _N_ELEMENTS else -1
            else:
                raise Error(
                    f"particle {index} has the species {plain(kind)}; expected an element symbol "
                    "or an atomic number, which is a whole number."
                )
            if code < 0:
                raise Error(self._unknown(index, kind))
            codes[index] = code
        return codes

    def _codes_of_numbers(self, numbers: npt.NDArray[np.integer]) -> npt.NDArray[np.int32]:
        elements = (numbers >= 0) & (numbers <= _N_ELEMENTS)
        codes = self._code_of_number[np.where(elements, numbers, 0).astype(np.intp)]
        if (codes < 0).any():
            index = int(np.argmax(codes < 0))
            raise Error(self._unknown(index, int(numbers[index])))
        return codes

    def _unknown(self, index: int, kind: str | int) -> str:
        known = ", ".join(self.elements)
        if isinstance(kind, str):
            symbol, meant = str(kind), str(kind).strip().capitalize()
            if _core.atomic_number(symbol) == 0:
                guess = f" Did you mean {meant}?" if meant in self._code_of else ""
                return (
                    f"particle {index} is {symbol!r}, which is not an element symbol; the model "
                    f"supports {known}.{guess}"
                )
        else:
            symbol = _core.element_symbol(int(kind)) if 0 < kind <= _N_ELEMENTS else ""
            if not symbol:
                return (
                    f"particle {index} has the atomic number {int(kind)}, which no element has; "
                    f"the model supports {known}."
                )
        return (
            f"particle {index} is {symbol}, which the model does not support; it supports {known}."
        )


def _files_of(model: Path) -> list[Path]:
    """The files of a portable model: those of its folder, or those beside its ``*.param`` file."""
    if model.is_dir():
        files = sorted(path for path in model.iterdir() if path.is_file())
        if not any(path.suffix == ".param" for path in files):
            raise Error(
                f"{model} is not a portable model: it has no *.param file. Make one from a "
                "TorchScript file or a compiled model with `torchml-install model pack`."
            )
        return files
    if model.is_file() and model.suffix == ".param":
        beside = (path for path in model.parent.iterdir() if path.suffix != ".param")
        return [model, *sorted(path for path in beside if path.is_file())]
    if model.exists():
        raise Error(
            f"{model} is neither a portable-model folder nor a *.param file. Make a portable model "
            "with `torchml-install model pack`."
        )
    raise Error(f"{model} does not exist. Name a portable-model folder or a *.param file.")
