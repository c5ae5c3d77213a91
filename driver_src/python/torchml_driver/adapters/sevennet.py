"""SevenNet: checkpoints, and the models that its package knows by name."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from .base import (
    Adapted,
    Adapter,
    BadOptionError,
    NoSourceError,
    Option,
    UnsupportedError,
    one_dtype,
    with_buffers,
)
from .exchanging import ExchangeEntry
from .saved_file import SavedFile, digest

_MODAL = "modal"


class SevenNet(torch.nn.Module):  # type: ignore[misc]
    """A SevenNet model, called on edges. It keeps its order of species, so that codes are 0, 1, …
    in the order of its elements."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        species: torch.Tensor,
        edge_index: torch.Tensor,
        edge_vectors: torch.Tensor,
        contributing: torch.Tensor,
    ) -> torch.Tensor:
        # SevenNet's rows are (receiver, sender), its vectors from the first to the second.
        data = {"x": species, "edge_index": edge_index, "edge_vec": edge_vectors}
        energies: torch.Tensor = self.model(data)["atomic_energy"]
        return energies.squeeze(1) * contributing


class SevenNetAdapter(Adapter):
    name = "sevennet"
    title = "SevenNet"
    distribution = "sevenn"
    module = "sevenn"
    oldest = "0.11.0"
    tried_with = ("0.13.0",)
    options = (Option(_MODAL, "the data set whose energies a model of several gives"),)

    def known_names(self) -> Sequence[str]:
        from sevenn.util import get_available_pretrained_models

        return list(get_available_pretrained_models())

    def recognises(self, file: SavedFile) -> bool:
        return {"model_state_dict", "config", "_number_of_species"} <= file.strings

    def load(self, source: str, options: Mapping[str, str]) -> Adapted:
        from e3nn.util import jit
        from sevenn.calculator import SevenNetCalculator

        path = self._path(source)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            checkpoint, model = _built(path)
        config = checkpoint.config
        modal = _modal(model.modal_map or {}, options.get(_MODAL))
        # As SevenNet itself prepares a model for LAMMPS: forces are the driver's business.
        for part in ("force_output", "reduce_total_enegy"):
            model.delete_module_by_key(part)
        model.eval_type_map = False
        model.set_is_batch_data(False)
        if modal is not None:
            model.prepare_modal_deploy(modal)
        _exchange_between_layers(model)
        module = with_buffers(SevenNet(model).eval())
        return Adapted(
            module=module,
            elements=_elements(model.type_map),
            cutoff=float(config["cutoff"]),
            n_layers=int(config["num_convolution_layer"]),
            dtype=one_dtype(module),
            calculator=lambda: SevenNetCalculator(str(path), device="cpu", modal=modal),
            script=jit.script,
            notes=() if modal is None else (f"Energies are those of {modal}.",),
            facts={"sha256": digest(path), **({} if modal is None else {_MODAL: modal})},
        )

    def _path(self, source: str) -> Path:
        from sevenn.util import pretrained_name_to_path

        if Path(source).exists():
            return self.file(source)
        try:
            return Path(pretrained_name_to_path(source))
        except ValueError:
            raise self.no_source(source) from None
        except Exception as error:  # its weights are not in the package, and no download works
            raise NoSourceError(
                f"The weights of {source} are not here, and SevenNet cannot download them: {error}",
                "Download its checkpoint on a machine with a network, and name that file instead.",
            ) from error


def _built(path: Path) -> tuple[Any, Any]:
    """The checkpoint and its model, with SevenNet's plain operations, not those for GPUs."""
    from sevenn.util import load_checkpoint

    checkpoint = load_checkpoint(str(path))
    if not checkpoint.config or not checkpoint.model_state_dict:
        raise NoSourceError(
            f"{path} is a checkpoint of SevenNet without a model's configuration or weights.",
            "Name a checkpoint that training wrote.",
        )
    kind = checkpoint.config.get("model_type", "E3_equivariant_model")
    if kind != "E3_equivariant_model":
        raise UnsupportedError(f"The model is of the kind {kind}, which is not supported.")
    return checkpoint, checkpoint.build_model()


def _exchange_between_layers(model: Any) -> None:
    """Lets ranks send each other features before each convolution but the first, which reads
    features that depend on the species alone."""
    parts = OrderedDict()
    for name, part in model._modules.items():
        if name.endswith("_convolution") and name != "0_convolution":
            parts[f"exchange_before_{name}"] = ExchangeEntry("x")
        parts[name] = part
    model._modules = parts


def _modal(known: Mapping[str, int], wanted: str | None) -> str | None:
    """The data set to give energies of; None for a model of a single one."""
    listed = ", ".join(known)
    if not known:
        if wanted is not None:
            raise BadOptionError(
                f"The model gives energies of a single data set, not of {wanted}.",
                f"Leave out --option {_MODAL}={wanted}.",
            )
        return None
    if wanted is None:
        raise BadOptionError(
            f"The model gives energies of several data sets: {listed}.",
            f"Choose one, for example --option {_MODAL}={next(iter(known))}.",
        )
    if wanted not in known:
        raise BadOptionError(
            f"The model has no data set {wanted}.", f"It has these: {listed} (--option {_MODAL})."
        )
    return wanted


def _elements(type_map: Mapping[int, int]) -> tuple[str, ...]:
    """Symbols in the order of the model's species."""
    from ase.data import chemical_symbols

    return tuple(chemical_symbols[number] for number in sorted(type_map, key=type_map.__getitem__))
