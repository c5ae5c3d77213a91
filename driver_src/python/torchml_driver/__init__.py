"""Torch interatomic potentials in Python, computed by the engine of the TorchML KIM driver.

>>> import torchml_driver
>>> potential = torchml_driver.Potential("my_model")  # a portable-model folder
>>> result = potential.compute(["Si", "Si"], [[0, 0, 0], [1.36, 1.36, 1.36]])
>>> result.energy  # eV
-2.168121...
>>> result.forces.shape  # eV/Å
(2, 3)
"""

from . import _prebuilt

_prebuilt.choose(__path__)

from . import one_torch  # noqa: E402 (what it imports is found now)

try:
    from ._core import Error, NotDefinedError, __version__, libtorch
except ImportError as problem:
    raise one_torch.explained(problem) from problem
one_torch.warn_of_another(*libtorch())

from .potential import (  # noqa: E402 (what it imports is there now)
    GraphFacts,
    ModelWarning,
    Potential,
    Result,
)

__all__ = [
    "Error",
    "GraphFacts",
    "ModelWarning",
    "NotDefinedError",
    "Potential",
    "Result",
    "__version__",
]
