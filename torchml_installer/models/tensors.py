"""Counts the parameters of each type in a TorchScript file, by reading its pickles.

Reading a pickle can run any program. Here, every name in one becomes a harmless object: this
imports nothing and runs no code of the file.
"""

from __future__ import annotations

import io
import math
import pickle
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

_STORAGE_TYPES = {
    "Double": "float64",
    "Float": "float32",
    "Half": "float16",
    "Long": "int64",
    "Int": "int32",
    "Short": "int16",
    "Char": "int8",
    "Byte": "uint8",
    "Bool": "bool",
    "ComplexDouble": "complex128",
    "ComplexFloat": "complex64",
}


@dataclass(frozen=True)
class Tensor:
    """One tensor of a file. size: number of elements; identity: equal for all names of a tensor."""

    dtype: str
    device: str
    size: int
    identity: object


@dataclass
class Module:
    """A module, or another object of the file's own code: its class and its attributes."""

    class_name: str
    attributes: dict[Any, Any] = field(default_factory=dict)

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, dict):
            self.attributes = state


@dataclass(frozen=True)
class Contents:
    """Numbers of tensor elements by type: of parameters, other tensors of modules, and constants in
    the code (which contain the parameters of a frozen model)."""

    parameters: Mapping[str, int]
    buffers: Mapping[str, int]
    constants: Mapping[str, int]
    devices: tuple[str, ...]


def contents(data: bytes, constants: bytes, codes: Mapping[str, str]) -> Contents | None:
    """Reads the records data.pkl and constants.pkl; None if they cannot be understood.

    codes: the text of each Python module, by its dotted name.
    """
    try:
        model, loose = _load(data), _load(constants)
    except Exception:  # a pickle that is not what torch writes may fail in any way
        return None
    if not isinstance(model, Module):
        return None
    counts: dict[str, dict[str, int]] = {"parameters": {}, "buffers": {}, "constants": {}}
    devices: set[str] = set()
    seen: set[object] = set()
    for kind, tensor in _tensors(model, loose, codes):
        if tensor.identity in seen:
            continue
        seen.add(tensor.identity)
        devices.add(tensor.device)
        counts[kind][tensor.dtype] = counts[kind].get(tensor.dtype, 0) + tensor.size
    return Contents(**counts, devices=tuple(sorted(devices)))


def _tensors(
    model: Module, constants: Any, codes: Mapping[str, str]
) -> Iterator[tuple[str, Tensor]]:
    waiting: list[tuple[str, Any]] = [("constants", constants), ("buffers", model)]
    seen: set[int] = set()
    while waiting:
        kind, value = waiting.pop()
        if isinstance(value, Tensor):
            yield kind, value
            continue
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, Module):
            names = _parameter_names(value.class_name, codes)
            for name, attribute in value.attributes.items():
                waiting.append(("parameters" if name in names else "buffers", attribute))
        elif isinstance(value, dict):
            waiting += [(kind, item) for item in value.values()]
        elif isinstance(value, (list, tuple)):
            waiting += [(kind, item) for item in value]


def _parameter_names(class_name: str, codes: Mapping[str, str]) -> set[str]:
    """The names of a class's parameters, from its code."""
    module, _, name = class_name.rpartition(".")
    code = codes.get(module, "")
    pattern = rf"^class {re.escape(name)}\(Module\):\n  __parameters__ = \[(.*)\]"
    match = re.search(pattern, code, re.MULTILINE)
    return set(re.findall(r'"([^"]+)"', match[1])) if match else set()


def _load(data: bytes) -> Any:
    return Reader(io.BytesIO(data)).load()


# Python's implementation: the one in C allocates as much memory as a damaged file claims to need.
# pickletools would give the opcodes, but we would have to write the stack machine that runs them.
class Reader(pickle._Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module.startswith("__torch__"):
            return stand_in(f"{module}.{name}")
        if module == "torch._utils" and name in ("_rebuild_tensor_v2", "_rebuild_tensor_v3"):
            return _rebuilt
        if module == "torch" and name.endswith("Storage"):
            word = name.removesuffix("Storage")
            return _STORAGE_TYPES.get(word, word.lower())
        if (module, name) == ("collections", "OrderedDict"):
            return dict
        if module == "torch.jit._pickle":
            return lambda value, *_: value
        return nothing

    def persistent_load(self, pid: Any) -> Any:
        return pid


def stand_in(class_name: str) -> type:
    """A class to replace one that a file names; its objects remember the name."""

    def new(cls: type, *_arguments: Any) -> Module:
        return Module(class_name)

    return type("Class", (), {"__new__": new})


def _rebuilt(storage: tuple[Any, ...], offset: int, size: tuple[int, ...], *rest: Any) -> Tensor:
    """Like torch's own; storage: ("storage", type, key, device, length), and more in old files."""
    _, dtype, key, device, *_ = storage
    return Tensor(str(dtype), str(device), math.prod(size), (key, offset, tuple(size)))


def nothing(*_arguments: Any) -> None:
    return None
