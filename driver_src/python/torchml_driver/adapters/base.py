"""What an adapter is, what it makes of a model, and what can go wrong."""

from __future__ import annotations

import importlib.metadata
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from .. import operators  # noqa: F401 (defines torch.ops.torchml.exchange)
from .._requests import RefusedError

if TYPE_CHECKING:
    from .saved_file import SavedFile


# --- what can go wrong ----------------------------------------------------------------------------


class AdapterError(RefusedError):
    """The model cannot be made; ``kind``: a key of FAILURES in torchml-install's
    models/from_library.py, set by the subclass."""

    of_kind: ClassVar[str]

    def __init__(self, message: str, remedy: str | None = None) -> None:
        super().__init__(self.of_kind, message, remedy)


class NoLibraryError(AdapterError):
    """The library is not installed, or cannot be imported."""

    of_kind = "no_library"


class LibraryVersionError(AdapterError):
    """The installed version of the library is not supported."""

    of_kind = "library_version"


class OtherLibraryError(AdapterError):
    """The file was written by another library, or is of no kind that this library reads."""

    of_kind = "other_library"


class NoSourceError(AdapterError):
    """There is no such file, and no model of this name; or its weights are missing."""

    of_kind = "source"


class BadOptionError(AdapterError):
    """An option is unknown, or has a value that this model does not have."""

    of_kind = "option"


class UnsupportedError(AdapterError):
    """The model has a feature without which its energies would be wrong, and which a model on
    edges cannot have."""

    of_kind = "unsupported"


# --- what an adapter makes ------------------------------------------------------------------------


@dataclass(frozen=True)
class Adapted:
    """A library's model, ready to pack.

    Attributes:
        module: ``forward(species, edge_index, edge_vectors, contributing) -> energies``, in
            evaluation mode, on the CPU, all floating-point weights of one type.

            - species: (n,) int64, 0, 1, … in the order of ``elements``, or atomic numbers.
            - edge_index: (2, E) int64, row 0 the receiver i, row 1 the sender j; sorted by
              receiver. Two particles may share several edges, and an edge may lead from a particle
              to itself: these are periodic images.
            - edge_vectors: (E, 3) of ``dtype``, from i to j, Å.
            - contributing: (n,) int64, 1 = the particle's energy counts. Particles with 0 may have
              fewer edges than neighbours, or none.
            - energies: (n,), eV, multiplied by ``contributing``.

            It must be right for any n ≥ 1 and E ≥ 0, and use ``edge_vectors`` alone for geometry.
            Buffers must be registered, so that the module moves between devices.
        elements: symbols; in the order of the species codes unless ``atomic_numbers``.
        cutoff: Å; of an edge, the longest one of the model.
        n_layers: how many edges away a particle may be and still change another's energy.
        dtype: the type of ``edge_vectors``: torch.float64 or torch.float32.
        calculator: makes the library's own ASE calculator of the same model, on the CPU, which
            knows nothing of ``module``: results are compared with it.
        atomic_numbers: whether species codes are atomic numbers.
        arithmetic: the type in which most is computed, if it is less precise than ``dtype``: how
            far results may be off is judged by it.
        script: makes TorchScript of the module; None if that is impossible, so that the model can
            only be compiled.
        periodic_only: whether the library's calculator needs a cell that is periodic in all
            directions; molecules and slabs are then put into cells with vacuum.
        notes: sentences for the user: what the model can do that is left out here (charges,
            magnetic moments), energy shifts, units.
        facts: more about the model, to record with it: its name in the library, its checksum.
        pattern: "edges"; "graph" for a module that can only be called on staged graphs, as
            docs/models/staged-graphs.md describes: one argument for each layer.
        libraries: the C++ libraries that define classes and operators of the model, in the order in
            which they load. The packed model carries them.
    """

    module: torch.nn.Module
    elements: tuple[str, ...]
    cutoff: float
    n_layers: int
    dtype: torch.dtype
    calculator: Callable[[], Any]
    atomic_numbers: bool = False
    arithmetic: torch.dtype | None = None
    script: Callable[[torch.nn.Module], torch.jit.ScriptModule] | None = torch.jit.script
    periodic_only: bool = False
    notes: tuple[str, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    pattern: str = "edges"
    libraries: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Option:
    """Of ``model pack --from``: ``--option NAME=VALUE``. what: for the user, a noun phrase."""

    name: str
    what: str


class Adapter(ABC):
    """Makes models on edges from one library's models.

    Attributes:
        name: as in ``--from NAME``; lower case.
        title: the library's name as its authors write it.
        distribution: the name under which pip installs the library.
        module: the name under which Python imports it.
        oldest: the oldest version that the adapter supports. Newer ones than ``tried_with`` are
            used, and said to be untried: the proof shows whether they work.
        tried_with: the versions that it was tried with, oldest first.
        options: those that ``load`` takes.
        extra_distributions: what else pip must install.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    distribution: ClassVar[str]
    module: ClassVar[str]
    oldest: ClassVar[str]
    tried_with: ClassVar[tuple[str, ...]]
    options: ClassVar[tuple[Option, ...]] = ()
    extra_distributions: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def load(self, source: str, options: Mapping[str, str]) -> Adapted:
        """The model in a file, or of a name that the library knows.

        Called once the library is known to be installed, with options that all are in
        ``self.options``. Everything of the library is imported here, not with this module.

        Raises:
            AdapterError: one of its subclasses.
        """

    def known_names(self) -> Sequence[str]:
        """The names of models that the library resolves without a file; called only if the library
        is installed."""
        return ()

    @abstractmethod
    def recognises(self, file: SavedFile) -> bool:
        """Whether this library wrote a file. Must not import the library."""

    def version(self) -> str | None:
        """The installed version; None if the library is not installed."""
        try:
            return importlib.metadata.version(self.distribution)
        except importlib.metadata.PackageNotFoundError:
            return None

    # --- for load ---

    def file(self, source: str) -> Path:
        """The path of a file that this library wrote.

        Raises:
            NoSourceError: if there is no such file; lists ``known_names``.
            OtherLibraryError: if another library wrote it.
        """
        from .finding import require_ours

        path = Path(source)
        if not path.is_file():
            raise self.no_source(source)
        require_ours(self, path)
        return path

    def no_source(self, source: str) -> NoSourceError:
        """For a source that is neither a file nor a name."""
        known = self.known_names()
        message = f"There is no file {source}"
        message += f", and {self.title} has no model of this name." if known else "."
        listed = f"Name a file, or one of these: {', '.join(known)}."
        return NoSourceError(message, listed if known else "Check the path.")


def one_dtype(module: torch.nn.Module) -> torch.dtype:
    """The floating-point type of a module's weights.

    Raises:
        UnsupportedError: if they have several, or are neither float64 nor float32.
    """
    types = {value.dtype for value in module.state_dict().values() if value.is_floating_point()}
    if types not in ({torch.float64}, {torch.float32}):
        listed = ", ".join(sorted(str(one).removeprefix("torch.") for one in types)) or "no type"
        raise UnsupportedError(
            f"The model's weights are of {listed}; float64 or float32 is needed.",
            "Convert the model with its library.",
        )
    return types.pop()


def with_buffers(module: torch.nn.Module) -> torch.nn.Module:
    """Registers the plain tensors of a module and its parts as buffers, so that they move between
    devices and types with it; freezes its parameters. Returns the module."""
    for part in module.modules():
        for name, value in list(vars(part).items()):
            if isinstance(value, torch.Tensor):
                delattr(part, name)
                part.register_buffer(name, value)
    return module.requires_grad_(False)
