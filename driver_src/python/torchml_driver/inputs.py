"""Makes a model's inputs as torch tensors, the same as in a simulation.

>>> import torchml_driver.inputs as inputs
>>> system = inputs.System(codes, coordinates, contributing, n_neigh, nlist)
>>> tensors = inputs.model_inputs("graph", system, cutoff=5.0, layers=3)
>>> energies = model(*tensors.values())
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils import dlpack

from . import _core


@dataclass(frozen=True)
class System:
    """The input from a simulator: n particles, including periodic images and ghosts.

    Attributes:
        species: (n,) species codes of the model.
        coordinates: (n, 3) Å.
        contributing: (n,) 1 = its energy counts, 0 = it does not.
        n_neigh: (n,) the number of each particle's neighbours.
        nlist: (sum of n_neigh,) the neighbours, particle after particle. If j is a neighbour of i,
            i is a neighbour of j. Lists may reach beyond the model's cutoff.
    """

    species: npt.ArrayLike
    coordinates: npt.ArrayLike
    contributing: npt.ArrayLike
    n_neigh: npt.ArrayLike
    nlist: npt.ArrayLike


def calling_convention(pattern: str, layers: int = 1) -> tuple[tuple[str, ...], int]:
    """The names of forward's arguments, in order, and the index of the one that the energy is
    differentiated with respect to.

    Args:
        pattern: ``neighbours``, ``graph`` or ``edges``.
        layers: the number of message-passing layers of a model on graphs or edges.

    Raises:
        Error: for any other pattern, and for one that this driver was built without.
    """
    names, differentiable = _core.calling_convention(pattern, layers)
    return tuple(names), differentiable


def model_inputs(
    pattern: str,
    system: System,
    *,
    cutoff: float,
    layers: int = 1,
    dtype: torch.dtype = torch.float64,
) -> dict[str, torch.Tensor]:
    """A model's inputs by name, in order, on the CPU.

    Args:
        pattern: ``neighbours``, ``graph`` or ``edges``. With ``edges``, images are nodes: nothing
            is folded.
        system: with neighbours for all particles, including images.
        cutoff: Å.
        layers: the number of message-passing layers of a model on graphs or edges.
        dtype: the type of the model's weights, and so of coordinates or vectors.

    Raises:
        Error: for any other pattern or type, and for neighbours that do not exist.
    """
    made = _core.model_inputs(
        pattern,
        cutoff,
        layers,
        str(dtype).removeprefix("torch."),
        np.asarray(system.species, dtype=np.int32),
        np.asarray(system.coordinates, dtype=np.float64),
        np.asarray(system.contributing, dtype=np.int32),
        np.asarray(system.n_neigh, dtype=np.int32),
        np.asarray(system.nlist, dtype=np.int32),
    )
    names, _ = calling_convention(pattern, layers)
    return dict(zip(names, from_engine(made), strict=True))


def to_engine(tensors: Sequence[torch.Tensor]) -> list[Any]:
    """Tensors in the form that the engine takes; they share memory with the originals."""
    return [dlpack.to_dlpack(tensor.detach()) for tensor in tensors]


def from_engine(capsules: Sequence[Any]) -> tuple[torch.Tensor, ...]:
    """Tensors from the form that the engine returns."""
    return tuple(dlpack.from_dlpack(capsule) for capsule in capsules)
