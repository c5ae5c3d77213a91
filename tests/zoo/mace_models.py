"""Small MACE models with random weights, as training leaves them; runs where MACE is installed."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from mace import modules  # before e3nn: it sets what e3nn 0.4 needs
from mace.calculators import MACECalculator

from e3nn import o3  # isort: skip

NUMBERS = (1, 8, 14)
_EMBEDDING = {
    "total_charge": {
        **{"type": "categorical", "per": "graph", "in_dim": 1, "emb_dim": 4},
        **{"num_classes": 11, "offset": 5},
    },
    "total_spin": {"type": "continuous", "per": "graph", "in_dim": 1, "emb_dim": 4},
}
_DENSITY = {
    "interaction_cls": "RealAgnosticDensityResidualInteractionBlock",
    "interaction_cls_first": "RealAgnosticDensityInteractionBlock",
}
_NONLINEAR = {
    "interaction_cls": "RealAgnosticResidualNonLinearInteractionBlock",
    "interaction_cls_first": "RealAgnosticResidualNonLinearInteractionBlock",
}
#: What is different from the plain model.
_KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "float32": {},
    "heads": {"heads": ["dft", "cc"]},
    "repulsion": {"pair_repulsion": True, "distance_transform": "Agnesi"},
    "density": _DENSITY,
    "nonlinear": {
        **_NONLINEAR,
        "readout_cls": modules.NonLinearBiasReadoutBlock,
        "edge_irreps": o3.Irreps("8x0e"),
    },
    "charge": {"embedding_specs": _EMBEDDING, "use_embedding_readout": True},
    "three": {"num_interactions": 3},
}


def make(kind: str, path: str) -> None:
    torch.manual_seed(1)
    torch.set_default_dtype(torch.float32 if kind == "float32" else torch.float64)
    changes = dict(_KINDS[kind])
    heads = len(changes.get("heads", [None]))
    settings = {
        "interaction_cls": "RealAgnosticResidualInteractionBlock",
        "interaction_cls_first": "RealAgnosticInteractionBlock",
        "num_interactions": 2,
        "hidden_irreps": o3.Irreps("8x0e + 8x1o"),
        **changes,
    }
    for name in ("interaction_cls", "interaction_cls_first"):
        settings[name] = modules.interaction_classes[settings[name]]
    model = modules.ScaleShiftMACE(
        r_max=4.0,
        num_bessel=6,
        num_polynomial_cutoff=5,
        max_ell=2,
        num_elements=len(NUMBERS),
        MLP_irreps=o3.Irreps("8x0e"),
        gate=torch.nn.functional.silu,
        atomic_energies=np.arange(heads * len(NUMBERS), dtype=float).reshape(heads, -1) - 3.0,
        avg_num_neighbors=12.0,
        atomic_numbers=list(NUMBERS),
        correlation=2,
        atomic_inter_scale=[2.0] * heads,
        atomic_inter_shift=[0.1] * heads,
        **settings,
    )
    torch.save(model, path)


def calculator(kind: str, path: str) -> Any:
    head = {"head": "cc"} if kind == "heads" else {}
    return MACECalculator(path, device="cpu", default_dtype=_dtype(kind), **head)


def _dtype(kind: str) -> str:
    return "float32" if kind == "float32" else "float64"
