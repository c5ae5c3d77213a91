"""The driver's own operators for torch_scatter's and torch_sparse's, as Python calls them.

Their namespaces in torch.ops have unpredictable names, and exist in a program once the Python
module has loaded a model that calls one.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

from tests.support.operator_models import edit_code, portable_model


class _CallsOne(torch.nn.Module):
    """Calls scatter_sum where its code says cumsum; see _load."""

    def forward(
        self,
        species: torch.Tensor,
        coords: torch.Tensor,
        n_neigh: torch.Tensor,
        nlist: torch.Tensor,
        contributing: torch.Tensor,
    ) -> torch.Tensor:
        return torch.cumsum(coords, 0).sum()


def namespaces() -> dict[str, str]:
    """The namespace in torch.ops of each library's operators: of "scatter" and of "sparse"."""
    found = _registered()
    if len(found) < 2:
        _load()
        found = _registered()
    return found


def _registered() -> dict[str, str]:
    found = {}
    for name in torch._C._dispatch_get_all_op_names():
        namespace = name.partition("::")[0]
        for library in ("scatter", "sparse"):
            if namespace.startswith(f"torchml_{library}_"):
                # A KIM driver in this process has its own, identical ones.
                found[library] = max(namespace, found.get(library, ""))
    return found


def _load() -> None:
    """Makes the Python module load a model that calls an operator."""
    from torchml_driver import Potential

    def call(code: str) -> str:
        operator = "ops.torch_scatter.scatter_sum(coords, species, 0, None, 1)"
        return code.replace("torch.cumsum(coords, 0)", operator)

    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        torch.jit.script(_CallsOne()).save(str(work / "scripted.pt"))
        model = edit_code(work / "scripted.pt", work / "model.pt", call)
        Potential(portable_model(model, work / "model"))
