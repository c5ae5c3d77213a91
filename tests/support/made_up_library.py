"""A library of models that brings its own adapter, as an installed package would.

``install`` writes it into a folder for PYTHONPATH: the module ``embedded``, its metadata and its
entry point. Its models are names: each shows one thing that an adapter may meet.
"""

from __future__ import annotations

from pathlib import Path

#: The name of its adapter.
NAME = "embedded"

_MODULE = '''\
"""Atoms embedded in their neighbours: E_i = -a_i log(1 + sum_j w_j (1 - (r / cutoff)^2)^3)."""

import json

import numpy as np
import torch
from ase.calculators.calculator import Calculator, all_changes
from ase.neighborlist import neighbor_list

from torchml_driver.adapters import Adapted, Adapter, Option
from torchml_driver.adapters.base import UnsupportedError, with_buffers

NUMBERS = (14, 8, 1)
DEPTHS = np.array([1.7, 2.3, 0.6])
WEIGHTS = np.array([1.0, 0.7, 0.2])
CUTOFF = 4.0
#: Relative, of the energies of the two models that round much.
ROUNDING = {"rough": 4e-8, "wild": 1e-4}


class Embedded(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        depths, weights = np.zeros(119), np.zeros(119)
        depths[list(NUMBERS)], weights[list(NUMBERS)] = DEPTHS, WEIGHTS
        self.register_buffer("depths", torch.tensor(depths))
        self.weights = torch.tensor(weights)  # a plain tensor, which does not move by itself
        self.cutoff = CUTOFF

    def forward(
        self,
        species: torch.Tensor,
        edge_index: torch.Tensor,
        edge_vectors: torch.Tensor,
        contributing: torch.Tensor,
    ) -> torch.Tensor:
        near = (1.0 - edge_vectors.square().sum(1) / self.cutoff**2) ** 3
        weighted = near * self.weights[species[edge_index[1]]]
        density = torch.zeros_like(self.depths[species]).index_add(0, edge_index[0], weighted)
        return -self.depths[species] * torch.log1p(density) * contributing


class Branching(Embedded):
    """The same energies, on one of two ways that depends on how long the edges are."""

    def forward(
        self,
        species: torch.Tensor,
        edge_index: torch.Tensor,
        edge_vectors: torch.Tensor,
        contributing: torch.Tensor,
    ) -> torch.Tensor:
        if float(edge_vectors.square().sum()) > 1e30:
            species = species + 1
        near = (1.0 - edge_vectors.square().sum(1) / self.cutoff**2) ** 3
        weighted = near * self.weights[species[edge_index[1]]]
        density = torch.zeros_like(self.depths[species]).index_add(0, edge_index[0], weighted)
        return -self.depths[species] * torch.log1p(density) * contributing


class Reference(Calculator):
    """In numpy, by ASE's neighbour lists and a derivative by hand."""

    implemented_properties = ["energy", "forces", "stress"]

    def __init__(self, model: str) -> None:
        super().__init__()
        self.model = model

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        if self.model == "lonely" and len(self.atoms) == 1:
            raise ValueError("an atom without neighbours")
        if self.model == "unable":
            raise ValueError("no such system")
        kinds = np.array([NUMBERS.index(number) for number in self.atoms.numbers])
        i, j, vectors = neighbor_list("ijD", self.atoms, CUTOFF)
        left = 1 - (vectors**2).sum(1) / CUTOFF**2
        density = np.bincount(i, WEIGHTS[kinds[j]] * left**3, len(self.atoms))
        depths = DEPTHS[kinds] * (1.001 if self.model == "other" else 1.0)
        slope = -depths[i] / (1 + density[i]) * WEIGHTS[kinds[j]] * 3 * left**2 * -2 / CUTOFF**2
        parts = slope[:, None] * vectors  # by the vectors from i to j
        forces = np.zeros((len(self.atoms), 3))
        np.add.at(forces, i, parts)
        np.add.at(forces, j, -parts)
        energy = float((-depths * np.log1p(density)).sum())
        # Rounding depends on where the atoms are, and on nothing else that matters.
        energy *= 1 + ROUNDING.get(self.model, 0.0) * np.sin(1e6 * self.atoms.positions.sum())
        self.results = {"energy": np.nan if self.model == "nan" else energy, "forces": forces}
        if self.atoms.pbc.all():
            virial = np.einsum("ea,eb->ab", vectors, parts)
            voigt = [virial[k] for k in ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))]
            self.results["stress"] = np.array(voigt) / self.atoms.get_volume()


class EmbeddedAdapter(Adapter):
    name = "embedded"
    title = "Embedded"
    distribution = "embedded"
    module = "embedded"
    oldest = "1.1"
    tried_with = ("1.2", "1.3")
    options = (Option("precision", "float64 or float32"),)

    def known_names(self):
        return ["plain", "lonely"]

    def recognises(self, file):
        return "embedded" in file.strings

    def load(self, source, options):
        known = ("plain", "lonely", "other", "nan", "unable", "charged", "broken", "branching")
        known = (*known, *ROUNDING)
        if source not in known:
            self.file(source)
            source = "plain"
        if source == "charged":
            raise UnsupportedError("The model has charges at long range.", "Train it without.")
        if source == "broken":
            raise KeyError("weights")
        dtype = getattr(torch, options.get("precision", "float64"))
        model = Branching() if source == "branching" else Embedded()
        return Adapted(
            module=with_buffers(model.eval()).to(dtype),
            elements=("Si", "O", "H"),
            cutoff=CUTOFF,
            n_layers=1,
            dtype=dtype,
            calculator=lambda: Reference(source),
            atomic_numbers=True,
            notes=("Charges are left out.",),
            facts={"model": source},
        )
'''


def install(folder: Path, version: str = "1.2") -> None:
    """Writes the library into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "embedded.py").write_text(_MODULE, encoding="utf-8")
    metadata = folder / f"embedded-{version}.dist-info"
    metadata.mkdir()
    text = f"Metadata-Version: 2.1\nName: embedded\nVersion: {version}\n"
    (metadata / "METADATA").write_text(text, encoding="utf-8")
    points = f"[torchml_driver.adapters]\n{NAME} = embedded:EmbeddedAdapter\n"
    (metadata / "entry_points.txt").write_text(points, encoding="utf-8")
