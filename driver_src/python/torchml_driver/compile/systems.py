"""Systems on which a model is traced and checked, as the engine passes them to a model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from .. import inputs

Tensors = tuple[torch.Tensor, ...]


@dataclass(frozen=True)
class Convention:
    """How the driver calls a model.

    sizes: of each argument; a name is a variable size (the same name always means the same size), a
    number a fixed one. differentiable: the index of the argument that the energy is differentiated
    with respect to.
    """

    arguments: tuple[str, ...]
    types: tuple[torch.dtype, ...]
    sizes: tuple[tuple[str | int, ...], ...]
    differentiable: int


#: The type and sizes of the arguments that the engine makes; None for the model's scalar type.
_KINDS: dict[str, tuple[torch.dtype | None, tuple[str | int, ...]]] = {
    "species": (torch.int64, ("n",)),
    "coords": (None, ("n", 3)),
    "n_neigh": (torch.int32, ("rows",)),
    "nlist": (torch.int32, ("pairs",)),
    "contributing": (torch.int64, ("n",)),
    "edge_index": (torch.int64, (2, "edges")),
    "edge_vectors": (None, ("edges", 3)),
}
_LAYER = "graph_layer"


def convention(pattern: str, layers: int, width: int, scalar: torch.dtype) -> Convention:
    """How the driver calls a model. width: of the descriptor; scalar: the model's type."""
    if pattern == "descriptor":
        return Convention(("descriptor",), (scalar,), (("rows", width),), 0)
    names, differentiable = inputs.calling_convention(pattern, layers)
    types, sizes = [], []
    for name in names:
        if name.startswith(_LAYER):
            kind: tuple[torch.dtype | None, tuple[str | int, ...]]
            kind = (torch.int64, (2, f"edges{name.removeprefix(_LAYER)}"))
        else:
            kind = _KINDS[name]
        types.append(kind[0] or scalar)
        sizes.append(kind[1])
    return Convention(names, tuple(types), tuple(sizes), differentiable)


@dataclass(frozen=True)
class SystemMaker:
    """Makes a model's inputs. cutoff: Å; codes: the species codes of its elements."""

    pattern: str
    layers: int
    width: int
    cutoff: float
    codes: Sequence[int]
    scalar: torch.dtype
    device: str

    def example(self) -> Tensors:
        """A system to trace with: sizes that may differ are different, and none is 0 or 1."""
        tensors = list(self._make(*self._grid(72, 8.0, 31), ghosts_first=False))
        seen = {tensor.size(0) for tensor in tensors}
        for index, tensor in enumerate(tensors):
            if tensor.dim() == 2 and tensor.size(0) == 2 and not tensor.is_floating_point():
                edges = tensor.size(1)
                while tensor.size(1) in seen:
                    tensor = tensor[:, :-1].contiguous()
                seen.add(tensor.size(1))
                tensors[index] = tensor
                if self.pattern == "edges":  # each with its vector
                    assert tensors[index + 1].size(0) == edges
                    tensors[index + 1] = tensors[index + 1][: tensor.size(1)].contiguous()
        return tuple(tensors)

    def systems(self) -> Iterator[tuple[str, Tensors]]:
        """The systems on which to compare results, each with a description."""
        yield (
            "72 particles, 41 contributing",
            self._make(*self._grid(72, 8.0, 41), ghosts_first=True),
        )
        yield "150 particles, all contributing", self._make(*self._grid(150, 12.0, 150))
        yield "48 particles, 5 contributing", self._make(*self._grid(48, 4.0, 5))
        yield "two particles", self._make(*self._grid(2, 10.0, 2))
        yield "two particles, one contributing", self._make(*self._grid(2, 10.0, 1))
        yield "particles without neighbours", self._make(*self._grid(7, 1e-3, 4))
        yield "one particle", self._make(*self._grid(1, 1.0, 1))

    def usual(self) -> Tensors:
        """A system to time, of the size of one rank in a simulation."""
        return self._make(*self._grid(1200, 12.0, 500))

    def _grid(self, n: int, neighbours: float, n_contributing: int) -> tuple[torch.Tensor, int]:
        """Coordinates of a jittered grid, (n, 3) Å, with the given average number of neighbours
        within the cutoff (a sphere of radius 1 has the volume 4.19)."""
        random = torch.Generator().manual_seed(n)
        edge = 1
        while edge**3 < n:
            edge += 1
        axis = torch.arange(edge, dtype=torch.float64)
        points = torch.cartesian_prod(axis, axis, axis)
        order = (points - points.mean(0)).square().sum(1).argsort(stable=True)[:n]
        jitter = 0.4 * torch.rand(n, 3, generator=random, dtype=torch.float64) - 0.2
        spacing = self.cutoff * (4.19 / neighbours) ** (1 / 3)
        return (points[order] + jitter) * spacing, n_contributing

    def _make(
        self, coordinates: torch.Tensor, n_contributing: int, ghosts_first: bool = False
    ) -> Tensors:
        n = len(coordinates)
        random = torch.Generator().manual_seed(n + 1)
        if self.pattern == "descriptor":
            rows = torch.rand(n_contributing, self.width, generator=random, dtype=torch.float64)
            return (rows.to(self.device, self.scalar),)
        chosen = torch.tensor(self.codes)[torch.randint(len(self.codes), (n,), generator=random)]
        mine = torch.arange(n) < n_contributing
        if ghosts_first:
            mine = mine.flip(0)
        near = torch.cdist(coordinates, coordinates) < self.cutoff
        near.fill_diagonal_(False)
        system = inputs.System(chosen, coordinates, mine, near.sum(1), near.nonzero()[:, 1])
        tensors = inputs.model_inputs(
            self.pattern, system, cutoff=self.cutoff, layers=self.layers, dtype=self.scalar
        )
        return tuple(tensor.to(self.device) for tensor in tensors.values())
