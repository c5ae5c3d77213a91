"""Reads a compiled model (``.pt2``) without importing torch.

It is a zip archive with one top folder. ``model compile`` describes the model's arguments and
requirements in the text file ``extra/torchml.txt`` there, which the driver reads.
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
#: The types of arguments.
_TYPES = ("float64", "float32", "float16", "bfloat16", "int64", "int32")


@dataclass(frozen=True)
class Argument:
    """An argument of forward. sizes: of each dimension; "*": any size."""

    name: str
    dtype: str
    sizes: tuple[str, ...]


@dataclass(frozen=True)
class Package:
    """A package's description.

    torch: the version it needs; device: cpu or cuda; machine: from ``uname -m``; instructions: the
    flags of /proc/cpuinfo that its code needs; capability: of the GPU, "" for a CPU; entries: what
    it can compute. atomic_numbers: True if it was compiled for atomic numbers as species codes;
    None: not recorded.
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
    """Checks that a file is complete, and reads its description.

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
                    f"The model file {path} lacks the description of its arguments and device.",
                    "Compile the model with `torchml-install model compile`, which adds it.",
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
        raise NotPermittedError(f"You may not read the model file {path}.") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError) as error:
        raise ModelFileDamagedError(
            f"The model file {path} is not a compiled model, or is truncated or damaged: "
            f"{str(error).rstrip('.')}."
        ) from error
    return _parse(text, path, size)


def _parse(text: str, path: Path, size: int) -> Package:
    """Reads the description as strictly as the engine (package.cpp): tests/support/packages.py
    lists what both must accept and refuse."""
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
            f"The model file {path} lacks its arguments or results.",
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
    """Parses ``argument NAME TYPE SIZE...``."""
    sizes = tuple(words[3:])
    known = len(words) > 2 and words[2] in _TYPES
    if not known or not all(size == "*" or _is_size(size) for size in sizes):
        raise ModelFileDamagedError(
            f"The model file {path} has an invalid line in its description: '{' '.join(words)}'.",
            _COMPILE_AGAIN,
        )
    return Argument(words[1], words[2], sizes)


def _is_size(text: str) -> bool:
    return text.isascii() and text.isdigit() and int(text) < 1 << 63
