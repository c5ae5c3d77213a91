"""SchNetPack: SchNet, PaiNN and SO3net, from the files of models that its training writes."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from .base import Adapted, Adapter, BadOptionError, Option, UnsupportedError
from .default_dtype import default_dtype

if TYPE_CHECKING:
    from .saved_file import SavedFile

_REPRESENTATIONS = ("SchNet", "PaiNN", "SO3net")
#: Parts that derive something from the energy: the driver does.
_DERIVING = ("Forces", "Response")
#: Parts that look at one edge, or prepare for _DERIVING.
_PREPARING = ("PairwiseDistances", "Strain")
#: Parts that add constants to the energy; SchNetPack does not apply others to forces.
_POSTPROCESSING = ("AddOffsets", "CastTo64", "CastTo32")


class SchNetPack(torch.nn.Module):  # type: ignore[misc]
    """A SchNetPack model, called on edges.

    inputs: the modules before the representation. network: what predicts energies of atoms from
    it, under the name _energy_of_atoms. shifts: (n,) eV, added to them, by atomic number. length,
    energy: the model's units in Å and eV.
    """

    def __init__(
        self,
        inputs: Sequence[Any],
        representation: Any,
        network: Any,
        shifts: torch.Tensor,
        length: float,
        energy: float,
    ) -> None:
        super().__init__()
        self.before = torch.nn.ModuleList(inputs)
        self.representation = representation
        self.network = network
        self.register_buffer("shifts", shifts)
        self.length = length
        self.energy = energy

    def forward(
        self,
        species: torch.Tensor,
        edge_index: torch.Tensor,
        edge_vectors: torch.Tensor,
        contributing: torch.Tensor,
    ) -> torch.Tensor:
        # SchNetPack's vectors lead from i, the receiver, to j: differences of positions plus
        # offsets.
        data = {
            "_atomic_numbers": species,
            "_positions": edge_vectors.new_zeros((species.size(0), 3)),
            "_offsets": edge_vectors / self.length,
            "_idx_i": edge_index[0],
            "_idx_j": edge_index[1],
            "_idx_m": torch.zeros_like(species),
        }
        for part in self.before:
            data = part(data)
        data = self.network(self.representation(data))
        energies = data["_energy_of_atoms"].squeeze(1).to(self.shifts.dtype) * self.energy
        return (energies + self.shifts.index_select(0, species)) * contributing


class _ExchangeSchNet(torch.nn.Module):  # type: ignore[misc]
    """One of SchNet's interactions, before which ranks send each other the features it reads."""

    def __init__(self, interaction: Any) -> None:
        super().__init__()
        self.interaction = interaction

    def forward(
        self,
        x: torch.Tensor,
        f_ij: torch.Tensor,
        idx_i: torch.Tensor,
        idx_j: torch.Tensor,
        rcut_ij: torch.Tensor,
    ) -> torch.Tensor:
        return self.interaction(torch.ops.torchml.exchange(x), f_ij, idx_i, idx_j, rcut_ij)


class _ExchangePaiNN(torch.nn.Module):  # type: ignore[misc]
    """The same for PaiNN, whose features are scalars and vectors."""

    def __init__(self, interaction: Any) -> None:
        super().__init__()
        self.interaction = interaction

    def forward(
        self,
        q: torch.Tensor,
        mu: torch.Tensor,
        filters: torch.Tensor,
        dir_ij: torch.Tensor,
        idx_i: torch.Tensor,
        idx_j: torch.Tensor,
        n_atoms: int,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        both = torch.ops.torchml.exchange(torch.cat([q, mu], dim=1).flatten(1))
        both = both.view(mu.size(0), 4, mu.size(2))
        q, mu = self.interaction(both[:, :1], both[:, 1:], filters, dir_ij, idx_i, idx_j, n_atoms)
        return q, mu


_EXCHANGING = {"SchNet": _ExchangeSchNet, "PaiNN": _ExchangePaiNN}


class SchNetPackAdapter(Adapter):
    name = "schnetpack"
    title = "SchNetPack"
    distribution = "schnetpack"
    module = "schnetpack"
    oldest = "2.0.0"
    tried_with = ("2.0.4",)
    options = (
        Option("energy_unit", "the model's unit of energy, such as eV or kcal/mol"),
        Option("length_unit", "the model's unit of length (default: Ang)"),
        Option("elements", "those of its training, such as H,C,O; by default those with a "
               "reference energy in the model"),
        Option("energy_key", "the name of the energy, for a model of several (default: energy)"),
    )  # fmt: skip

    def __init__(self) -> None:
        # SchNetPack imports this name, which torch 2.13 does not have, for annotations alone.
        from torch.utils.data import dataloader

        if not hasattr(dataloader, "T_co"):
            dataloader.T_co = TypeVar("T_co", covariant=True)

    def recognises(self, file: SavedFile) -> bool:
        return file.needs("schnetpack")

    def load(self, source: str, options: Mapping[str, str]) -> Adapted:
        path = self.file(source)
        model = torch.load(path, map_location="cpu", weights_only=False).eval()
        kind = type(model.representation).__name__
        if kind not in _REPRESENTATIONS:
            raise UnsupportedError(f"{path} is a model with {kind}, which is not supported.")
        energy = _unit("energy_unit", options.get("energy_unit"), "eV")
        length = _unit("length_unit", options.get("length_unit", "Ang"), "Ang")
        dtype = next(model.parameters()).dtype
        network, force_key = _network(model, options.get("energy_key", "energy"))
        key = network.output_key
        network.output_key = "_unused"
        network.per_atom_output_key = "_energy_of_atoms"
        network.aggregation_mode = None
        inputs = _known(model.input_modules, _PREPARING)
        with torch.no_grad():
            shifts = _shifts(model, key)
        layers = _layers(model.representation)
        if kind in _EXCHANGING:
            model.representation.interactions = torch.nn.ModuleList(
                _EXCHANGING[kind](one) if k else one  # the first reads the species alone
                for k, one in enumerate(model.representation.interactions)
            )
        module = SchNetPack(
            [part for part in inputs if type(part).__name__ != "Strain"],
            model.representation,
            network,
            (shifts * energy).to(dtype),
            length,
            energy,
        )
        module.eval()
        module.requires_grad_(False)
        cutoff = float(model.representation.cutoff)
        units = (options.get("energy_unit", ""), options.get("length_unit", "Ang"))
        return Adapted(
            module=module,
            elements=_elements(shifts, options.get("elements")),
            cutoff=cutoff * length,
            n_layers=layers,
            dtype=dtype,
            calculator=lambda: _calculator(str(path), cutoff, key, force_key, units, dtype),
            atomic_numbers=True,
            script=lambda one: torch.jit.script(copy.deepcopy(one)),
            notes=(f"Energies are taken to be in {units[0]}, lengths in {units[1]}.",),
        )


def _unit(option: str, name: str | None, ours: str) -> float:
    """A unit of the model in ours."""
    from schnetpack.units import convert_units

    if name is None:
        raise BadOptionError(
            "The model does not record its unit of energy.",
            f"Say it, for example --option {option}=eV or --option {option}=kcal/mol.",
        )
    try:
        return float(convert_units(name, ours))
    except Exception as error:
        raise BadOptionError(
            f"SchNetPack does not know the unit {name}: {error}",
            f"Write, for example, --option {option}={ours}.",
        ) from error


def _known(parts: Any, names: Sequence[str]) -> list[Any]:
    for part in parts:
        if type(part).__name__ not in names:
            raise UnsupportedError(
                f"The model has a part {type(part).__name__}, which is not supported."
            )
    return list(parts)


def _network(model: Any, key: str) -> tuple[Any, str]:
    """The part that predicts energies of atoms, and the name of forces."""
    networks = [part for part in model.output_modules if type(part).__name__ == "Atomwise"]
    found = [part for part in networks if part.output_key == key]
    if not found:
        named = ", ".join(part.output_key for part in networks) or "none"
        raise BadOptionError(
            f"The model has no energy of atoms named {key}. It has: {named}.",
            "Name one with --option energy_key.",
        )
    forces = "forces"
    for part in model.output_modules:
        if type(part).__name__ in _DERIVING:
            forces = getattr(part, "force_key", forces)
        elif part not in networks:
            raise UnsupportedError(
                f"The model has a part {type(part).__name__}, which is not supported."
            )
    if found[0].aggregation_mode != "sum" or found[0].n_out != 1:
        raise UnsupportedError("The model's energy is not a sum of those of atoms.")
    return found[0], forces


def _shifts(model: Any, key: str) -> torch.Tensor:
    """What is added to energies of atoms after the network, by atomic number, as found from systems
    of one and two atoms."""
    parts = _known(model.postprocessors, _POSTPROCESSING)

    def after(*species: int) -> float:
        data = {
            key: torch.zeros(1, dtype=torch.float64),
            "_atomic_numbers": torch.tensor(species),
            "_n_atoms": torch.tensor([len(species)]),
            "_idx_m": torch.zeros(len(species), dtype=torch.int64),
        }
        for part in parts if model.do_postprocessing else ():
            data = part(data)
        return float(data[key])

    numbers = range(model.representation.embedding.num_embeddings)
    shifts = torch.tensor([after(number) for number in numbers], dtype=torch.float64)
    both = float(shifts[1] + shifts[6])
    if abs(after(1, 6) - both) > 1e-5 * max(abs(both), 1.0):
        raise UnsupportedError("The model's energy is not a sum of those of atoms.")
    return shifts


def _elements(shifts: torch.Tensor, wanted: str | None) -> tuple[str, ...]:
    from ase.data import chemical_symbols

    if wanted is not None:
        elements = tuple(wanted.split(","))
        strange = [name for name in elements if name not in chemical_symbols[1 : shifts.numel()]]
        if strange:
            raise BadOptionError(
                f"Not elements that the model can take: {', '.join(strange)}.",
                "Write, for example, --option elements=H,C,O.",
            )
        return elements
    usual = shifts[0]
    known = [z for z in range(1, shifts.numel()) if shifts[z] != usual]
    if not known:
        raise BadOptionError(
            "The model does not record for which elements it was trained.",
            "List them, for example --option elements=H,C,O.",
        )
    return tuple(chemical_symbols[z] for z in known)


def _layers(representation: Any) -> int:
    known = getattr(representation, "n_interactions", None)
    return len(representation.interactions) if known is None else int(known)


def _calculator(
    path: str,
    cutoff: float,
    key: str,
    force_key: str,
    units: tuple[str, str],
    dtype: torch.dtype,
) -> Any:
    from schnetpack.interfaces.ase_interface import SpkCalculator
    from schnetpack.md.utils import activate_model_stress
    from schnetpack.transform import ASENeighborList

    class Calculator(SpkCalculator):  # type: ignore[misc]
        def _load_model(self, model_file: str) -> Any:
            # As in SchNetPack, but for torch.load's weights_only.
            model = torch.load(model_file, map_location="cpu", weights_only=False)
            return activate_model_stress(model.to(torch.float64).eval(), self.stress_key)

        def calculate(self, atoms: Any = None, *others: Any, **more: Any) -> None:
            with default_dtype(dtype):
                super().calculate(atoms, ["energy", "forces", "stress"])

    return Calculator(
        path,
        ASENeighborList(cutoff),
        energy_key=key,
        force_key=force_key,
        stress_key="stress",
        energy_unit=units[0],
        position_unit=units[1],
        dtype=dtype,
    )
