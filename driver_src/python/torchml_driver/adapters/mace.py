"""MACE: the files that training writes, and the models that its package knows by name."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

import torch

from .base import (
    Adapted,
    Adapter,
    BadOptionError,
    NoSourceError,
    Option,
    UnsupportedError,
)
from .default_dtype import default_dtype

if TYPE_CHECKING:
    from .saved_file import SavedFile

#: The classes whose energies need nothing but edges, and why others are not among them.
_SUPPORTED = ("ScaleShiftMACE", "MACE")
_WHY_NOT = {
    "PolarMACE": "has electrostatics without a cutoff",
    "MACELES": "has electrostatics without a cutoff",
    "AtomicDipolesMACE": "predicts dipoles and no energy",
    "AtomicDielectricMACE": "predicts dipoles and polarizabilities and no energy",
    "EnergyDipolesMACE": "needs the charges of atoms",
}
#: What a model may want to know about the whole system: its name there; the option, which is also
#: the key in `atoms.info` that MACE's calculator reads; and the value that this has by default.
_STATES = {"total_charge": ("charge", 0.0), "total_spin": ("spin", 1.0)}
_DTYPES = {"float64": torch.float64, "float32": torch.float32}
_OFF = "off:"


class MACE(torch.nn.Module):  # type: ignore[misc]
    """A MACE model, called on edges. head: the number of the one whose energies are wanted."""

    def __init__(self, model: Any, head: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.model = model
        n_elements = int(model.atomic_numbers.numel())
        self.register_buffer("one_hot", torch.eye(n_elements, dtype=dtype))
        self.register_buffer("cell", torch.zeros(3, 3, dtype=dtype))
        self.register_buffer("ptr", torch.zeros(2, dtype=torch.int64))  # its length counts graphs
        self.register_buffer("head", torch.full((1,), head, dtype=torch.int64))
        # What the model leaves out of the energies of atoms, by element.
        self.register_buffer("left_out", torch.zeros(n_elements, dtype=dtype))

    def forward(
        self,
        species: torch.Tensor,
        edge_index: torch.Tensor,
        edge_vectors: torch.Tensor,
        contributing: torch.Tensor,
    ) -> torch.Tensor:
        data = self.inputs(species, edge_index, edge_vectors)
        energies = self.model(data, training=False, compute_force=False)["node_energy"]
        assert energies is not None  # for TorchScript
        return (energies + self.left_out.index_select(0, species)) * contributing

    def inputs(
        self, species: torch.Tensor, edge_index: torch.Tensor, edge_vectors: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """What MACE calls a batch. Its rows of edges are (sender, receiver). Its vectors lead from
        the first to the second, and are differences of positions plus shifts."""
        return {
            "positions": edge_vectors.new_zeros((species.size(0), 3)),
            "node_attrs": self.one_hot.index_select(0, species),
            "edge_index": edge_index.flip(0),
            "shifts": -edge_vectors,
            "unit_shifts": torch.zeros_like(edge_vectors),
            "cell": self.cell,
            "batch": torch.zeros_like(species),
            "ptr": self.ptr,
            "head": self.head,
        }


class _Constant(torch.nn.Module):  # type: ignore[misc]
    """In place of an embedding of the system's state: the features that one state gives."""

    def __init__(self, features: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("features", features)

    def forward(self, batch: torch.Tensor, features: dict[str, torch.Tensor]) -> torch.Tensor:
        return self.features.expand(batch.size(0), -1)


class _Exchange(torch.nn.Module):  # type: ignore[misc]
    """One of MACE's products, after which ranks send each other the features that it makes."""

    def __init__(self, product: Any) -> None:
        super().__init__()
        self.product = product

    def forward(
        self,
        node_feats: torch.Tensor,
        sc: Optional[torch.Tensor],  # noqa: UP045 (TorchScript of Python 3.9)
        node_attrs: torch.Tensor,
    ) -> torch.Tensor:
        return torch.ops.torchml.exchange(self.product(node_feats, sc, node_attrs))


class MACEAdapter(Adapter):
    name = "mace"
    title = "MACE"
    distribution = "mace-torch"
    module = "mace"
    oldest = "0.3.13"
    tried_with = ("0.3.16",)
    options = (
        Option("head", "the head of a model of several, by name"),
        Option("dtype", "float64 or float32, to convert the model"),
        Option("charge", "the total charge of every system, for a model that takes one"),
        Option("spin", "the spin multiplicity of every system, for a model that takes one"),
    )

    def known_names(self) -> Sequence[str]:
        from mace.calculators import foundations_models as known

        return [*known.mace_mp_urls, *(_OFF + name for name in known.mace_off_urls)]

    def recognises(self, file: SavedFile) -> bool:
        return file.needs("mace") or _is_compiled(file)

    def load(self, source: str, options: Mapping[str, str]) -> Adapted:
        from ase.data import chemical_symbols

        read = self._reader(source)
        original = read()
        kind = type(original).__name__
        if kind not in _SUPPORTED:
            why = _WHY_NOT.get(kind, "is not supported")
            raise UnsupportedError(f"{source} is a model of the class {kind}, which {why}.")
        dtype = _dtype(original, options.get("dtype"))
        heads = [str(name) for name in getattr(original, "heads", None) or ["Default"]]
        head = _head(heads, options.get("head"))
        state = _state(original, options)
        with default_dtype(dtype):
            module = _module(original.to(dtype), heads.index(head), dtype, state)
        notes = [f"The total {name} is {value:g} in every system." for name, value in state.items()]
        if len(heads) > 1:
            notes.append(f"Energies are those of the head {head}, of {', '.join(heads)}.")
        return Adapted(
            module=module,
            elements=tuple(chemical_symbols[int(number)] for number in original.atomic_numbers),
            cutoff=float(original.r_max),
            n_layers=int(original.num_interactions),
            dtype=dtype,
            calculator=lambda: _calculator(read(), dtype, head, state),
            script=_script,
            notes=tuple(notes),
            facts={"head": head} if len(heads) > 1 else {},
        )

    def _reader(self, source: str) -> Callable[[], Any]:
        """A function that reads the model of a file, or of a name: one that mace_mp() takes, or
        "off:" and one that mace_off() takes."""
        from mace.calculators import mace_mp, mace_off

        from . import saved_file

        if Path(source).exists() or source not in self.known_names():
            path = self.file(source)
            if _is_compiled(saved_file.read(path)):
                raise UnsupportedError(
                    f"{path} is TorchScript, which MACE made of a model.",
                    "Name the .model file that training wrote beside it.",
                )
            return lambda: torch.load(path, map_location="cpu", weights_only=False)
        make, name = mace_mp, source
        if source.startswith(_OFF):
            make, name = mace_off, source.removeprefix(_OFF)
        try:
            make(model=name, device="cpu", return_raw_model=True)
        except Exception as error:
            raise NoSourceError(
                f"The weights of {source} are not here, and MACE cannot download them: "
                f"{error.__cause__ or error}",
                "Download its file on a machine with a network, and name that file instead.",
            ) from error
        return lambda: make(model=name, device="cpu", return_raw_model=True)


def _is_compiled(file: SavedFile) -> bool:
    return any(name.startswith("__torch__.mace.") for name in file.classes)


def _dtype(model: Any, wanted: str | None) -> torch.dtype:
    if wanted is not None and wanted not in _DTYPES:
        raise BadOptionError(
            f"There is no type {wanted}.", "Write --option dtype=float64 or --option dtype=float32."
        )
    return _DTYPES[wanted] if wanted is not None else next(model.parameters()).dtype


def _head(heads: Sequence[str], wanted: str | None) -> str:
    listed = ", ".join(heads)
    if wanted is None:
        # As MACE's calculator chooses.
        usual = heads if len(heads) == 1 else [name for name in heads if name.lower() == "default"]
        if not usual:
            raise BadOptionError(
                f"The model has several heads: {listed}.",
                f"Choose one, for example --option head={heads[-1]}.",
            )
        return usual[0]
    if wanted not in heads:
        raise BadOptionError(
            f"The model has no head {wanted}.", f"It has these: {listed} (--option head)."
        )
    return wanted


def _state(model: Any, options: Mapping[str, str]) -> dict[str, float]:
    """What the model wants to know about the whole system, by the names of options."""
    specs = getattr(model, "embedding_specs", None) or {}
    unknown = [
        name for name, spec in specs.items() if name not in _STATES or spec["per"] != "graph"
    ]
    if unknown:
        raise UnsupportedError(f"The model needs more than positions: {', '.join(unknown)}.")
    state = {}
    for inside, (name, value) in _STATES.items():
        if inside in specs:
            state[name] = _number(name, options[name]) if name in options else value
        elif name in options:
            raise BadOptionError(f"The model takes no {name}.", f"Leave out --option {name}.")
    return state


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise BadOptionError(
            f"{name} is not a number: {text}.", f"Write, for example, --option {name}=1."
        ) from None


def _module(model: Any, head: int, dtype: torch.dtype, state: Mapping[str, float]) -> MACE:
    """The model on edges; without the code that e3nn generates, where MACE can make it so, since
    that cannot be compiled."""
    rebuilt = _rebuilt(model)
    module = _on_edges(model, head, dtype, state)
    if rebuilt is not None:
        other = _on_edges(rebuilt, head, dtype, state)
        # Older files may lack what MACE needs to make the same again.
        expected, found = module(*_example(module)), other(*_example(other))
        if torch.allclose(found, expected, rtol=1e-4, atol=1e-4):
            return other
    return module


def _rebuilt(model: Any) -> Any:
    """The model, made from its configuration; None if MACE cannot."""
    from e3nn import get_optimization_defaults, set_optimization_defaults
    from mace.tools.scripts_utils import extract_model

    before = get_optimization_defaults()["jit_script_fx"]
    set_optimization_defaults(jit_script_fx=False)
    try:
        return extract_model(model)
    except Exception:  # whatever it raises about other classes and older files
        return None
    finally:
        set_optimization_defaults(jit_script_fx=before)


def _on_edges(model: Any, head: int, dtype: torch.dtype, state: Mapping[str, float]) -> MACE:
    last = len(model.products) - 1
    model.products = torch.nn.ModuleList(
        one if k == last else _Exchange(one) for k, one in enumerate(model.products)
    )
    module = MACE(model, head, dtype)
    module.eval()
    module.requires_grad_(False)
    if state:
        features = {
            inside: torch.tensor([state[name]], dtype=dtype)
            for inside, (name, _) in _STATES.items()
            if name in state
        }
        graph = torch.zeros(1, dtype=torch.int64)
        model.joint_embedding = _Constant(model.joint_embedding(graph, features).detach())
        model.embedding_specs = {"cell": 0}  # something that is there: it is not looked at
    if hasattr(model, "embedding_readout"):  # adds to the energy, but not to those of atoms
        for species in range(module.left_out.size(0)):
            alone = module.inputs(torch.tensor([species]), *_no_edges(dtype))
            found = model(alone, training=False, compute_force=False)
            energy, counted = (found[name].detach().sum() for name in ("energy", "node_energy"))
            module.left_out[species] = energy - counted
    return module


def _no_edges(dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.zeros(2, 0, dtype=torch.int64), torch.zeros(0, 3, dtype=dtype)


def _example(module: MACE) -> tuple[torch.Tensor, ...]:
    """Inputs with an atom of each element, in a ring."""
    n, dtype = module.one_hot.size(0), module.one_hot.dtype
    species = torch.arange(n)
    neighbours = torch.stack([species, species.roll(1)])
    directions = torch.stack([species.cos(), species.sin(), 0.5 + 0 * species], dim=1).to(dtype)
    return (
        species,
        torch.cat([neighbours, neighbours.flip(0)], dim=1),
        torch.cat([1.9 * directions, -1.9 * directions]),
        torch.ones_like(species),
    )


def _calculator(model: Any, dtype: torch.dtype, head: str, state: Mapping[str, float]) -> Any:
    from mace.calculators import MACECalculator

    class Calculator(MACECalculator):  # type: ignore[misc]
        def calculate(self, atoms: Any = None, *others: Any, **more: Any) -> None:
            if atoms is not None and state:
                atoms = atoms.copy()
                atoms.info.update(state)
            with default_dtype(dtype):  # constants in MACE's code get this type, as in the driver
                super().calculate(atoms, *others, **more)

    name = next(name for name, value in _DTYPES.items() if value == dtype)
    return Calculator(models=[model], device="cpu", default_dtype=name, head=head)


def _script(module: Any) -> torch.jit.ScriptModule:
    from e3nn.util import jit

    scripted = copy.deepcopy(module)  # e3nn replaces parts of what it is given
    for part in list(scripted.modules()):
        for name, child in part.named_children():
            if type(child).__module__ == "mace.modules.gate":  # holds plain functions
                example = torch.rand(3, child.irreps_in.dim, dtype=module.one_hot.dtype)
                setattr(part, name, torch.jit.trace(child, example))
    return jit.script(scripted)
