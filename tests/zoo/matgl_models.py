"""Small MatGL potentials with random weights; runs where MatGL is installed."""

from __future__ import annotations

from typing import Any

import torch

ELEMENTS = ("H", "O", "Si")
_SHIFTS = (-1.5, -20.25, -30.125)


def make(kind: str, path: str) -> None:
    """kind: that of the model, then "_" and what is different. path: of a folder."""
    from matgl.apps.pes import Potential
    from matgl.models import M3GNet, TensorNet

    name, _, change = kind.partition("_")
    torch.manual_seed(1)
    if name == "m3gnet":
        small = {"dim_node_embedding": 16, "dim_edge_embedding": 16, "units": 16, "nblocks": 2}
        model: Any = M3GNet(
            ELEMENTS,
            **small,
            cutoff=4.0,
            threebody_cutoff=3.2,
            use_smooth=change != "rough",
            is_intensive=change == "mean",
        )
    else:
        model = TensorNet(ELEMENTS, units=16, nblocks=1, num_rbf=8, cutoff=4.0, is_intensive=False)
    mean = 0.5 if change == "constant" else 0.0
    Potential(model, data_mean=mean, data_std=50.0, element_refs=list(_SHIFTS)).save(path)


def calculator(kind: str, path: str) -> Any:
    import matgl
    from matgl.ext.ase import PESCalculator

    return PESCalculator(matgl.load_model(path), stress_unit="eV/A3", use_voigt=True)
