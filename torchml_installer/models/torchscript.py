"""Looks into a TorchScript file without importing torch.

A TorchScript file is a zip archive with one top folder, which holds the module's data
(``data.pkl``), its constants (``constants.pkl``) and its code as text (``code/``). torch.save
writes a zip archive too, but one without code.
"""

from __future__ import annotations

import pickletools
import re
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torchml_installer.errors import (
    ModelFileDamagedError,
    ModelFileMissingError,
    NotPermittedError,
    NotTorchScriptError,
)


@dataclass(frozen=True)
class Signature:
    """forward's arguments (without self) and its return type, as TorchScript writes them."""

    arguments: tuple[str, ...]
    returns: str


@dataclass(frozen=True)
class TorchScriptFile:
    """What is known of a model file; ``signature`` is None when its code could not be read."""

    path: Path
    size: int
    signature: Signature | None


def inspect(path: Path) -> TorchScriptFile:
    """Checks that a file is whole and is TorchScript.

    Raises ModelFileMissingError, NotPermittedError, ModelFileDamagedError, NotTorchScriptError.
    """
    try:
        size = path.stat().st_size
        if path.is_dir():
            raise ModelFileMissingError(f"{path} is a folder, not a model file.")
        with path.open("rb") as stream:
            beginning = stream.read(64)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ModelFileMissingError(f"There is no model file {path}.") from error
    except PermissionError as error:
        raise NotPermittedError(f"The model file {path} cannot be read.") from error
    if size == 0:
        raise ModelFileDamagedError(f"The model file {path} is empty.")
    if not beginning.startswith(b"PK\x03\x04"):
        raise NotTorchScriptError(f"The model file {path} is {_kind(beginning)}, not TorchScript.")
    try:
        with zipfile.ZipFile(path) as archive:
            return TorchScriptFile(path, size, _inspect_archive(path, archive))
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise ModelFileDamagedError(
            f"The model file {path} is truncated or damaged: {str(error).rstrip('.')}."
        ) from error


def _kind(beginning: bytes) -> str:
    """What a file that is no zip archive seems to be."""
    if beginning.startswith((b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")):
        return "a pickle (an old torch.save, or Python's own)"
    if beginning.startswith(b"\x89HDF"):
        return "an HDF5 file"
    if beginning.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer (run `git lfs pull`)"
    if b"\x00" not in beginning and all(byte >= 9 for byte in beginning):
        return "a text file"
    return "a file of an unknown kind"


def _inspect_archive(path: Path, archive: zipfile.ZipFile) -> Signature | None:
    names = archive.namelist()
    top = names[0].partition("/")[0] if names else ""
    has_code = any(name.startswith(f"{top}/code/") for name in names)
    if not has_code or f"{top}/constants.pkl" not in names:
        if any("/data/aotinductor/" in name for name in names):
            kind = "an AOTInductor package (.pt2), which this version does not take"
        elif f"{top}/data.pkl" in names:
            kind = "what torch.save wrote (a state dict or a pickled module), not TorchScript"
        else:
            kind = "a zip archive, but not TorchScript"
        raise NotTorchScriptError(f"The model file {path} is {kind}.")
    if (damaged := archive.testzip()) is not None:
        raise ModelFileDamagedError(f"The model file {path} is damaged: bad checksum of {damaged}.")
    return _signature(archive, top)


def _signature(archive: zipfile.ZipFile, top: str) -> Signature | None:
    """forward's signature, read from the text of the class that the archive's data names."""
    try:
        module, name = _top_class(archive.read(f"{top}/data.pkl"))
        code = archive.read(f"{top}/code/{module.replace('.', '/')}.py").decode()
    except (KeyError, ValueError):
        return None
    return parse_signature(code, name)


def _top_class(data: bytes) -> tuple[str, str]:
    """("__torch__.package.module", "Class") of a module's pickle; ValueError if there is none."""
    for opcode, argument, _position in pickletools.genops(data):
        if opcode.name == "GLOBAL" and isinstance(argument, str):
            module, _, name = argument.partition(" ")
            return module, name
    raise ValueError


def parse_signature(code: str, class_name: str) -> Signature | None:
    """The signature of ``class_name.forward`` in TorchScript's text, None if there is none."""
    head = re.search(rf"^class {re.escape(class_name)}\b.*$", code, re.MULTILINE)
    if head is None:
        return None
    body = code[head.end() :]
    if following := re.search(r"^class ", body, re.MULTILINE):
        body = body[: following.start()]
    start = re.search(r"^  def forward\(", body, re.MULTILINE)
    if start is None:
        return None
    arguments, after = _balanced(body[start.end() :])
    returns = re.match(r"\s*->\s*([^\n]*?):\s*\n", after)
    names = [argument.partition(":")[0].strip() for argument in arguments]
    return Signature(tuple(names[1:]), returns[1] if returns else "")


def _balanced(text: str) -> tuple[Sequence[str], str]:
    """Splits ``a: T, b: Dict[K, V]) -> R`` into its arguments and what follows the bracket."""
    depth = 0
    parts = [""]
    for index, character in enumerate(text):
        if character in "([":
            depth += 1
        elif character in ")]":
            if depth == 0:
                return [part for part in parts if part.strip()], text[index + 1 :]
            depth -= 1
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [], ""
