"""Small SchNetPack models with random weights; runs where SchNetPack is installed."""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch.utils.data import dataloader

if not hasattr(dataloader, "T_co"):  # SchNetPack 2.0 imports it; torch 2.13 does not have it
    dataloader.T_co = TypeVar("T_co", covariant=True)

import schnetpack
from schnetpack import atomistic, representation, transform
from schnetpack.interfaces.ase_interface import SpkCalculator
from schnetpack.md.utils import activate_model_stress
from schnetpack.nn import CosineCutoff, GaussianRBF

CUTOFF = 4.0
_REPRESENTATIONS = {
    "schnet": representation.SchNet,
    "painn": representation.PaiNN,
    "so3net": representation.SO3net,
}


def make(kind: str, path: str) -> None:
    """kind: that of the representation, then "_" and what is different."""
    name, _, change = kind.partition("_")
    torch.manual_seed(1)
    settings: dict[str, Any] = {"lmax": 1} if name == "so3net" else {}
    network = _REPRESENTATIONS[name](
        n_atom_basis=16,
        n_interactions=2,
        radial_basis=GaussianRBF(n_rbf=8, cutoff=CUTOFF),
        cutoff_fn=CosineCutoff(CUTOFF),
        **settings,
    )
    after: list[Any] = []
    if change == "references":
        references = torch.zeros(100)
        references[[1, 8, 14]] = torch.tensor([-1.5, -20.25, -30.125])
        offsets = transform.AddOffsets("energy", add_mean=True, add_atomrefs=True)
        offsets.atomref, offsets.mean = references, torch.tensor([-0.5])
        after = [transform.CastTo64(), offsets]
    model = schnetpack.model.NeuralNetworkPotential(
        representation=network,
        input_modules=[atomistic.Strain(), atomistic.PairwiseDistances()],
        output_modules=[
            atomistic.Atomwise(n_in=16, output_key="energy"),
            atomistic.Forces(calc_stress=True),
        ],
        postprocessors=after,
    )
    if change != "float32":
        model = model.double()
    torch.save(model, path)


def calculator(kind: str, path: str) -> Any:
    class Calculator(SpkCalculator):  # type: ignore[misc]
        def _load_model(self, model_file: str) -> Any:
            model = torch.load(model_file, weights_only=False).double().eval()
            return activate_model_stress(model, self.stress_key)

    dtype = torch.float32 if kind.endswith("float32") else torch.float64
    return Calculator(
        path,
        transform.ASENeighborList(CUTOFF),
        stress_key="stress",
        energy_unit="kcal/mol",
        dtype=dtype,
    )
