"""Models that call torch_scatter's and torch_sparse's operators, and their expected results."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

CUTOFF = 4.0  # Å

Floats = npt.NDArray[np.float64]


def portable_model(model: Path, folder: Path, *, cutoff: float = CUTOFF) -> Path:
    """A folder with a model file of calling convention 1 for silicon, and its parameter file."""
    folder.mkdir(parents=True, exist_ok=True)
    if model.parent != folder:
        (folder / model.name).write_bytes(model.read_bytes())
    values = ("1", "Si", "None", str(cutoff), model.name, "False", "5", "None")
    (folder / "model.param").write_text("\n\n".join(values) + "\n")
    return folder


def edit_code(source: Path, target: Path, edit: Callable[[str], str]) -> Path:
    """A TorchScript archive with other code."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for record in old.infolist():
            content = old.read(record)
            if record.filename.endswith(".py"):
                content = edit(content.decode()).encode()
            new.writestr(record, content)
    return target


def silicon(seed: int = 3) -> Floats:
    """(27, 3) Å: a cluster with distances as in silicon, all different."""
    lattice = np.array(list(np.ndindex(3, 3, 3)), dtype=float) * 2.4
    return lattice + np.random.default_rng(seed).normal(scale=0.15, size=lattice.shape)


def dense_potential(model: Path, coordinates: Floats) -> tuple[float, Floats]:
    """Energy and forces of a SparseTensor model for a cluster, from dense matrices.

    Every particle contributes; see sparse_tensor_model.py for the formulas.
    """
    embedding, first, second, readout = _weights(model, (8,), (24, 8), (8, 8), (8,))
    positions = torch.tensor(coordinates, requires_grad=True)
    n = len(coordinates)
    difference = positions[:, None] - positions[None, :] + 10 * CUTOFF * torch.eye(n)[:, :, None]
    distance = torch.linalg.vector_norm(difference, dim=2)
    bonded = distance < CUTOFF
    strength = 0.5 * (1.0 + torch.cos(math.pi * distance / CUTOFF)) * bonded
    hidden = torch.tanh(strength.sum(1)[:, None] * embedding)
    terms = strength[:, :, None] * hidden[None]
    largest = terms.masked_fill(~bonded[:, :, None], -math.inf).amax(1)
    mean = terms.sum(1) / bonded.sum(1)[:, None]
    hidden = torch.tanh(torch.cat([terms.sum(1), mean, largest], 1) @ first)
    looped = strength + 0.5 * torch.eye(n)
    hidden = torch.tanh((looped @ hidden) @ second)
    energy = (hidden @ readout).sum() - strength.amax(1).sum()
    (gradient,) = torch.autograd.grad(energy, positions)
    return energy.item(), -gradient.numpy()


def _weights(model: Path, *shapes: tuple[int, ...]) -> list[torch.Tensor]:
    """The model's parameters, from their records: its code needs operators that torch lacks."""
    with zipfile.ZipFile(model) as archive:
        (first,) = (name for name in archive.namelist() if name.endswith("/data/0"))
        records = [archive.read(f"{first[:-1]}{number}") for number in range(len(shapes))]
    return [
        torch.frombuffer(bytearray(record), dtype=torch.float64).view(shape)
        for record, shape in zip(records, shapes, strict=True)
    ]
