"""An ASE calculator over the engine; needs no KIM-API.

>>> from torchml_driver.ase import TorchMLCalculator
>>> atoms.calc = TorchMLCalculator("my_model")
"""

from __future__ import annotations

import os
from typing import Any, ClassVar

from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from .potential import Potential


class TorchMLCalculator(Calculator):
    """Energies, forces and stress of a portable model.

    Args:
        model: a portable-model folder or its ``*.param`` file; or a Potential.
        atomic_numbers, device: as in Potential.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "forces", "energies", "stress"]

    def __init__(
        self,
        model: str | os.PathLike[str] | Potential,
        *,
        atomic_numbers: bool | None = None,
        device: str | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if not isinstance(model, Potential):
            model = Potential(model, atomic_numbers=atomic_numbers, device=device)
        self.potential = model

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | tuple[str, ...] = ("energy",),
        system_changes: list[str] = all_changes,
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        result = self.potential.compute(
            self.atoms.numbers,
            self.atoms.positions,
            self.atoms.cell.array,
            self.atoms.pbc,
            forces="forces" in properties or "stress" in properties,
            particle_energies="energies" in properties,
        )
        self.results = {"energy": result.energy}
        if result.forces is not None:
            self.results["forces"] = result.forces
            if self.atoms.cell.rank == 3:
                self.results["stress"] = result.virial / self.atoms.get_volume()
        if result.particle_energies is not None:
            self.results["energies"] = result.particle_energies
