"""Recognises model files that the driver cannot run, and explains how to convert them.

torch has five file formats that look alike from outside. This only reads files: it runs none of
their code and does not import torch.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torchml_installer.errors import ModelFileDamagedError, NotTorchScriptError
from torchml_installer.models import tensors
from torchml_installer.support import files

#: The pickle with which older torches begin a file.
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LARGEST_PICKLE = 64 << 20
#: How pickles of protocols 2 to 5 begin.
PICKLE_BEGINNINGS = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
#: Packages whose models are built on e3nn: torch.jit.script alone cannot script them.
_ON_E3NN = frozenset(["e3nn", "mace", "nequip", "allegro", "sevenn"])
SCRIPT_IT = (
    "`torch.jit.script(model.eval()).save(FILE)`; for a model built on e3nn (MACE, NequIP, "
    "SevenNet) use e3nn.util.jit.script instead"
)


def check_names(path: Path, names: Sequence[str]) -> None:
    """Raises ModelFileDamagedError unless all files of an archive are in one folder, as torch
    writes them: torch's reader refuses or ignores others."""
    top = names[0].partition("/")[0] if names else ""
    for name in names:
        inside = name.startswith(f"{top}/") and ".." not in name.split("/")
        if not inside or top in ("", "..", "."):
            raise ModelFileDamagedError(
                f"The model file {path} has an entry '{name}', which torch does not write and its "
                "reader refuses.",
                "Save the model again with torch, and do not add files to it.",
            )


def of_archive(path: Path, archive: zipfile.ZipFile) -> NotTorchScriptError | None:
    """The error for a zip archive that is neither TorchScript nor our package; None if unknown."""
    names = archive.namelist()
    top = names[0].partition("/")[0] if names else ""
    if program := _exported(path, archive):
        return program
    if any("data/aotinductor/" in name for name in names):
        return _compiled(path, archive, names)
    if f"{top}/.data/extern_modules" in names:
        return NotTorchScriptError(
            f"The model file {path} is a torch.package archive, such as nequip-package writes. It "
            "has Python code and weights, and is neither TorchScript nor compiled.",
            f"Load the model in Python and save it as TorchScript: {SCRIPT_IT}.",
        )
    if f"{top}/data.pkl" in names and not any(name.startswith(f"{top}/code/") for name in names):
        data = b""
        if archive.getinfo(f"{top}/data.pkl").file_size <= _LARGEST_PICKLE:
            data = archive.read(f"{top}/data.pkl")
        return _pickled(path, _read(io.BytesIO(data)))
    return None


def of_pickle(path: Path) -> NotTorchScriptError:
    """The error for a file that begins like a pickle."""
    stream = io.BytesIO(files.beginning(path, _LARGEST_PICKLE))
    found = _read(stream)
    if found is not None and found.value == _LEGACY_MAGIC:
        for _ in range(3):  # the protocol's version, the system's sizes, the object
            found = _read(stream)
    return _pickled(path, found)


# --- torch.export and AOTInductor -----------------------------------------------------------


def _exported(path: Path, archive: zipfile.ZipFile) -> NotTorchScriptError | None:
    if (version := _exported_by(archive)) is None:
        return None
    return NotTorchScriptError(
        f"The model file {path} is an exported program (torch.export.save"
        + (f" of torch {version}" if version else "")
        + "), which is not compiled yet.",
        f"Compile it: `torchml-install model compile {path} --elements Si,C --cutoff 5.0`.",
    )


def _exported_by(archive: zipfile.ZipFile) -> str | None:
    """The version of torch whose torch.export.save wrote an archive, "" if unknown; None for
    another kind of file."""
    names = archive.namelist()
    top = names[0].partition("/")[0] if names else ""
    records = [name for name in names if name.startswith(f"{top}/models/")]
    records = [name for name in records if name.endswith(".json")]
    # Up to torch 2.7, it has another name and is not in a folder.
    old = "serialized_exported_program.json"
    records += [name for name in names if name in (old, f"{top}/{old}")]
    if not records:
        return None
    try:
        return str(json.loads(archive.read(records[0])).get("torch_version", ""))
    except (ValueError, AttributeError):
        return ""


def _compiled(path: Path, archive: zipfile.ZipFile, names: Sequence[str]) -> NotTorchScriptError:
    if any(name.endswith("/extra/torchml.txt") for name in names):
        return NotTorchScriptError(
            f"The model file {path} is a compiled model, not TorchScript.",
            "Rename it to end in .pt2.",
        )
    for name in names:
        if not (name.endswith("metadata.json") and "data/aotinductor/" in name):
            continue
        try:
            facts = json.loads(archive.read(name))
        except ValueError:
            continue
        if isinstance(facts, dict) and {"r_max", "type_names"} <= set(facts):
            return NotTorchScriptError(
                f"The model file {path} is a package that nequip-compile wrote for nequip's "
                f"calculators (elements {facts['type_names']}, cutoff {facts['r_max']} Å). Its "
                "model does not take the driver's arguments.",
                "Wrap nequip's model in a module that takes one of the driver's inputs (see the "
                "documentation), and compile that: "
                "`torchml-install model compile my_wrapper.py:Wrapper`.",
            )
    return NotTorchScriptError(
        f"The model file {path} lacks the description of its arguments and device.",
        "Compile the model with `torchml-install model compile`, which adds it.",
    )


# --- pickles --------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Found:
    """The contents of a pickle. modules: the top-level packages of all names in it."""

    value: Any
    modules: frozenset[str] = field(default_factory=frozenset)


class _StateDict(dict[Any, Any]):
    """A dictionary that accepts the attributes of torch's state dicts."""


class _Reader(tensors.Reader):
    """Like the reader of TorchScript's pickles; each class becomes a harmless object."""

    def __init__(self, stream: io.BytesIO) -> None:
        super().__init__(stream)
        self.modules: set[str] = set()

    def find_class(self, module: str, name: str) -> Any:
        self.modules.add(module.split(".")[0])
        if (module, name) == ("collections", "OrderedDict"):
            return _StateDict
        found = super().find_class(module, name)
        return tensors.stand_in(f"{module}.{name}") if found is tensors.nothing else found

    def persistent_load(self, pid: Any) -> Any:
        # Old files contain a module's source beside its class.
        return pid[1] if isinstance(pid, tuple) and pid[0] == "module" else pid


def _read(stream: io.BytesIO) -> _Found | None:
    """The next pickle of a stream; None if it cannot be understood."""
    reader = _Reader(stream)
    try:
        value = reader.load()
    except Exception:  # another program's pickle may fail in any way
        return None
    return _Found(value, frozenset(reader.modules))


def _pickled(path: Path, found: _Found | None) -> NotTorchScriptError:
    """The error for a state dict, a checkpoint or a pickled module: they contain no code."""
    value = None if found is None else found.value
    if isinstance(value, tensors.Module):
        assert found is not None
        return _module(path, value.class_name, found.modules)
    if isinstance(value, dict) and value:
        if all(isinstance(item, tensors.Tensor) for item in value.values()):
            return _state_dict(path)
        return _checkpoint(path, value)
    if value is None:
        return _state_dict(path)  # by far the most frequent
    return NotTorchScriptError(
        f"The model file {path} is a pickled {type(value).__name__} (torch.save or pickle), not a "
        "model."
    )


def _state_dict(path: Path) -> NotTorchScriptError:
    return NotTorchScriptError(
        f"The model file {path} is a state dict (torch.save): weights without the model's code.",
        "Convert it to TorchScript in Python: `model = YourModel(...)`, "
        f"`model.load_state_dict(torch.load('{path}', map_location='cpu'))`, "
        f"`torch.jit.script(model.eval()).save('{path.stem}_script.pt')` (with "
        "e3nn.util.jit.script for a model built on e3nn). Or compile it with "
        f"`torchml-install model compile FILE.py:YourModel --weights {path}`.",
    )


def _checkpoint(path: Path, value: dict[Any, Any]) -> NotTorchScriptError:
    keys = [str(key) for key in value]
    shown = ", ".join(keys[:6]) + (", ..." if len(keys) > 6 else "")
    weights = next(
        (
            key
            for key, item in value.items()
            if isinstance(item, dict) and any(isinstance(x, tensors.Tensor) for x in item.values())
        ),
        None,
    )
    load = f"torch.load('{path}', weights_only=False, map_location='cpu')"
    remedy = f"Load `{load}` in Python, build the model with its library"
    if weights is not None:
        remedy = (
            "Save only the weights in Python with "
            f"`torch.save({load}[{weights!r}], '{path.stem}_weights.pt')`, and compile the model "
            "with `torchml-install model compile FILE.py:YourModel --weights "
            f"{path.stem}_weights.pt`. Or build the model in Python"
        )
    return NotTorchScriptError(
        f"The model file {path} is a checkpoint, a pickled dictionary with {shown}. Its library "
        "can rebuild the model from it, but it does not contain the model's code.",
        f"{remedy} and save it as TorchScript: {SCRIPT_IT}.",
    )


def _module(path: Path, class_name: str, modules: frozenset[str]) -> NotTorchScriptError:
    module, _, name = class_name.rpartition(".")
    script = "e3nn.util.jit.script" if modules & _ON_E3NN else "torch.jit.script"
    load = f"model = torch.load('{path}', weights_only=False, map_location='cpu')"
    if module.split(".")[0] in _ON_E3NN:
        remedy = (
            f"Models of {module.split('.')[0]} take a dictionary. Load it with `{load}`, wrap it "
            "in a module that takes one of the driver's inputs (docs/models/e3nn.md has one for "
            "MACE, and one for SevenNet), and save that with "
            f"`{script}(wrapper.eval()).save('{path.stem}_script.pt')`. Or compile the wrapper "
            "with `torchml-install model compile my_wrapper.py:Wrapper`."
        )
    else:
        remedy = (
            f"Convert it to TorchScript in a Python that can import {module}: `{load}`, "
            f"`{script}(model.eval()).save('{path.stem}_script.pt')`"
            + (" (not torch.jit.script)." if modules & _ON_E3NN else ".")
        )
    return NotTorchScriptError(
        f"The model file {path} is a pickled module (torch.save): weights, and the name of their "
        f"class, {module}.{name}, without its code.",
        remedy,
    )
