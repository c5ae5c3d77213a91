"""Compiled models (.pt2) for the tests, and small models that are worth compiling.

Compiling takes a minute per model: packages of this torch and these sources are kept.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import torch

from tests.support import (
    EXAMPLE,
    KEPT,
    ROOT,
    descriptor_models,
    edge_models,
    graph_models,
    torch_models,
)
from tests.support.keeping import kept
from tests.support.structures import CUTOFF
from tests.support.torch_models import Springs, parameter_text

#: Å, of the models here.
MIXTURE_CUTOFF = 3.0


class Mixture(Springs):
    """Springs whose stiffness depends on both species; single precision, as the weights say.

    Species codes 0 and 1 and atomic numbers are distinguished: each has a row in the table.
    """

    def __init__(self) -> None:
        super().__init__()
        random = torch.Generator().manual_seed(3)
        self.stiffness = torch.nn.Parameter(torch.rand(15, generator=random) + 0.5)

    def forward(
        self,
        species: torch.Tensor,
        coords: torch.Tensor,
        n_neigh: torch.Tensor,
        nlist: torch.Tensor,
        contributing: torch.Tensor,
    ) -> torch.Tensor:
        row = torch.repeat_interleave(torch.arange(n_neigh.size(0)), n_neigh.long())
        owner = contributing.nonzero().view(-1).index_select(0, row)
        neighbour = nlist.long()
        delta = coords.index_select(0, neighbour) - coords.index_select(0, owner)
        stretch = (delta * delta).sum(1).sqrt() - self.r0
        k = self.stiffness.index_select(0, species)
        pair = k.index_select(0, owner) * k.index_select(0, neighbour) * stretch * stretch
        return torch.zeros(n_neigh.size(0), dtype=coords.dtype).index_add(0, row, pair)


class OtherwiseWhenTraced(torch.nn.Module):
    """Behaves differently while it is traced, so the compiled model differs."""

    def forward(self, descriptor: torch.Tensor) -> torch.Tensor:
        scale = 1.0 if type(descriptor) is torch.Tensor else 1.000001
        return scale * descriptor.square().sum(1)


#: A model that exchanges even what is the same for all nodes of a species.
EXCHANGING = {"layers": 2, "forgets": 0}


def compile_command(
    *arguments: str | Path, temporary: Path | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    """temporary: the folder of temporary files, if not the system's."""
    return subprocess.run(
        [sys.executable, "-m", "torchml_installer", "model", "compile", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, **({"TMPDIR": str(temporary)} if temporary else {}), **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def compiled(name: str, *arguments: str | Path) -> Path:
    """A package of this torch for this CPU, made once, by the driver's Python module."""
    from torchml_driver.compile.cpu import present_instructions

    what = f"{torch.__version__} {sys.version} {sorted(present_instructions())} {arguments}"
    digest = hashlib.sha256(what.encode())
    sources = (ROOT / "driver_src/python/torchml_driver/compile").glob("*.py")
    models = (
        __file__,
        *(made.__file__ for made in (descriptor_models, edge_models, graph_models, torch_models)),
    )
    for source in (*sorted(sources), EXAMPLE / "stillinger_weber.py", *models):
        digest.update(Path(source).read_bytes())

    def make(path: Path) -> None:
        temporary = path.parent / "temporary"
        temporary.mkdir()
        done = compile_command(*arguments, "--output", path, temporary=temporary)
        assert done.returncode == 0, done.stderr
        left = list(temporary.iterdir())
        assert not left, f"compiling leaves {left} behind"

    return kept(KEPT / "compiled" / digest.hexdigest()[:16] / f"{name}.pt2", make)


def stillinger_weber() -> Path:
    source = EXAMPLE / "stillinger_weber.py"
    return compiled("sw", f"{source}:StillingerWeber", "--elements", "Si", "--cutoff", str(CUTOFF))


def messages() -> Path:
    options = ["--elements", "Si", "--cutoff", str(graph_models.CUTOFF)]
    options += ["--pattern", "graph", "--layers", "3"]
    return compiled("messages", "tests.support.graph_models:Messages", *options)


def folded_messages() -> Path:
    options = ["--elements", "Si", "--cutoff", str(graph_models.CUTOFF), "--no-energy-only"]
    options += ["--pattern", "graph", "--layers", "3", "--fold"]
    return compiled("folded", "tests.support.graph_models:MessagesToSecondRow", *options)


def edges() -> Path:
    options = ["--elements", "Si,C", "--cutoff", str(edge_models.CUTOFF)]
    options += ["--pattern", "edges", "--layers", str(edge_models.LAYERS)]
    return compiled("edges", "tests.support.edge_models:Directional", *options)


def exchanging() -> Path:
    """Of EXCHANGING."""
    options = ["--elements", "Si,C", "--cutoff", str(edge_models.CUTOFF)]
    options += ["--pattern", "edges", "--layers", str(EXCHANGING["layers"])]
    options += ["--arguments", json.dumps(EXCHANGING)]
    return compiled("exchanging", "tests.support.edge_models:Exchanging", *options)


def edges_with_gradient() -> Path:
    options = ["--elements", "Si,C", "--cutoff", str(edge_models.CUTOFF), "--returns-forces"]
    options += ["--pattern", "edges", "--layers", "2", "--no-energy-only"]
    return compiled(
        "edges_with_gradient", "tests.support.edge_models:PairsWithEdgeGradient", *options
    )


def fails_without_edges() -> Path:
    options = ["--elements", "Si", "--cutoff", str(graph_models.CUTOFF)]
    options += ["--pattern", "graph", "--layers", "3", "--no-energy-only"]
    return compiled("fails_without_edges", "tests.support.graph_models:FailsWithoutEdges", *options)


def mixture() -> Path:
    options = ["--elements", "Si,C", "--cutoff", str(MIXTURE_CUTOFF)]
    return compiled("mixture", "tests.support.compiled_models:Mixture", *options)


def with_forces() -> Path:
    options = ["--elements", "Si", "--cutoff", str(MIXTURE_CUTOFF), "--returns-forces"]
    source = "tests.support.torch_models:SpringsWithForces"
    return compiled("with_forces", source, *options, "--no-energy-only")


def on_descriptors() -> Path:
    """For tests/data/descriptors/every_kind.*.dat."""
    options = ["--elements", "Si", "--cutoff", "5.0", "--pattern", "descriptor", "--width", "15"]
    source = "tests.support.descriptor_models:TanhNetwork"
    return compiled("on_descriptors", source, *options, "--arguments", '{"width": 15}')


def model_folder(folder: Path, contents: bytes, suffix: str, **parameters: object) -> Path:
    """The parameter file of a model that takes neighbour lists."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"model.{suffix}").write_bytes(contents)
    text = parameter_text(f"model.{suffix}", **parameters)  # type: ignore[arg-type]
    (folder / "model.param").write_text(text)
    return folder


def stillinger_weber_folder(folder: Path) -> Path:
    return model_folder(folder, stillinger_weber().read_bytes(), "pt2", cutoff=CUTOFF)


def messages_folder(folder: Path, package: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.pt2").write_bytes(package)
    (folder / "model.param").write_text(graph_models.graph_parameters("model.pt2"))
    return folder
