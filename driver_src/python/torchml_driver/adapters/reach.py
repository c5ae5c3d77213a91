"""Finds how far a model looks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from .base import UnsupportedError

#: How many cutoffs farther than it declares a model may look: metatrain's PET looks one farther.
_MORE_LAYERS = 2
#: What counts as no derivative, relative to the largest: PET gives padding a weight of 1e-15.
_NOTHING = 1e-9


class Cluster:
    """Atoms to try a model with, in a row that is longer than it can see. The first is at its end.

    elements: of the model, in the order of its species codes unless these are atomic numbers.
    cutoff: Å. declared: the layers that the model is said to have. dtype: of its input.
    """

    def __init__(
        self,
        elements: Sequence[str],
        cutoff: float,
        declared: int,
        dtype: torch.dtype,
        atomic_numbers: bool,
    ) -> None:
        from ase import Atoms

        self.declared = declared
        length = 2 * (declared + _MORE_LAYERS) + 4
        random = np.random.default_rng(1)
        sites = np.stack(np.meshgrid(*map(np.arange, (2, 2, length)), indexing="ij"), -1)
        sites = sites.reshape(-1, 3) + random.normal(scale=0.08, size=(sites.size // 3, 3))
        self.atoms = Atoms([elements[k % len(elements)] for k in range(len(sites))])
        self.atoms.positions = 0.55 * cutoff * sites
        self.dtype = dtype
        codes = [list(elements).index(symbol) for symbol in self.atoms.symbols]
        self.species = torch.tensor(self.atoms.numbers if atomic_numbers else codes)
        self.places = torch.tensor(self.atoms.positions)
        self.between = self.places[None] - self.places[:, None]
        self.close = (self.between.norm(dim=2) < cutoff) & ~torch.eye(len(sites), dtype=torch.bool)
        self.everyone = torch.ones(len(sites), dtype=torch.bool)

    def energy(self, calculator: Any) -> float:
        atoms = self.atoms.copy()
        atoms.calc = calculator
        return float(atoms.get_potential_energy())

    def agrees(self, module: torch.nn.Module, expected: float) -> bool:
        """Whether a module on edges gives the energy of all atoms, within rounding in single
        precision."""
        try:
            found, _ = self._energies(module, "edges", self.everyone, self.everyone)
        except Exception:  # whatever a model raises that needs positions
            return False
        return abs(float(found.sum()) - expected) < self._tolerance(expected)

    def layers(self, module: torch.nn.Module, pattern: str) -> int:
        """How many layers of edges the first atom's energy depends on, by its gradient: at least as
        many as declared.

        Raises:
            UnsupportedError: if it is more than ``declared`` and _MORE_LAYERS.
        """
        rings = self._rings()
        whole, variable = self._energies(module, pattern, self.everyone, self.everyone)
        (gradient,) = torch.autograd.grad(whole[0], variable, allow_unused=True)
        moving = torch.zeros_like(variable) if gradient is None else gradient
        moved = moving.abs().amax(1) > _NOTHING * moving.abs().max()
        if pattern == "graph":
            reached = rings[moved]  # an atom in ring d takes part by an edge of ring d - 1
        else:
            # A model may take one direction of a bond for both.
            pairs = self.close.nonzero().t()[:, moved]
            reached = torch.minimum(rings[pairs[0]], rings[pairs[1]]) + 1
        layers = max([self.declared, *map(int, reached)])
        if layers > self.declared + _MORE_LAYERS:
            raise UnsupportedError(
                f"The model's atoms see more than {self.declared + _MORE_LAYERS} times its cutoff, "
                "which is farther than it declares."
            )
        one = rings == 0
        alone, _ = self._energies(module, pattern, rings < layers, one)
        if abs(float(alone[0] - whole[0])) > self._tolerance(float(whole[0])):
            raise UnsupportedError(
                "The energy of an atom changes with atoms that are not within the model's layers."
            )
        return layers

    def _rings(self) -> torch.Tensor:
        """How many edges each atom is away from the first, (n,) int64."""
        rings = torch.full((len(self.species),), -1)
        ring, now = 0, torch.zeros_like(self.everyone)
        now[0] = True
        while bool(now.any()):
            rings[now] = ring
            now = self.close[now].any(0) & (rings < 0)
            ring += 1
        return rings

    def _tolerance(self, energy: float) -> float:
        return (1e-10 if self.dtype == torch.float64 else 1e-5) * max(abs(energy), 1.0)

    def _energies(
        self,
        module: torch.nn.Module,
        pattern: str,
        receivers: torch.Tensor,
        contributing: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Those of atoms, in the graph that the driver makes of all edges of ``receivers``; and the
        positions or the edge vectors, which can be differentiated by."""
        edges = self.close & receivers[:, None]
        counted = contributing.to(torch.int64)
        if pattern == "graph":
            pairs = (edges | edges.t()).nonzero().t()
            places = self.places.to(self.dtype).requires_grad_(True)
            return module(self.species, places, pairs, 1 - counted), places
        pairs = edges.nonzero().t()
        vectors = self.between[pairs[0], pairs[1]].to(self.dtype).requires_grad_(True)
        return module(self.species, pairs, vectors, counted), vectors
