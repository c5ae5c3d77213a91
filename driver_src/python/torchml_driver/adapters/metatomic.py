"""metatomic: the models that metatomic-torch exports, such as those of metatrain."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import math
import sys
import zipfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from .base import (
    Adapted,
    Adapter,
    BadOptionError,
    NoLibraryError,
    NoSourceError,
    Option,
    UnsupportedError,
)
from .line_graph import bond_of_edge
from .reach import Cluster
from .saved_file import SavedFile, digest

_VARIANT = "variant"
_ENERGY = "energy"
_UNIT = "angstrom"
_DTYPES = {"float64": torch.float64, "float32": torch.float32}
#: Libraries that compute derivatives in Python alone: without it, forces would be wrong.
_PYTHON_ALONE = ("sphericart_torch",)


class MetatomicAdapter(Adapter):
    name = "metatomic"
    title = "metatomic"
    distribution = "metatomic-torch"
    module = "metatomic.torch"
    oldest = "0.1.19"
    tried_with = ("0.1.19",)
    options = (Option(_VARIANT, "the variant of the energy that a model of several gives"),)
    extra_distributions = ("metatomic-ase",)

    def recognises(self, file: SavedFile) -> bool:
        return "extra/metatomic-version" in file.names or _is_checkpoint(file)

    def load(self, source: str, options: Mapping[str, str]) -> Adapted:
        from metatomic.torch import check_atomistic_model

        from . import saved_file

        if importlib.util.find_spec("metatomic_ase") is None:
            raise NoLibraryError(
                "metatomic's ASE calculator is not installed in this Python.",
                "Install it with `python -m pip install metatomic-ase`.",
            )
        path = self.file(source)
        if _is_checkpoint(saved_file.read(path)):
            raise NoSourceError(
                f"{path} is a checkpoint of metatrain, not an exported model.",
                f"Export it with `mtt export {path}`, and name the file that this writes.",
            )
        libraries = _libraries(path)
        check_atomistic_model(str(path))
        model = torch.jit.load(str(path), map_location="cpu").eval()
        capabilities = model.capabilities()
        _require_supported(model, capabilities)
        key = _energy(capabilities.outputs, options.get(_VARIANT))
        lists = model.requested_neighbor_lists()
        cutoff = max(float(one.engine_cutoff(_UNIT)) for one in lists)
        reach = float(capabilities.engine_interaction_range(_UNIT))
        declared = max(1, math.ceil(reach / cutoff - 1e-6))
        dtype = _DTYPES[capabilities.dtype]
        elements = _elements(capabilities.atomic_types)
        variant = key.partition("/")[2] or None

        def calculator() -> Any:
            from metatomic_ase import MetatomicCalculator

            return MetatomicCalculator(
                path, device="cpu", variants={_ENERGY: variant}, uncertainty_threshold=None
            )

        notes = _notes(capabilities.outputs, key)
        cluster = Cluster(elements, cutoff, declared, dtype, atomic_numbers=True)
        expected = cluster.energy(calculator())
        pattern = "edges"
        module: torch.nn.Module = _on_edges(model, key)
        if not cluster.agrees(module, expected):
            pattern, module = "graph", _on_staged_graphs(model, key)
            notes.append(
                "The model computes distances from positions, not from its neighbour list: it is "
                "packed on staged graphs, which compute periodic images again."
            )
        layers = cluster.layers(module, pattern)
        return Adapted(
            module=module.eval(),
            elements=elements,
            cutoff=cutoff,
            n_layers=layers,
            dtype=dtype,
            calculator=calculator,
            atomic_numbers=True,
            script=torch.jit.script if pattern == "edges" else partial(_script_staged, layers),
            notes=tuple(notes),
            facts={"sha256": digest(path), **({} if variant is None else {_VARIANT: variant})},
            pattern=pattern,
            libraries=libraries,
        )


def _is_checkpoint(file: SavedFile) -> bool:
    return {"architecture_name", "model_ckpt_version"} <= file.strings


def _require_supported(model: Any, capabilities: Any) -> None:
    if not model.requested_neighbor_lists():
        raise UnsupportedError("The model requests no neighbour list, so it has no cutoff.")
    if not math.isfinite(capabilities.interaction_range):
        raise UnsupportedError("The model has interactions at long range, without a cutoff.")
    if inputs := sorted(model.requested_inputs(True)):
        raise UnsupportedError(f"The model needs more than positions: {', '.join(inputs)}.")
    if "cpu" not in capabilities.supported_devices:
        raise UnsupportedError("The model does not run on a CPU, on which it is compared.")


def _energy(outputs: Mapping[str, Any], variant: str | None) -> str:
    """The name of the output whose energies are wanted."""
    known = [name for name in outputs if name == _ENERGY or name.startswith(f"{_ENERGY}/")]
    variants = [name.partition("/")[2] for name in known if "/" in name]
    listed = ", ".join(variants)
    if not known:
        raise UnsupportedError(
            f"The model gives no energy, only {', '.join(sorted(outputs)) or 'nothing'}."
        )
    if variant is not None and variant not in variants:
        has = f"It has these: {listed}." if variants else "It has none."
        raise BadOptionError(
            f"The model's energy has no variant {variant}.", f"{has} (--option {_VARIANT})"
        )
    if variant is None and _ENERGY not in known and len(variants) > 1:
        raise BadOptionError(
            f"The model gives several energies: {listed}.",
            f"Choose one, for example --option {_VARIANT}={variants[0]}.",
        )
    key = known[0] if variant is None and _ENERGY not in known else _ENERGY
    key = f"{_ENERGY}/{variant}" if variant is not None else key
    if outputs[key].sample_kind != "atom":
        raise UnsupportedError(
            "The model gives the energy of the whole system, not those of atoms.",
            'Export it with an energy for each atom (sample_kind="atom").',
        )
    return key


def _notes(outputs: Mapping[str, Any], key: str) -> list[str]:
    notes = []
    left = [name for name in sorted(outputs) if name != key and not _internal(name)]
    if left:
        notes.append(f"Other outputs of the model are left out: {', '.join(left)}.")
    if outputs[key].unit == "":
        notes.append("The model does not record its unit of energy: eV is assumed.")
    return notes


def _internal(output: str) -> bool:
    """Whether an output is for programs that analyse models."""
    return output in ("feature", "features") or output.startswith("mtt::aux::")


def _elements(types: Sequence[int]) -> tuple[str, ...]:
    from ase.data import chemical_symbols

    strange = [str(number) for number in types if not 0 < number < len(chemical_symbols)]
    if strange:
        raise UnsupportedError(f"Not atomic numbers: the model's types {', '.join(strange)}.")
    return tuple(chemical_symbols[number] for number in sorted(types))


def _libraries(path: Path) -> tuple[Path, ...]:
    """Those that define the model's classes and operators, in the order in which they load; the
    process has them afterwards.

    A model records what its libraries need where it was exported, such as those for GPUs. What
    cannot be loaded here was not needed to pack it, or the library that needs it says so.
    """
    import metatensor
    from metatensor.torch import _c_lib as tensors
    from metatomic.torch import _c_lib as models

    libraries = [Path(one._lib_path()) for one in (metatensor._c_lib, tensors, models)]
    with zipfile.ZipFile(path) as archive:
        records = {name.rpartition("/")[2]: name for name in archive.namelist()}
        needed, wanted = (
            json.loads(archive.read(records[name])) for name in ("extensions-deps", "extensions")
        )
    for one in wanted:
        if one["name"] in _PYTHON_ALONE:
            raise UnsupportedError(
                f"The model needs the library {one['name']}, which computes derivatives in Python "
                "alone: in other programs, its forces would be wrong."
            )
    for one in needed:
        with contextlib.suppress(OSError, NoLibraryError):
            libraries.append(_loaded(one))
    return (*libraries, *map(_loaded, wanted))


def _loaded(one: Mapping[str, str]) -> Path:
    """A library that a model records: a name, and a path in the folder of Python's packages."""
    for folder in sys.path:
        if (place := Path(folder, one["path"])).is_file():
            torch.ops.load_library(str(place))
            return place
    raise NoLibraryError(
        f"The model needs the library {one['name']}, which this Python does not have as "
        f"{one['path']}.",
        f"Install {one['path'].split('/')[0]}, in the version with which the model was exported.",
    )


def _evaluating(model: Any, key: str) -> Any:
    """A module that evaluates the model for one graph."""
    from metatensor.torch import Labels, TensorBlock
    from metatomic.torch import ModelEvaluationOptions, ModelOutput, System

    class Evaluation(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = model
            self.key = key

        @torch.jit.export  # type: ignore[untyped-decorator]
        def energies(
            self,
            species: torch.Tensor,
            positions: torch.Tensor,
            pairs: torch.Tensor,
            bond: torch.Tensor,
            vectors: torch.Tensor,
            contributing: torch.Tensor,
        ) -> torch.Tensor:
            """Those of contributing atoms, (n,) eV; 0 for others.

            pairs: (2, E), in both directions. bond: (E,) int64, the number of each pair's bond,
            with a sign that is opposite in the other direction; 0 if no two bonds are between the
            same atoms. vectors: (E, 3) Å, from the first to the second atom. contributing: (n,)
            bool.
            """
            device = species.device
            chosen = contributing.nonzero().squeeze(1)
            energies = vectors.new_zeros(species.size(0))
            if chosen.size(0) == 0:
                return energies
            system = System(
                types=species.to(torch.int32),
                positions=positions,
                cell=positions.new_zeros(3, 3),
                pbc=torch.zeros(3, dtype=torch.bool, device=device),
            )
            lengths = vectors.detach().square().sum(1).sqrt()
            once = torch.where(bond == 0, pairs[0] < pairs[1], bond > 0)
            nothing = torch.zeros_like(bond)
            samples = torch.stack([pairs[0], pairs[1], bond, nothing, nothing], dim=1)
            for request in self.model.requested_neighbor_lists():
                near = lengths < request.engine_cutoff("angstrom")
                if not request.full_list:
                    near = near & once
                index = near.nonzero().squeeze(1)
                block = TensorBlock(
                    values=vectors.index_select(0, index).unsqueeze(2),
                    samples=Labels(
                        names=[
                            "first_atom",
                            "second_atom",
                            "cell_shift_a",
                            "cell_shift_b",
                            "cell_shift_c",
                        ],
                        values=samples.index_select(0, index).to(torch.int32),
                        assume_unique=True,
                    ),
                    components=[
                        Labels(
                            names=["xyz"],
                            values=torch.tensor([[0], [1], [2]], device=device),
                            assume_unique=True,
                        )
                    ],
                    properties=Labels(
                        names=["distance"],
                        values=torch.tensor([[0]], device=device),
                        assume_unique=True,
                    ),
                )
                system.add_neighbor_list(request, block)
            options = ModelEvaluationOptions(
                length_unit="angstrom",
                outputs={self.key: ModelOutput(unit="eV", sample_kind="atom")},
                selected_atoms=Labels(
                    names=["system", "atom"],
                    values=torch.stack([torch.zeros_like(chosen), chosen], dim=1).to(torch.int32),
                    assume_unique=True,
                ),
            )
            block = self.model([system], options, False)[self.key].block()
            atoms = block.samples.column("atom").to(torch.int64)
            return energies.index_add(0, atoms, block.values.flatten())

    return Evaluation()


def _on_edges(model: Any, key: str) -> torch.nn.Module:
    """The model, called on edges. It must take distances from its neighbour list."""

    class Metatomic(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.evaluation = _evaluating(model, key)

        def forward(
            self,
            species: torch.Tensor,
            edge_index: torch.Tensor,
            edge_vectors: torch.Tensor,
            contributing: torch.Tensor,
        ) -> torch.Tensor:
            # Where a graph ends, edges have no edge back; metatomic lists both.
            n = species.size(0)
            bond = bond_of_edge(edge_index, edge_vectors, n)
            members = torch.bincount(bond)
            single = (members[bond] == 1).nonzero().squeeze(1)
            pairs = torch.cat([edge_index, edge_index.index_select(1, single).flip(0)], dim=1)
            vectors = torch.cat([edge_vectors, -edge_vectors.index_select(0, single)])
            bond = torch.cat([bond, bond.index_select(0, single)])
            # The first edge of a bond has a positive number, the other the same, negative. These
            # take the place of periodic shifts, which tell bonds of the same atoms apart.
            edges = torch.arange(bond.size(0), device=bond.device)
            first = torch.full_like(members, bond.size(0)).scatter_reduce(
                0, bond, edges, reduce="amin"
            )
            bond = torch.where(first[bond] == edges, bond + 1, -(bond + 1))
            positions = vectors.new_zeros(n, 3)
            energies: torch.Tensor = self.evaluation.energies(
                species, positions, pairs, bond, vectors, contributing == 1
            )
            return energies

    return Metatomic()


def _on_staged_graphs(model: Any, key: str) -> torch.nn.Module:
    """The model, called on staged graphs, of which it takes the last: that has all pairs."""

    class Graph(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.evaluation = _evaluating(model, key)

        @torch.jit.export  # type: ignore[untyped-decorator]
        def last(
            self,
            species: torch.Tensor,
            coords: torch.Tensor,
            graph: torch.Tensor,
            contributing: torch.Tensor,
        ) -> torch.Tensor:
            vectors = coords.index_select(0, graph[1]) - coords.index_select(0, graph[0])
            bond = torch.zeros_like(graph[0])
            energies: torch.Tensor = self.evaluation.energies(
                species, coords, graph, bond, vectors, contributing == 0
            )
            return energies

    class Metatomic(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.graph = Graph()

        def forward(
            self, species: torch.Tensor, coords: torch.Tensor, *others: torch.Tensor
        ) -> torch.Tensor:
            *graphs, contributing = others
            energies: torch.Tensor = self.graph.last(species, coords, graphs[-1], contributing)
            return energies

    return Metatomic()


def _script_staged(layers: int, module: torch.nn.Module) -> torch.jit.ScriptModule:
    """TorchScript has no ``*others``: there is an argument for each layer."""
    scripted = torch.jit.script(module.graph)
    graphs = [f"graph_layer{layer}" for layer in range(1, layers + 1)]
    arguments = ", ".join(
        f"{name}: Tensor" for name in ("species", "coords", *graphs, "contributing")
    )
    scripted.define(
        f"def forward(self, {arguments}) -> Tensor:\n"
        f"    return self.last(species, coords, {graphs[-1]}, contributing)\n"
    )
    return scripted
