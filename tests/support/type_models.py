"""Small TorchScript models of calling convention 1 for tests of floating-point types."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch

from tests.support.torch_models import Springs, parameter_text, torchscript


class WithoutDtypes(Springs):
    """Creates tensors without a type: they get the default type of the evaluating process."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(1, dtype=dtype))

    def forward(self, species, coords, n_neigh, nlist, contributing):  # type: ignore[no-untyped-def]
        row = torch.repeat_interleave(torch.arange(n_neigh.size(0)), n_neigh.long())
        owner = contributing.nonzero().view(-1).index_select(0, row)
        delta = coords.index_select(0, nlist.long()) - coords.index_select(0, owner)
        r = (delta * delta).sum(1).sqrt()
        grid = torch.linspace(0.0, 3.1, 12)
        width = torch.arange(1, 13) / torch.full([1], 3)  # of whole numbers
        bumps = torch.exp(-((r.unsqueeze(1) - grid) ** 2) * width).sum(1)
        return torch.zeros(n_neigh.size(0)).index_add(0, row, self.scale * bumps)


class WithoutDtypesAndFailing(WithoutDtypes):
    """Fails at the given place, after everything else was right."""

    def forward(self, species, coords, n_neigh, nlist, contributing):  # type: ignore[no-untyped-def]
        rows = torch.zeros(n_neigh.size(0)) + self.scale * coords.sum()
        if torch.zeros(1).dtype != self.scale.dtype:
            raise RuntimeError("another default type")
        if coords[0, 0] > 1000.0:
            raise RuntimeError("too far away")
        return rows


class ConvertedToDouble(Springs):
    """Written under float32 and converted later: results of .float() must stay float32."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))

    def forward(self, species, coords, n_neigh, nlist, contributing):  # type: ignore[no-untyped-def]
        energies = self.scale * self.energies(coords, n_neigh, nlist, contributing)
        rows = torch.arange(energies.size(0))
        return torch.zeros(energies.size(0)).index_add(0, rows, energies.float())


class ShortRanged(Springs):
    """Accepts every type; only pairs closer than 0.5 Å have an energy."""

    def forward(self, species, coords, n_neigh, nlist, contributing):  # type: ignore[no-untyped-def]
        row = torch.repeat_interleave(torch.arange(n_neigh.size(0)), n_neigh.long())
        owner = contributing.nonzero().view(-1).index_select(0, row)
        delta = coords.index_select(0, nlist.long()) - coords.index_select(0, owner)
        pair = (0.25 - delta.square().sum(1)).clamp(min=0.0)
        return torch.zeros(n_neigh.size(0), dtype=coords.dtype).index_add(0, row, pair)


class SinglePairs(Springs):
    """Accepts anything if there are no pairs, and otherwise only single precision."""

    def forward(self, species, coords, n_neigh, nlist, contributing):  # type: ignore[no-untyped-def]
        if nlist.size(0) != 0 and coords.dtype != torch.float32:
            raise RuntimeError("expected scalar type Float")
        return self.energies(coords, n_neigh, nlist, contributing)


class WritesIntoSpecies(Springs):
    """Changes its inputs, and then fails."""

    def forward(self, species, coords, n_neigh, nlist, contributing):  # type: ignore[no-untyped-def]
        species += 1
        if species.max() > 1:
            return coords.sum()
        raise RuntimeError("only the first time")


class Table(torch.nn.Module):
    """Creates its constant, of the default type, whenever it is loaded."""

    def __init__(self) -> None:
        super().__init__()
        self.values = torch.zeros(1)

    @torch.jit.export
    def __getstate__(self) -> bool:
        return self.training

    @torch.jit.export
    def __setstate__(self, training: bool) -> None:
        self.training = training
        self.values = torch.linspace(0.1, 0.7, 4)

    def forward(self) -> torch.Tensor:
        return self.values.sum()


class MadeWhileLoading(Springs):
    """Scaled by a constant that it makes while it is loaded, 1.6."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))
        self.table = Table()

    def forward(self, species, coords, n_neigh, nlist, contributing):  # type: ignore[no-untyped-def]
        return self.scale * self.energies(coords, n_neigh, nlist, contributing) * self.table()


class Network(torch.nn.Module):
    """A network of each pair's distance; the layers need inputs of the same type."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(8)
        self.hidden = torch.nn.Linear(1, 16, dtype=dtype)
        self.out = torch.nn.Linear(16, 1, dtype=dtype)
        for parameter in self.parameters():
            values = torch.rand(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.data = (values - 0.5).to(dtype)

    def pairs(self, r: torch.Tensor) -> torch.Tensor:
        return self.out(torch.tanh(self.hidden(r)))

    def distances(
        self,
        coords: torch.Tensor,
        n_neigh: torch.Tensor,
        nlist: torch.Tensor,
        contributing: torch.Tensor,
    ) -> torch.Tensor:
        row = torch.repeat_interleave(torch.arange(n_neigh.size(0)), n_neigh.long())
        owner = contributing.nonzero().view(-1).index_select(0, row)
        delta = coords.index_select(0, nlist.long()) - coords.index_select(0, owner)
        return (delta * delta).sum(1, keepdim=True).sqrt()

    def forward(
        self,
        species: torch.Tensor,
        coords: torch.Tensor,
        n_neigh: torch.Tensor,
        nlist: torch.Tensor,
        contributing: torch.Tensor,
    ) -> torch.Tensor:
        return self.pairs(self.distances(coords, n_neigh, nlist, contributing)).sum()


class ScaledNetwork(Network):
    """Single precision inside, double outside: distances and the sum need double inputs, and scale
    and shift are double. The caller chooses which weights come first."""

    def __init__(self, first: torch.dtype) -> None:
        super().__init__(torch.float32)
        self.shift = torch.nn.Parameter(torch.full((1,), 0.1, dtype=torch.float64))
        if first == torch.float64:
            hidden, out = self.hidden, self.out
            del self.hidden, self.out
            self.hidden, self.out = hidden, out

    def forward(self, species, coords, n_neigh, nlist, contributing):  # type: ignore[no-untyped-def]
        r = self.distances(coords, n_neigh, nlist, contributing)
        return (self.pairs(r.float()).double() * self.shift).sum()


class BufferBeside(Network):
    """Single precision throughout, with a double constant that it converts."""

    def __init__(self) -> None:
        super().__init__(torch.float32)
        self.register_buffer("constant", torch.full((3,), 0.1, dtype=torch.float64))

    def forward(self, species, coords, n_neigh, nlist, contributing):  # type: ignore[no-untyped-def]
        r = self.distances(coords, n_neigh, nlist, contributing)
        return self.pairs(r).sum() * self.constant[0].float()


def frozen(module: torch.nn.Module, how: str) -> bytes:
    """The file that torch.jit.`how` and save() make: without parameters."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # recent versions recommend other formats
        scripted = torch.jit.script(module.eval())
        return bytes(getattr(torch.jit, how)(scripted).save_to_buffer())


def write_typed_model(
    folder: Path, module: torch.nn.Module | bytes, precision: str | None = None, **values: object
) -> Path:
    """A portable-model folder, with `precision` recorded; returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    contents = module if isinstance(module, bytes) else torchscript(module)
    (folder / "model.pt").write_bytes(contents)
    text = parameter_text("model.pt", **values)  # type: ignore[arg-type]
    setting = f"precision {precision}\n" if precision is not None else ""
    (folder / "model.param").write_text(text + setting)
    return folder
