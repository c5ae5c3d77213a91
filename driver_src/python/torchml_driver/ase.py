"""An ASE calculator that runs portable models without the KIM-API.

>>> from torchml_driver.ase import TorchMLCalculator
>>> atoms.calc = TorchMLCalculator("my_model")
>>> energy = atoms.get_potential_energy()  # eV
"""

from __future__ import annotations

import copy
import math
import os
import threading
from pathlib import Path
from typing import Any, ClassVar

from ase import Atoms
from ase.calculators.calculator import (
    Calculator,
    CalculatorSetupError,
    InputError,
    Parameters,
    PropertyNotImplementedError,
    all_changes,
)

from ._core import NotDefinedError
from .potential import Potential

_NO_PARTICLE_VIRIALS = (
    "this model does not define the stress of each atom, only that of the cell. Request 'stress', "
    "or use a descriptor model or a model on edges."
)


class TorchMLCalculator(Calculator):  # type: ignore[misc]
    """Computes energies, forces and stresses of a portable model.

    Properties:
        energy, free_energy: eV; the two are equal.
        forces: (n, 3) eV/Å.
        stress: (6,) eV/Å^3; needs a cell with a volume, periodic or not.
        energies: (n,) eV, of each atom; if the model returns them.
        stresses: (n, 6) eV/Å^3, each atom's part of the stress; their sum is the stress. Only
            models on descriptors or edges define them.

    Args:
        model: a portable-model folder or its ``*.param`` file; or a Potential, which several
            calculators can share.
        atomic_numbers, device: see Potential; not allowed together with a Potential.
        atoms, directory, label: as for every ASE calculator.

    Raises:
        InputError: for an unknown keyword.
        Error: if the model cannot be loaded; see Potential.

    ``set`` takes the same arguments and loads the model again if they change. Threads can share a
    calculator; they compute one after the other. Copies (``copy.deepcopy(atoms)``) share the loaded
    model. Pickles hold the path of the model, not its contents; see Potential.
    """

    parameters: Parameters
    results: dict[str, Any]
    implemented_properties: ClassVar[list[str]] = [
        "energy",
        "free_energy",
        "forces",
        "energies",
        "stress",
        "stresses",
    ]
    default_parameters: ClassVar[dict[str, Any]] = {
        "model": None,
        "atomic_numbers": None,
        "device": None,
    }
    ignored_changes: ClassVar[set[str]] = {"initial_charges", "initial_magmoms"}

    def __init__(
        self,
        model: str | os.PathLike[str] | Potential,
        *,
        atomic_numbers: bool | None = None,
        device: str | None = None,
        atoms: Atoms | None = None,
        **kwargs: Any,
    ):
        """Loads the model; see the class."""
        self._alone = threading.RLock()
        super().__init__(model=model, atomic_numbers=atomic_numbers, device=device, **kwargs)
        if atoms is not None:
            atoms.calc = self  # only once the model is loaded

    def set(self, **kwargs: Any) -> dict[str, Any]:
        """Changes parameters, and loads the model again if any differs. Returns those changed.

        Raises:
            InputError, Error: see the class; the calculator then remains unchanged.
        """
        if isinstance(kwargs.get("model"), (str, os.PathLike)):
            kwargs["model"] = str(Path(kwargs["model"]).absolute())
        with self._alone:
            before = Parameters(self.parameters)
            changed: dict[str, Any] = super().set(**kwargs)
            if changed:
                try:
                    self._load(changed)
                except BaseException:
                    self.parameters = before
                    raise
        return changed

    def _load(self, changed: dict[str, Any]) -> None:
        if unknown := sorted(set(changed) - set(self.default_parameters)):
            raise InputError(
                f"{type(self).__name__} has no parameter {', '.join(unknown)}; its parameters are "
                f"{', '.join(self.default_parameters)}."
            )
        settings = dict(self.parameters)
        potential = settings.pop("model")
        if isinstance(potential, Potential):
            for name in settings:
                if changed.get(name) is not None:
                    raise InputError(
                        f"{name} cannot be given together with a Potential, which has its own. "
                        f"Write Potential(model, {name}={changed[name]!r}) instead."
                    )
            self.parameters.update(
                model=str(potential.model),
                atomic_numbers=potential.atomic_numbers,
                device=potential._device,
            )
        else:
            potential = Potential(potential, **settings)
        self.potential = potential
        self._undefined: dict[str, str] = {}
        if not potential.defines_particle_virials:
            self._undefined["stresses"] = _NO_PARTICLE_VIRIALS
        self.implemented_properties = [  # type: ignore[misc]
            name for name in type(self).implemented_properties if name not in self._undefined
        ]
        self.reset()

    def todict(self, skip_default: bool = True) -> dict[str, Any]:
        """The parameters, for databases and trajectories: another calculator with these parameters,
        and this version of the model, gives the same results."""
        found: dict[str, Any] = super().todict(skip_default)
        # The value in use, even if the model or the environment chose it.
        found["atomic_numbers"] = self.potential.atomic_numbers
        return found

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        del state["_alone"]
        for name in ("parameters", "results", "implemented_properties", "_undefined"):
            state[name] = copy.copy(state[name])  # copy.copy() of the calculator would share them
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._alone = threading.RLock()

    def get_property(
        self, name: str, atoms: Atoms | None = None, allow_calculation: bool = True
    ) -> Any:
        """A property of the atoms; raises PropertyNotImplementedError if it is not defined."""
        with self._alone:  # so that each thread gets what was computed for it
            if allow_calculation:
                self._require_defined(name, self.atoms if atoms is None else atoms)
            return super().get_property(name, atoms, allow_calculation)

    def _require_defined(self, name: str, atoms: Atoms | None) -> None:
        if name in self._undefined:
            raise PropertyNotImplementedError(f"{name}: {self._undefined[name]}")
        if name in ("stress", "stresses") and atoms is not None and _volume(atoms) is None:
            raise PropertyNotImplementedError(
                f"{name}: not defined without a volume. Give the atoms a cell of three vectors "
                "that do not lie in one plane."
            )

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | tuple[str, ...] = ("energy",),
        system_changes: list[str] = all_changes,
    ) -> None:
        """Computes properties into ``results``. ASE calls this; use ``get_potential_energy`` etc.

        Raises:
            CalculatorSetupError: if there are no atoms yet.
            Error: if the model fails, or does not support an element.
        """
        with self._alone:
            if atoms is None and self.atoms is None:
                raise CalculatorSetupError(
                    "the calculator has no atoms yet. Set atoms.calc = calculator."
                )
            if system_changes:
                self.results = {}  # forget results for other atoms, even if the model fails now
            super().calculate(atoms, properties, system_changes)
            stresses = "stresses" in properties and "stresses" not in self._undefined
            try:
                result = self.potential.compute(
                    self.atoms.numbers,
                    self.atoms.positions,
                    self.atoms.cell.array,
                    self.atoms.pbc,
                    forces=stresses or "forces" in properties or "stress" in properties,
                    particle_energies="energies" in properties,
                    particle_virials=stresses,
                )
            except NotDefinedError as error:  # for energies, known only after running the model
                name = "stresses" if stresses and "virials" in str(error) else "energies"
                self._undefined[name] = str(error)
                self.implemented_properties.remove(name)
                raise PropertyNotImplementedError(f"{name}: {error}") from error
            # Keep other results for the same atoms: requesting one property must not drop another.
            self.results.update(energy=result.energy, free_energy=result.energy)
            volume = _volume(self.atoms)
            if result.forces is not None:
                self.results["forces"] = result.forces
                if volume is not None and result.virial is not None:
                    self.results["stress"] = result.virial / volume
            if result.particle_energies is not None:
                self.results["energies"] = result.particle_energies
            if result.particle_virials is not None and volume is not None:
                self.results["stresses"] = result.particle_virials / volume


def _volume(atoms: Atoms) -> float | None:
    """The cell's volume, Å^3; None if vectors are zero or, within rounding, in one plane."""
    (a, b, c), (d, e, f), (g, h, i) = atoms.cell.array.tolist()  # numpy is slow for nine numbers
    volume = abs(a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g))
    largest = math.hypot(a, b, c) * math.hypot(d, e, f) * math.hypot(g, h, i)
    return volume if volume > 1e-12 * largest else None
