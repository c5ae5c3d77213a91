"""Looks into a compiled model (``.pt2``) without importing torch.

It is a zip archive with one top folder. What the model takes and on what it runs stands in the
text ``extra/torchml.txt`` there, which ``model compile`` writes and the driver reads.
"""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from torchml_installer.errors import (
    ModelFileDamagedError,
    ModelFileMissingError,
    NotPermittedError,
    NotTorchScriptError,
)
from torchml_installer.models import foreign

SUFFIX = ".pt2"
_RECORD = "extra/torchml.txt"
_COMPILE_AGAIN = "Compile the model again with `torchml-install model compile`."
#: Of arguments.
_TYPES = ("float64", "float32", "float16", "bfloat16", "int64", "int32")


@dataclass(frozen=True)
class Argument:
    """An argument of forward. sizes: of each dimension, "*": any."""

    name: str
    dtype: str
    sizes: tuple[str, ...]


@dataclass(frozen=True)
class Package:
    """What a package says of itself.

    torch: the version it needs; device: cpu or cuda; machine: as ``uname -m`` says it;
    instructions: flags of /proc/cpuinfo that the code needs; capability: of the GPU, "" on a CPU;
    entries: what it can be asked for. atomic_numbers: whether it was compiled for species codes
    that are atomic numbers; None: that was not said.
    """

    path: Path
    size: int
    signature: tuple[Argument, ...]
    returns_forces: bool
    torch: str
    device: str
    machine: str = ""
    instructions: tuple[str, ...] = ()
    capability: str = ""
    entries: tuple[str, ...] = ()
    atomic_numbers: bool | None = None

    @property
    def arguments(self) -> tuple[str, ...]:
        return tuple(argument.name for argument in self.signature)


def inspect(path: Path) -> Package:
    """Checks that a file is whole, and reads what it is.

    Raises ModelFileMissingError, NotPermittedError, ModelFileDamagedError, NotTorchScriptError.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            name = next((name for name in archive.namelist() if name.endswith(_RECORD)), None)
            if name is None and (problem := foreign.of_archive(path, archive)) is not None:
                raise problem
            foreign.check_names(path, archive.namelist())
            if name is None:
                raise NotTorchScriptError(
                    f"The model file {path} does not say what its model takes and on what it runs.",
                    "Compile it with `torchml-install model compile`, which adds that.",
                )
            if (damaged := archive.testzip()) is not None:
                raise ModelFileDamagedError(
                    f"The model file {path} is damaged: bad checksum of {damaged}."
                )
            text = archive.read(name).decode()
        size = path.stat().st_size
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise ModelFileMissingError(f"There is no model file {path}.") from error
    except PermissionError as error:
        raise NotPermittedError(f"The model file {path} cannot be read.") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError) as error:
        raise ModelFileDamagedError(
            f"The model file {path} is no compiled model, or is truncated or damaged: "
            f"{str(error).rstrip('.')}."
        ) from error
    return _parse(text, path, size)


def _parse(text: str, path: Path, size: int) -> Package:
    """Reads what is shown, and as strictly as the engine (package.cpp): tests/support/packages.py
    has what both have to take and to refuse."""
    lines = text.splitlines()
    if not lines or lines[0] not in ("torchml-package 1", "torchml-package 3"):
        raise NotTorchScriptError(
            f"The model file {path} was written by another version of torchml-install.",
            _COMPILE_AGAIN,
        )
    facts = [words for line in lines[1:] if (words := line.split())]
    single = {words[0]: words[1] for words in facts if len(words) > 1}
    signature = tuple(_argument(words, path) for words in facts if words[0] == "argument")
    returns_forces = any(words[0] == "forces" for words in facts)
    entries = tuple(words[1] for words in facts if words[0] == "entry" and len(words) > 1)
    whole = "energies_and_forces" if returns_forces else "energies_and_gradient"
    if not signature or whole not in entries or not (returns_forces or "gradient" in single):
        raise ModelFileDamagedError(
            f"The model file {path} does not say what its model takes and returns.",
            _COMPILE_AGAIN,
        )
    return Package(
        path=path,
        size=size,
        signature=signature,
        returns_forces=returns_forces,
        torch=single.get("torch", ""),
        device=single.get("device", ""),
        machine=single.get("machine", ""),
        instructions=tuple(
            word for words in facts if words[0] == "instructions" for word in words[1:]
        ),
        capability=single.get("capability", ""),
        entries=entries,
        atomic_numbers=True if single.get("species") == "atomic_numbers" else None,
    )


def _argument(words: list[str], path: Path) -> Argument:
    """Of ``argument NAME TYPE SIZE...``"""
    sizes = tuple(words[3:])
    known = len(words) > 2 and words[2] in _TYPES
    if not known or not all(size == "*" or _is_size(size) for size in sizes):
        raise ModelFileDamagedError(
            f"The model file {path} describes itself wrongly: '{' '.join(words)}'.",
            _COMPILE_AGAIN,
        )
    return Argument(words[1], words[2], sizes)


def _is_size(text: str) -> bool:
    return text.isascii() and text.isdigit() and int(text) < 1 << 63
