"""The request of `model compile`; torchml-install's models/compile.py makes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Request:
    """A model to compile.

    source: FILE.py:Name, package.module:Name, FILE.pt2 or FILE.pt. arguments: for its constructor.
    weights: the file of a state dict. pattern: neighbours, descriptor, graph or edges; layers: of a
    model on graphs or edges; width: of the descriptor. cutoff (Å), codes (of the species): for the
    systems on which results are compared. atomic_numbers: whether the codes are atomic numbers.
    device: cpu or cuda. cpu: the instruction set. energy_only: whether to add an entry for energies
    without a gradient. fold: whether to turn a model on staged graphs into one on edges. partition:
    "whole"; in "blocks" of rows; or in blocks without the rings' zero rows ("rings"). output: the
    package.
    """

    source: str
    arguments: Mapping[str, Any]
    weights: Path | None
    pattern: str
    layers: int
    width: int
    cutoff: float
    codes: tuple[int, ...]
    atomic_numbers: bool
    device: str
    cpu: str | None
    returns_forces: bool
    energy_only: bool
    fold: bool
    partition: str
    output: Path

    @classmethod
    def of(cls, asked: Mapping[str, Any]) -> Request:
        """The request in the JSON object that torchml-install sends."""
        values = {field.name: asked[field.name] for field in fields(cls)}
        weights = values["weights"]
        values["weights"] = None if weights is None else Path(weights)
        values["codes"] = tuple(values["codes"])
        values["output"] = Path(values["output"])
        return cls(**values)
