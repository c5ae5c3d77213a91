"""Small ANI models with random weights; runs where TorchANI is installed."""

from __future__ import annotations

from typing import Any

import torch
import torchani

SYMBOLS = ("H", "C", "N", "O")


def make(kind: str, path: str) -> None:
    torch.manual_seed(1)
    model = torchani.arch.simple_ani(
        SYMBOLS,
        lot="wb97x-631gd",
        ensemble_size=3 if kind == "ensemble" else 1,
        radial_cutoff=4.2,
        angular_cutoff=3.2,
        repulsion=kind == "repulsion",
        dispersion=kind == "dispersion",
        self_energies={name: -1.5 * (k + 1) for k, name in enumerate(SYMBOLS)},
        strategy="pyaev",
    )
    torch.save(model if kind == "float32" else model.double(), path)


def calculator(kind: str, path: str) -> Any:
    return torch.load(path, weights_only=False).ase()
