"""Small descriptor models."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import torch

from tests.support.descriptor_cases import descriptor_file
from tests.support.torch_models import torchscript


class TanhNetwork(torch.nn.Module):
    """One hidden layer with fixed weights. Energies as a column, flat, or summed."""

    def __init__(self, width: int, form: str = "column") -> None:
        super().__init__()
        self.form = form
        generator = torch.Generator().manual_seed(11)
        self.hidden = torch.nn.Linear(width, 8, dtype=torch.float64)
        self.out = torch.nn.Linear(8, 1, dtype=torch.float64)
        for parameter in self.parameters():
            values = torch.rand(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.data = 0.4 * (values - 0.5)

    def forward(self, descriptor: torch.Tensor) -> torch.Tensor:
        energies = self.out(torch.tanh(self.hidden(descriptor)))
        if self.form == "flat":
            return energies.view(-1)
        if self.form == "sum":
            return energies.sum()
        return energies


def write_descriptor_model(
    folder: Path,
    module: torch.nn.Module,
    name: str,
    *,
    elements: Sequence[str] = ("Si",),
    descriptor: str = "SymmetryFunctions",
    cutoff: float = 5.0,
    returns_forces: bool = False,
) -> Path:
    """Makes a portable-model folder without KIM's build files, with a descriptor file of
    tests/data/descriptors, in KLIFF's layout. Returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.pt").write_bytes(torchscript(module))
    shutil.copy(descriptor_file(name), folder / "descriptor.dat")
    (folder / "kim_model.param").write_text(
        f"# Number of elements\n{len(elements)}\n{' '.join(elements)}\n\n"
        f"# Preprocessing kind\nDescriptor\n\n# Cutoff distance\n{cutoff}\n\n# Model\nmodel.pt\n\n"
        f"# Returns Forces\n{returns_forces}\n\n# Number of inputs\n1\n\n"
        f"# Any descriptors?\n{descriptor}\n"
    )
    return folder
