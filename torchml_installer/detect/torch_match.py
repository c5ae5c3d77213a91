"""Whether a library of torch operators was built for the libtorch in use.

Such a library loads only with the torch it was compiled against. If torch lacks a symbol that it
needs, loading ends with "undefined symbol".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from torchml_installer.detect import elf
from torchml_installer.detect.record import version_tuple
from torchml_installer.detect.torch import TorchFinding, shared_libraries

#: Symbols in torch's own namespaces, including type information and virtual tables of its classes.
_TORCHS_OWN = re.compile(r"_Z(?:T[ISV])?N?K?(?:3c10|2at|5torch|6caffe2)")
#: "2.1.2+pt213cu128": PyG's wheels name the torch they were built for.
_FOR_TORCH = re.compile(r"\+pt(\d)(\d+)(?:cpu|cu|$)")


def mismatch(libraries: Sequence[Path], version: str, torch: TorchFinding) -> str:
    """Why the libraries do not fit that torch; "" if they do, or if that is unknown.

    version: the package's.
    """
    if torch.where is None:
        return ""
    tag = _FOR_TORCH.search(version)
    if tag and torch.version and (int(tag[1]), int(tag[2])) != version_tuple(torch.version)[:2]:
        return f"it was built for torch {tag[1]}.{tag[2]}, not for {torch.version}"
    brought = shared_libraries(torch.where)
    for library in libraries:
        facts = elf.facts(library)
        wanted = [name for name in facts.undefined if _TORCHS_OWN.match(name)] if facts else []
        if lacking := elf.missing(wanted, brought):
            return (
                f"it was not built for torch {torch.version} in {torch.where}, which lacks "
                f"{lacking[0]} and {len(lacking) - 1} other symbols that {library.name} needs"
            )
    return ""
