"""Makes models on edges from other libraries' models, one module per library.

An adapter wraps the library's own modules in a ``forward`` that the driver can call, and reads
elements, cutoff, layers and type from the model itself. A library can bring its own: an entry point
of the group ``torchml_driver.adapters``, whose name is what ``--from`` takes and whose object is an
``Adapter``. It goes before one of the same name here.
"""

from .base import Adapted, Adapter, Option
from .finding import GROUP, adapter, names

__all__ = ["GROUP", "Adapted", "Adapter", "Option", "adapter", "names"]
