"""Files as torch itself writes them, kept between runs: importing torch takes seconds."""

from __future__ import annotations

import hashlib
import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import EXAMPLE, KEPT
from tests.support.keeping import kept

_SCRIPT = """
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 8)
        self.register_buffer("mean", torch.zeros(3))
        self.scale = torch.nn.Parameter(torch.ones(2, 2, dtype=torch.float64))
    def forward(self, species: torch.Tensor, coords: torch.Tensor, n_neigh: torch.Tensor,
                nlist: torch.Tensor, contributing: torch.Tensor) -> torch.Tensor:
        return self.layer(coords[:, :1].float()).sum() + self.scale.sum() + self.mean[0]

class Inner(torch.nn.Module):
    def forward(self, x):
        return x * 2

class Outer(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = Inner()
    def forward(self, species, coords, n_neigh, nlist, contributing):
        return self.inner(coords).sum(), coords

torch.jit.script(Net()).save("scripted.pt")
torch.jit.script(Outer()).save("nested.pt")
torch.jit.freeze(torch.jit.script(Net().eval())).save("frozen.pt")
torch.save(Net(), "pickled.pt")
torch.save(Net().state_dict(), "weights.pt")
torch.save({"epoch": 3, "model": Net().state_dict(), "optimizer": {}}, "checkpoint.pt")
torch.save(Net(), "pickled.model", _use_new_zipfile_serialization=False)

class OnAGpu(torch.nn.Module):
    def forward(self, species, coords, n_neigh, nlist, contributing):
        return (coords * torch.ones(3, device="cuda:0", dtype=torch.float64)).sum()

torch.jit.script(OnAGpu()).save("gpu.pt")

class Quantised(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.ao.nn.quantized.dynamic.Linear(3, 1)
    def forward(self, species, coords, n_neigh, nlist, contributing):
        return self.layer(coords.float()).double().sum()

torch.jit.script(Quantised()).save("quantised.pt")
if hasattr(torch, "export"):
    program = torch.export.export(Inner(), (torch.ones(3),))
    torch.export.save(program, "exported.pt2")
"""


def written_by_torch() -> Path:
    """The folder with scripted, nested, frozen and pickled models, a state dict, and the example's
    model."""
    try:
        version = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("needs torch")
    digest = hashlib.sha256(f"{version}\n{_SCRIPT}".encode())
    for source in sorted(EXAMPLE.glob("*.py")):
        digest.update(source.read_bytes())

    def make(folder: Path) -> None:
        script = folder.with_name("models.py")  # torch reads the source of what it scripts
        script.write_text(_SCRIPT, encoding="utf-8")
        folder.mkdir()
        for words in ([script], [EXAMPLE / "make_model.py", "--output", "SW_Si.pt"]):
            command = [sys.executable, *words]
            subprocess.run(command, cwd=folder, check=True, capture_output=True)

    return kept(KEPT / "saved" / digest.hexdigest()[:16], make)
