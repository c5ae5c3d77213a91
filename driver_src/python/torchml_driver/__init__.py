"""Torch interatomic potentials in Python, computed by the engine of the TorchML KIM driver.

>>> import torchml_driver
>>> potential = torchml_driver.Potential("my_model")  # a portable-model folder
>>> result = potential.compute(["Si", "Si"], [[0, 0, 0], [1.36, 1.36, 1.36]])
>>> result.energy, result.forces
"""

from ._core import Error, __version__
from .potential import ModelWarning, Potential, Result

__all__ = ["Error", "ModelWarning", "Potential", "Result", "__version__"]
