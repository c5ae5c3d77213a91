"""Writes the model of sparse_tensor_model.py as TorchScript, without anything compiled.

    python -m tests.support.make_sparse_tensor_model SOURCES FILE

The file has the code of the original torch_sparse 0.6.18 and torch_scatter 2.1.2, of which only the
Python half is needed: SOURCES is a folder with their packages from PyPI's source distributions.
Their operators are declared here without implementations.
"""

from __future__ import annotations

import io
import re
import sys
import zipfile
from pathlib import Path

import torch

from tests.support.our_operators import namespaces


def declare_originals(sources: Path) -> list[torch.library.Library]:
    """Makes torch_scatter and torch_sparse importable without their compiled halves.

    Scripting needs an operator's schema, which is the same in the driver's own operators. They stay
    declared as long as the returned object is kept.
    """
    declared = []
    for short, ours in namespaces().items():
        package = f"torch_{short}"
        library = torch.library.Library(package, "DEF")
        for name in torch._C._dispatch_get_all_op_names():
            if name.startswith(f"{ours}::"):
                (schema,) = torch._C._jit_get_schemas_for_operator(name)
                library.define(str(schema).partition("::")[2])
        library.impl("cuda_version", lambda: -1, "CompositeImplicitAutograd")
        declared.append(library)
        for source in (sources / package).glob("*.py"):
            # The packages look for compiled files with these names before they load them.
            for name in re.findall(r"'(_[a-z_]+)'", source.read_text()):
                (sources / package / f"{name}_cpu.py").touch()
    torch.ops.load_library = lambda path: None
    sys.path.insert(0, str(sources))
    return declared


def save(model: torch.nn.Module, path: Path) -> None:
    """As torch saves it, without the records for debuggers (paths and other sources)."""
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(model.eval()), buffer)
    with zipfile.ZipFile(buffer) as whole, zipfile.ZipFile(path, "w") as kept:
        for record in whole.infolist():
            if not record.filename.endswith(".debug_pkl"):
                kept.writestr(record, whole.read(record))


if __name__ == "__main__":
    declared = declare_originals(Path(sys.argv[1]))
    from tests.support.sparse_tensor_model import SparsePotential

    save(SparsePotential(), Path(sys.argv[2]))
