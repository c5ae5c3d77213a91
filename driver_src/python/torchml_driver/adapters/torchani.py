"""TorchANI: its published models by name, and models that ``torch.save`` wrote."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from .base import Adapted, Adapter, BadOptionError, NoSourceError, Option, UnsupportedError
from .default_dtype import default_dtype

if TYPE_CHECKING:
    from .saved_file import SavedFile

_DTYPES = {"float64": torch.float64, "float32": torch.float32}
#: Parts of a model whose energies are sums over an atom's neighbours.
_PAIRS = ("RepulsionXTB",)


class TorchANIAdapter(Adapter):
    name = "torchani"
    title = "TorchANI"
    distribution = "torchani"
    module = "torchani"
    oldest = "2.6"
    tried_with = ("2.9.0",)
    options = (
        Option("member", "the number of one network of an ensemble, from 0; by default their mean"),
        Option("dtype", "float64 or float32, to convert the model"),
    )

    def known_names(self) -> Sequence[str]:
        from torchani import models
        from torchani.arch import ANI

        def makes(value: Any) -> bool:
            result = getattr(value, "__annotations__", {}).get("return")
            return getattr(value, "__module__", "") == models.__name__ and result in (ANI, "ANI")

        return [name for name, value in vars(models).items() if makes(value)]

    def recognises(self, file: SavedFile) -> bool:
        return file.needs("torchani")

    def load(self, source: str, options: Mapping[str, str]) -> Adapted:
        from torchani.arch import ANI

        read = self._reader(source)
        model = read()
        if type(model) is not ANI:
            raise UnsupportedError(
                f"{source} is a model of the class {type(model).__name__}, which is not supported."
            )
        wanted = options.get("dtype")
        if wanted is not None and wanted not in _DTYPES:
            message = f"There is no type {wanted}."
            remedy = "Write --option dtype=float64 or --option dtype=float32."
            raise BadOptionError(message, remedy)
        dtype = _DTYPES[wanted] if wanted else next(model.parameters()).dtype
        member = _member(model, options.get("member"))

        def chosen() -> Any:
            one = read().to(dtype).eval()
            return one if member is None else one[member]

        notes = ["Energies are converted from hartree."]
        if len(model) > 1 and member is None:
            notes.append(f"Energies are the mean of {len(model)} networks.")
        with default_dtype(dtype):
            module = _on_edges(chosen())
        module.eval()
        module.requires_grad_(False)
        return Adapted(
            module=module,
            elements=tuple(model.symbols),
            cutoff=float(model.cutoff),
            n_layers=1,
            dtype=dtype,
            calculator=lambda: chosen().ase(),
            notes=tuple(notes),
        )

    def _reader(self, source: str) -> Callable[[], Any]:
        from torchani import models

        if Path(source).exists() or source not in self.known_names():
            path = self.file(source)
            return lambda: torch.load(path, map_location="cpu", weights_only=False)
        make = getattr(models, source)
        try:
            make()
        except Exception as error:
            raise NoSourceError(
                f"The weights of {source} are not here, and TorchANI cannot download them: {error}",
                "Make the model on a machine with a network, and copy TorchANI's folder of "
                "downloads.",
            ) from error
        return make  # type: ignore[no-any-return]


def _member(model: Any, wanted: str | None) -> int | None:
    if wanted is None:
        return None
    if not wanted.isdigit() or int(wanted) >= len(model):
        raise BadOptionError(
            f"The model has no network {wanted}.",
            f"It has {len(model)}, numbered from 0 (--option member).",
        )
    return int(wanted)


def _on_edges(model: Any) -> Any:
    """The model, called on edges."""
    from ase.units import Hartree
    from torchani.neighbors import Neighbors, discard_outside_cutoff

    pairs = []
    for name, part in model.potentials.items():
        if name == "nnp" or not part._enabled:
            continue
        if type(part).__name__ not in _PAIRS:
            raise UnsupportedError(
                f"The model has a part {type(part).__name__}, which is not supported."
            )
        pairs.append(part)
    if not math.isfinite(model.cutoff):
        raise UnsupportedError("The model's repulsion has no cutoff.")

    class TorchANI(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.descriptors = model.potentials["nnp"].aev_computer
            self.networks = model.potentials["nnp"].neural_networks
            self.pairs = torch.nn.ModuleList(pairs)
            self.shifts = model.energy_shifter
            self.hartree = float(Hartree)  # eV

        def forward(
            self,
            species: torch.Tensor,
            edge_index: torch.Tensor,
            edge_vectors: torch.Tensor,
            contributing: torch.Tensor,
        ) -> torch.Tensor:
            # TorchANI takes each pair of neighbours once, and finds triples around both. So that an
            # edge counts for its receiver alone, each has a sender of its own, behind the nodes.
            n, n_edges = species.size(0), edge_index.size(1)
            senders = torch.arange(n, n + n_edges, device=species.device)
            everybody = torch.cat([species, species.index_select(0, edge_index[1])]).unsqueeze(0)
            places = edge_vectors.new_zeros((1, n + n_edges, 3))  # not looked at
            indices = torch.stack([edge_index[0], senders])
            distances = edge_vectors.square().sum(1).sqrt()
            neighbors = Neighbors(indices, distances, edge_vectors)
            near = discard_outside_cutoff(neighbors, self.descriptors.radial.cutoff)
            aevs = self.descriptors.compute_from_neighbors(everybody, places, near)
            nodes = species.unsqueeze(0)
            energies = self.networks(nodes, aevs[:, :n].contiguous(), True, False)
            energies = energies + self.shifts(nodes, atomic=True)
            for part in self.pairs:
                near = discard_outside_cutoff(neighbors, part.cutoff)
                found = part.compute_from_neighbors(everybody, places, near, 0, True, False)
                energies = energies + found.energies[:, :n]
            return energies.squeeze(0) * self.hartree * contributing

    return TorchANI()
