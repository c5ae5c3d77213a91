"""CHGNet: the models of its package, and files that its trainer wrote."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from .base import Adapted, Adapter, UnsupportedError, one_dtype, with_buffers
from .line_graph import angles, bond_of_edge
from .saved_file import SavedFile, digest

_NAMES = ("0.3.0", "0.2.0", "r2scan")


class _Angular(torch.nn.Module):  # type: ignore[misc]
    """The Fourier basis of angles, with CHGNet's frequencies: its own code can be neither read by
    TorchScript nor recorded for any number of angles."""

    def __init__(self, frequencies: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("frequencies", frequencies.detach().clone())

    def forward(self, one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """one, other: (A, 3), of length 1. Returns (A, functions)."""
        cosines = (one * other).sum(1, keepdim=True) * (1 - 1e-6)  # acos has no slope at 1
        waves = torch.acos(cosines) * self.frequencies
        constant = torch.full_like(cosines, math.sqrt(0.5))
        return torch.cat((constant, waves.sin(), waves.cos()), dim=1) / math.sqrt(math.pi)


class CHGNet(torch.nn.Module):  # type: ignore[misc]
    """A CHGNet model, called on edges; species are atomic numbers.

    Its bonds are undirected: the edges from i to j and back share features. Two bonds of an atom
    that are shorter than the second cutoff form an angle.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.atom_embedding = model.atom_embedding
        self.bond_embedding = model.bond_embedding
        self.bond_weights_ag = model.bond_weights_ag
        self.bond_weights_bg = model.bond_weights_bg
        self.angle_embedding = model.angle_embedding
        self.atom_layers = model.atom_conv_layers[:-1]
        self.last_atom_layer = model.atom_conv_layers[-1]
        self.bond_layers = model.bond_conv_layers
        self.angle_layers = model.angle_layers
        self.readout_norm = model.readout_norm or torch.nn.Identity()
        self.mlp = model.mlp
        self.bond_cutoff = float(model.graph_converter.bond_graph_cutoff)
        composition = model.composition_model
        elements = model.atom_embedding.embedding.num_embeddings
        references = torch.zeros(elements) if composition is None else composition.fc.weight[0]
        self.register_buffer("references", references.detach().clone())
        # TorchScript cannot read the code of these two, but record their operations.
        expansions = model.bond_basis_expansion
        lengths = torch.rand(5) + 1.0
        self.radial_ag = torch.jit.trace(expansions.rbf_expansion_ag, lengths)
        self.radial_bg = torch.jit.trace(expansions.rbf_expansion_bg, lengths)
        self.angular = _Angular(model.angle_basis_expansion.fourier_expansion.frequencies)

    def forward(
        self,
        species: torch.Tensor,
        edge_index: torch.Tensor,
        edge_vectors: torch.Tensor,
        contributing: torch.Tensor,
    ) -> torch.Tensor:
        n = species.size(0)
        receivers = edge_index[0]
        lengths = torch.linalg.vector_norm(edge_vectors, dim=1)
        # Both directions of a bond have the same length; with half of each, so do the forces.
        bond = bond_of_edge(edge_index, edge_vectors, n)
        bonds = int(bond.max()) + 1 if bond.numel() > 0 else 0
        members = torch.zeros(bonds, dtype=lengths.dtype, device=lengths.device)
        members = members.index_add(0, bond, torch.ones_like(lengths))
        bond_lengths = torch.zeros_like(members).index_add(0, bond, lengths) / members
        one, other = angles(receivers, lengths < self.bond_cutoff, n)
        directions = edge_vectors / lengths.unsqueeze(1)
        angle_features = self.angle_embedding(self.angular(directions[one], directions[other]))
        bond_graph = torch.stack((receivers[one], bond[one], bond[other]), dim=1)
        atom_graph = edge_index.t()

        radial = self.radial_ag(bond_lengths)
        atom_features = self.atom_embedding(species - 1)
        bond_features = self.bond_embedding(radial)
        weights_ag = self.bond_weights_ag(radial)
        weights_bg = self.bond_weights_bg(self.radial_bg(bond_lengths))
        for atom_layer, bond_layer, angle_layer in zip(  # noqa: B905 (TorchScript has no strict=)
            self.atom_layers, self.bond_layers, self.angle_layers
        ):
            atom_features = atom_layer(atom_features, bond_features, weights_ag, atom_graph, bond)
            bond_features = bond_layer(
                atom_features, bond_features, weights_bg, angle_features, bond_graph
            )
            angle_features = angle_layer(atom_features, bond_features, angle_features, bond_graph)
        atom_features = self.last_atom_layer(
            atom_features, bond_features, weights_ag, atom_graph, bond
        )
        energies: torch.Tensor = self.mlp(self.readout_norm(atom_features)).squeeze(1)
        return (energies + self.references[species - 1]) * contributing


class CHGNetAdapter(Adapter):
    name = "chgnet"
    title = "CHGNet"
    distribution = "chgnet"
    module = "chgnet"
    oldest = "0.4.0"
    tried_with = ("0.4.2",)

    def known_names(self) -> Sequence[str]:
        return _NAMES

    def recognises(self, file: SavedFile) -> bool:
        return {"model_args", "atom_fea_dim", "bond_graph_cutoff"} <= file.strings

    def load(self, source: str, options: Mapping[str, str]) -> Adapted:
        from chgnet.model.dynamics import CHGNetCalculator

        make, path = self._maker(source)
        model = _quietly(make).eval()
        _require_supported(model)
        module = with_buffers(CHGNet(model).eval())
        converter = model.graph_converter
        return Adapted(
            module=module,
            elements=_elements(len(module.references)),
            cutoff=float(converter.atom_graph_cutoff),
            n_layers=int(model.n_conv),
            dtype=one_dtype(module),
            calculator=lambda: _quietly(
                lambda: CHGNetCalculator(make(), use_device="cpu", on_isolated_atoms="ignore")
            ),
            atomic_numbers=True,
            script=_script,
            periodic_only=True,  # it makes a structure of pymatgen
            notes=("Magnetic moments, which CHGNet predicts, are left out.",),
            facts={"version": str(model.version), "sha256": digest(path)},
        )

    def _maker(self, source: str) -> tuple[Callable[[], Any], Path]:
        """A function that loads the model, and the file that it loads."""
        import chgnet
        from chgnet.model import CHGNet as Model

        if source in _NAMES:
            folder = Path(chgnet.__file__).parent / "pretrained" / source
            (path,) = folder.glob("*.pth.tar")
            return (lambda: Model.load(model_name=source, use_device="cpu", verbose=False)), path
        path = self.file(source)
        return (lambda: Model.from_file(str(path))), path


def _quietly(make: Callable[[], Any]) -> Any:
    """CHGNet prints what it does."""
    with contextlib.redirect_stdout(io.StringIO()):
        return make()


def _require_supported(model: Any) -> None:
    if not model.mlp_first:
        raise UnsupportedError(
            "This CHGNet averages features of the whole structure (mlp_first=False), so that no "
            "atom has an energy of its own.",
            "Train it with mlp_first=True.",
        )
    for layers, option in ((model.bond_conv_layers, "bond"), (model.angle_layers, "angle")):
        if not isinstance(layers, torch.nn.ModuleList):
            raise UnsupportedError(f"A CHGNet with update_{option}=False is not supported.")
    composition = model.composition_model
    if composition is not None and type(composition).__name__ != "AtomRef":
        raise UnsupportedError(
            f"The composition model {type(composition).__name__} is not a sum over atoms.",
            "Train CHGNet with AtomRef.",
        )
    if not model.is_intensive and composition is not None and composition.is_intensive:
        raise UnsupportedError("The composition model is intensive, but the model is not.")


def _elements(count: int) -> tuple[str, ...]:
    from ase.data import chemical_symbols

    return tuple(chemical_symbols[1 : count + 1])


def _summed(
    data: torch.Tensor, owners: torch.Tensor, average: bool = False, num_owner: int = 0
) -> torch.Tensor:
    """The sums of rows that have the same owner, (num_owner, features)."""
    sums = torch.zeros(num_owner, data.size(1), dtype=data.dtype, device=data.device)
    return sums.index_add(0, owners, data)


def _script(module: torch.nn.Module) -> torch.jit.ScriptModule:
    """TorchScript, with a sum for CHGNet's layers that states its types, as TorchScript needs."""
    from chgnet.model import layers

    for part in module.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = float(part.p)  # 0, the integer, is of the wrong type
    own = layers.aggregate
    layers.aggregate = _summed
    try:
        return torch.jit.script(module)
    finally:
        layers.aggregate = own
