"""Small models that metatomic exports; runs where metatrain is installed."""

from typing import Any, Dict, List, Optional  # noqa: UP035 (metatomic compares annotations)

import torch
from metatensor.torch import Labels, TensorBlock, TensorMap
from metatomic.torch import (
    AtomisticModel,
    ModelCapabilities,
    ModelMetadata,
    ModelOutput,
    NeighborListOptions,
    System,
)

NUMBERS = (1, 8, 14)
CUTOFF = 4.0


class Network(torch.nn.Module):
    """Features of atoms, which depend on neighbours' in each layer.

    places: distances are those between positions, not those of the neighbour list.
    """

    def __init__(
        self, layers: int, full: bool, places: bool, name: str, unit: float, inputs: bool
    ) -> None:
        super().__init__()
        self.layers = layers
        self.full = full
        self.places = places
        self.name = name
        self.cutoff = CUTOFF * unit
        self.inputs = inputs
        self.embedding = torch.nn.Embedding(NUMBERS[-1] + 1, 4)
        self.radial = torch.nn.Linear(1, 4)
        self.mixing = torch.nn.Linear(4, 4)
        self.readout = torch.nn.Linear(4, 1)

    def requested_neighbor_lists(self) -> List[NeighborListOptions]:  # noqa: UP006
        return [NeighborListOptions(self.cutoff, self.full, True)]

    def requested_inputs(self) -> Dict[str, ModelOutput]:  # noqa: UP006
        if self.inputs:
            return {"charge": ModelOutput(unit="e", sample_kind="atom")}
        return {}

    def forward(
        self,
        systems: List[System],  # noqa: UP006
        outputs: Dict[str, ModelOutput],  # noqa: UP006
        selected_atoms: Optional[Labels],  # noqa: UP045
    ) -> Dict[str, TensorMap]:  # noqa: UP006
        results: Dict[str, TensorMap] = {}  # noqa: UP006
        system = systems[0]
        neighbours = system.get_neighbor_list(self.requested_neighbor_lists()[0])
        i = neighbours.samples.column("first_atom").to(torch.int64)
        j = neighbours.samples.column("second_atom").to(torch.int64)
        vectors = neighbours.values.squeeze(2)
        if self.places:
            shifts = neighbours.samples.values[:, 2:].to(system.cell.dtype)
            vectors = system.positions[j] - system.positions[i] + shifts @ system.cell
        if not self.full:
            i, j, vectors = torch.cat([i, j]), torch.cat([j, i]), torch.cat([vectors, -vectors])
        lengths = vectors.norm(2, 1, True) / self.cutoff
        weights = self.radial(lengths).tanh() * (1 - lengths) ** 2
        features = self.embedding(system.types.to(torch.int64))
        for _ in range(self.layers):
            messages = torch.zeros_like(features).index_add(0, i, weights * features[j])
            features = features + self.mixing(messages).tanh()
        energies = self.readout(features)
        atoms = torch.arange(energies.size(0), dtype=torch.int32)
        if selected_atoms is not None:
            atoms = selected_atoms.column("atom").to(torch.int32)
            energies = energies[atoms.to(torch.int64)]
        for key, output in outputs.items():
            values = energies if key != "energy/two" else 2 * energies
            samples = Labels(["system", "atom"], torch.stack([torch.zeros_like(atoms), atoms], 1))
            if output.sample_kind == "system":
                values = values.sum(0, keepdim=True)
                samples = Labels(["system"], torch.tensor([[0]]))
            block = TensorBlock(
                values=values,
                samples=samples,
                components=torch.jit.annotate(List[Labels], []),  # noqa: UP006
                properties=Labels(["energy"], torch.tensor([[0]])),
            )
            results[key] = TensorMap(Labels(["_"], torch.tensor([[0]])), [block])
        return results


#: What is different from a network of two layers on the neighbour list.
_KINDS: dict[str, dict[str, Any]] = {
    "list": {},
    "half": {"full": False},
    "positions": {"places": True},
    "float32": {},
    "units": {"unit": 0.1, "units": ("nm", "kJ/mol")},
    "variants": {"names": ("energy/one", "energy/two")},
    "charge": {"inputs": True},
    "longrange": {"range": float("inf")},
    "whole": {"sample_kind": "system"},
    "dipole": {"names": ("mtt::dipole",)},
}


def make(kind: str, path: str) -> None:
    torch.manual_seed(1)
    if kind in ("pet", "soap_bpnn"):
        _metatrains(kind).save(path)
        return
    change = _KINDS[kind]
    dtype = "float32" if kind == "float32" else "float64"
    length, energy = change.get("units", ("angstrom", "eV"))
    unit = change.get("unit", 1.0)
    network = Network(
        2,
        change.get("full", True),
        change.get("places", False),
        kind,
        unit,
        change.get("inputs", False),
    )
    output = ModelOutput(unit=energy, sample_kind=change.get("sample_kind", "atom"))
    capabilities = ModelCapabilities(
        outputs=dict.fromkeys(change.get("names", ("energy",)), output),
        atomic_types=list(NUMBERS),
        interaction_range=change.get("range", 2 * CUTOFF * unit),
        length_unit=length,
        supported_devices=["cpu", "cuda"],
        dtype=dtype,
    )
    network = network.to(getattr(torch, dtype)).eval()
    AtomisticModel(network, ModelMetadata(), capabilities).save(path)


def calculator(kind: str, path: str) -> Any:
    from metatomic_ase import MetatomicCalculator

    variants = {"energy": "two"} if kind == "variants" else None
    return MetatomicCalculator(path, device="cpu", variants=variants)


def _metatrains(kind: str) -> AtomisticModel:
    """A small model with random weights, as metatrain exports it."""
    from metatrain.utils.architectures import get_default_hypers, import_architecture
    from metatrain.utils.data import DatasetInfo
    from metatrain.utils.data.target_info import get_energy_target_info

    settings = get_default_hypers(kind)["model"]
    if kind == "pet":
        small = dict.fromkeys(("d_pet", "d_node", "d_head", "d_feedforward"), 16)
        settings.update(small, cutoff=CUTOFF, num_heads=2, num_gnn_layers=2)
        settings["num_neighbors_adaptive"] = None
    else:
        settings["soap"]["cutoff"]["radius"] = CUTOFF
        settings["soap"]["max_angular"] = 2
    energy = get_energy_target_info("energy", {"quantity": "energy", "unit": "eV"})
    data = DatasetInfo("angstrom", list(NUMBERS), {"energy": energy})
    model = import_architecture(kind).__model__(settings, data)
    return model.double().eval().export()
