"""NequIP, and Allegro, which is built on it: checkpoints, packages, and TorchScript."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

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
from .default_dtype import default_dtype
from .exchanging import ExchangeEntry

if TYPE_CHECKING:
    from .saved_file import SavedFile

_SOLE = "sole_model"
_NET = "nequip.net:"
_MACHINE_CODE = ".nequip.pt2"
#: Inputs that NequIP gives to every model, whether it uses them or not.
_INPUTS = frozenset(
    {
        *("pos", "edge_index", "edge_transpose_perm", "edge_cell_shift", "edge_vectors", "cell"),
        *("batch", "num_atoms", "atom_types", "lmp_mliap_data", "num_local_ghost_atoms"),
    }
)
#: The packages whose modules look no further than along one edge in each layer.
_KNOWN = frozenset({"nequip", "allegro", "e3nn", "opt_einsum_fx", "torch"})
_LAYER = "ConvNetLayer"
_ARITHMETIC = {"float64": torch.float64, "float32": torch.float32}


class NequIP(torch.nn.Module):  # type: ignore[misc]
    """A model of NequIP's framework, called on edges: its part that predicts energies.

    types: (n_elements,) int64, the model's type of each element.
    """

    def __init__(self, energies: Any, types: torch.Tensor) -> None:
        super().__init__()
        self.energies = energies
        self.register_buffer("types", types)

    def forward(
        self,
        species: torch.Tensor,
        edge_index: torch.Tensor,
        edge_vectors: torch.Tensor,
        contributing: torch.Tensor,
    ) -> torch.Tensor:
        # NequIP's rows are (receiver, sender), its vectors from the first to the second, in double
        # precision whatever the model's type.
        data = {
            "atom_types": self.types.index_select(0, species),
            "edge_index": edge_index,
            "edge_vectors": edge_vectors,
        }
        return self.energies(data)["atomic_energy"].squeeze(1) * contributing


class NequIPAdapter(Adapter):
    name = "nequip"
    title = "NequIP"
    distribution = "nequip"
    module = "nequip"
    oldest = "0.13.0"
    tried_with = ("0.19.1",)
    options = (
        Option("types", "the model's type for each element if their names differ: Si:A,O:B"),
        Option("model", "the name of one model in a file of several"),
    )

    def recognises(self, file: SavedFile) -> bool:
        if file.path.name.endswith((".nequip.zip", ".nequip.pth", _MACHINE_CODE)):
            return True
        return any(name.startswith("nequip.") for name in file.strings | file.classes)

    def load(self, source: str, options: Mapping[str, str]) -> Adapted:
        from nequip.utils.global_state import set_global_state

        path = source if source.startswith(_NET) else str(self.file(source))
        if path.endswith(_MACHINE_CODE):
            raise UnsupportedError(
                f"{path} is machine code, which nequip-compile made to take positions and cells; "
                "it cannot take edges.",
                "Name the file from which nequip-compile made it: the checkpoint (.ckpt) or the "
                "package (.nequip.zip).",
            )
        set_global_state(allow_tf32=False)
        key = options.get("model", _SOLE)
        compiled = path.endswith(".nequip.pth")
        energies, metadata = _compiled(path) if compiled else _saved(path, key)
        names = metadata["type_names"].split()
        types = _types(names, options.get("types"))
        order = torch.tensor([names.index(types[element]) for element in types])
        layers = _layers(energies)
        if not compiled:
            for part in energies.modules():
                if hasattr(part, "ghost_exchange"):  # which the first layer does not call
                    part.ghost_exchange = ExchangeEntry("node_features")
        module = NequIP(energies, order).eval().requires_grad_(False)
        return Adapted(
            module=module,
            elements=tuple(types),
            cutoff=float(metadata["r_max"]),
            n_layers=layers,
            dtype=torch.float64,
            arithmetic=_ARITHMETIC[metadata.get("model_dtype") or "float64"],
            calculator=lambda: _calculator(path, compiled, key, types),
            script=_script,
            notes=("The model does not record its units: eV and Å are assumed.",),
        )


class AllegroAdapter(NequIPAdapter):
    name = "allegro"
    title = "Allegro"
    distribution = "nequip-allegro"
    module = "allegro"
    oldest = "0.6.0"
    tried_with = ("0.8.3",)
    extra_distributions = ("nequip",)

    def recognises(self, file: SavedFile) -> bool:
        if not super().recognises(file):
            return False
        if file.path.name.endswith(_MACHINE_CODE):
            return True  # of either; ``load`` says what to do
        inside = any(name.startswith("allegro/") for name in file.names)
        return inside or any("allegro." in name for name in file.strings | file.classes)


def _saved(path: str, key: str) -> tuple[Any, Mapping[str, str]]:
    """The part of a checkpoint's or package's model that predicts energies, and its metadata."""
    from nequip.model.saved_models.load_utils import load_saved_model

    try:
        models = load_saved_model(path, model_key=None)
    except ModuleNotFoundError as error:
        remedy = "Install the package that it comes from"
        if error.name == "allegro":
            remedy += ": `python -m pip install nequip-allegro`"
        message = f"The model needs {error.name}, which is not installed in this Python."
        raise NoLibraryError(message, f"{remedy}.") from error
    except Exception as error:
        if not path.startswith(_NET):
            raise
        raise NoSourceError(
            f"NequIP cannot download {path}: {error}",
            "Download its package on a machine with a network, and name that file instead.",
        ) from error
    if key not in models:
        raise BadOptionError(
            f"The file has no model {key}.",
            f"It has these: {', '.join(models)} (--option model).",
        )
    model = models[key].eval()
    more = sorted(set(model.model_input_fields) - _INPUTS)
    if more:
        raise UnsupportedError(f"The model needs more than positions: {', '.join(more)}.")
    return _energies(model), model.metadata


def _compiled(path: str) -> tuple[Any, Mapping[str, str]]:
    """The same of TorchScript, which nequip-compile wrote with older versions of torch."""
    metadata: dict[str, Any] = {"type_names": "", "r_max": "", "model_dtype": ""}
    model = torch.jit.load(path, map_location="cpu", _extra_files=metadata)
    texts = {
        name: value.decode() if isinstance(value, bytes) else value
        for name, value in metadata.items()
    }
    return _energies(model.eval()), texts


def _energies(model: Any) -> Any:
    """What is inside the module that differentiates by positions."""
    energies = getattr(model.model, "func", None)
    if energies is None:
        raise UnsupportedError("The model does not predict energies.")
    return energies


def _types(names: list[str], wanted: str | None) -> dict[str, str]:
    """The model's type for each element."""
    from ase.data import chemical_symbols

    example = "Write, for example, --option types=Si:A,O:B."
    if wanted is None:
        strange = [name for name in names if name not in chemical_symbols[1:]]
        if strange:
            raise BadOptionError(
                f"Types of the model are not named as elements are: {', '.join(strange)}. It has "
                f"{', '.join(names)}.",
                example,
            )
        return {name: name for name in names}
    types = {}
    for pair in wanted.split(","):
        element, _, name = pair.partition(":")
        if element not in chemical_symbols[1:] or name not in names:
            raise BadOptionError(
                f"{pair} is not an element and one of the model's types, {', '.join(names)}.",
                example,
            )
        types[element] = name
    return types


def _layers(energies: Any) -> int:
    """How many layers pass messages. Everything else looks at one edge, or an atom's edges."""
    layers = 0
    for part in energies.modules():
        kind = getattr(part, "original_name", None) or type(part).__name__
        where = type(part).__module__.split(".")
        package = where[1 if where[0].startswith("<torch_package") else 0]
        if package not in _KNOWN:
            raise UnsupportedError(
                f"The model has parts of {package} ({kind}). How far these look is not known."
            )
        layers += kind == _LAYER
    return max(layers, 1)


def _calculator(path: str, compiled: bool, key: str, types: Mapping[str, str]) -> Any:
    from nequip.integrations.ase import NequIPCalculator

    class Calculator(NequIPCalculator):  # type: ignore[misc]
        def calculate(self, *all: Any, **named: Any) -> None:
            with default_dtype(torch.float64):  # the type that it converts positions to
                super().calculate(*all, **named)

    settings = {"device": "cpu", "chemical_species_to_atom_type_map": dict(types)}
    with default_dtype(torch.float64):
        if compiled:
            return Calculator.from_compiled_model(path, **settings)
        return Calculator._from_saved_model(path, model_name=key, **settings)


def _script(module: Any) -> torch.jit.ScriptModule:
    from e3nn.util import jit

    if isinstance(module.energies, torch.jit.ScriptModule):
        return torch.jit.script(module)
    return jit.script(copy.deepcopy(module))  # it replaces parts of what it is given
