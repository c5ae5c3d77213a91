"""Reads a TorchScript file without importing torch.

A TorchScript file is a zip archive with one top folder, which contains the module's data
(``data.pkl``), its constants (``constants.pkl``) and its code as text (``code/``). torch.save also
writes a zip archive, but without code.
"""

from __future__ import annotations

import pickletools
import re
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torchml_installer.errors import (
    ModelFileDamagedError,
    ModelFileMissingError,
    NotPermittedError,
    NotTorchScriptError,
    WrongForwardError,
)
from torchml_installer.models import foreign, tensors
from torchml_installer.models.operators import Operator, called, foreign_classes
from torchml_installer.support import files

#: The newest file format that the newest torch reads (caffe2/serialize/versions.h).
NEWEST_FORMAT = 10
#: Bytes. The pickles name tensors without their contents: tens of bytes for each.
_LARGEST_PICKLE = 64 << 20


@dataclass(frozen=True)
class Signature:
    """forward's arguments (without self) and its return type, as TorchScript writes them."""

    arguments: tuple[str, ...]
    returns: str


@dataclass(frozen=True)
class TorchScriptFile:
    """Facts about a model file; ``signature`` is None if its code could not be read.

    format_version: the file's; it rises when older releases of torch cannot read a file.
    contents: numbers of parameters, None if unknown. devices: those written into its code, such as
    cuda:0, which it uses even after it is moved elsewhere. classes: those that C++ libraries other
    than torch define (torch::class_). carried: the libraries that the file brings for them.
    """

    path: Path
    size: int
    signature: Signature | None
    format_version: int | None = None
    contents: tensors.Contents | None = None
    operators: tuple[Operator, ...] = ()
    devices: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    carried: tuple[str, ...] = ()

    def newer(self) -> WrongForwardError | None:
        """The problem of a file from a torch that is newer than all tested ones."""
        if self.format_version is None or self.format_version <= NEWEST_FORMAT:
            return None
        return WrongForwardError(
            f"{self.path} has format {self.format_version}, from a newer torch than any tested "
            f"with this driver (they read formats up to {NEWEST_FORMAT}).",
            "Save it with an older torch, or build the driver with the torch that wrote it.",
        )

    def notes(self) -> list[str]:
        """Sentences about devices and libraries that the model depends on."""
        said = []
        elsewhere = [device for device in self.devices if device != "cpu"]
        if elsewhere:
            said.append(
                f"The model's code names the device {', '.join(elsewhere)}, so the model runs only "
                f"there (KIM_MODEL_EXECUTION_DEVICE={elsewhere[0].partition(':')[0]}). To run it "
                "anywhere, create tensors with device=coords.device and save it again."
            )
        if self.classes and not self.carried:
            said.append(
                f"The model has objects of the classes {', '.join(self.classes)}, which a C++ "
                "library defines. To run it, set KIM_MODEL_TORCH_EXTENSIONS to that library."
            )
        return said


def inspect(path: Path) -> TorchScriptFile:
    """Checks that a file is complete TorchScript.

    Raises ModelFileMissingError, NotPermittedError, ModelFileDamagedError, NotTorchScriptError.
    """
    try:
        size = path.stat().st_size
        if path.is_dir():
            raise ModelFileMissingError(f"{path} is a folder, not a model file.")
        if files.waits(path):
            raise ModelFileMissingError(f"{path} is a pipe or a device, not a model file.")
        with path.open("rb") as stream:
            beginning = stream.read(64)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ModelFileMissingError(f"There is no model file {path}.") from error
    except PermissionError as error:
        raise NotPermittedError(f"You may not read the model file {path}.") from error
    if size == 0:
        raise ModelFileDamagedError(f"The model file {path} is empty.")
    if not beginning.startswith(b"PK\x03\x04"):
        if beginning.startswith(foreign.PICKLE_BEGINNINGS):
            raise foreign.of_pickle(path)
        raise NotTorchScriptError(f"The model file {path} is {_kind(beginning)}, not TorchScript.")
    try:
        with zipfile.ZipFile(path) as archive:
            return _inspect_archive(path, size, archive)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise ModelFileDamagedError(
            f"The model file {path} is truncated or damaged: {str(error).rstrip('.')}."
        ) from error


def _kind(beginning: bytes) -> str:
    """The apparent kind of a file that is not a zip archive."""
    if beginning.startswith(b"\x89HDF"):
        return "an HDF5 file"
    if beginning.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer (run `git lfs pull`)"
    if b"\x00" not in beginning and all(byte >= 9 for byte in beginning):
        return "a text file"
    return "a file of unknown type"


def _inspect_archive(path: Path, size: int, archive: zipfile.ZipFile) -> TorchScriptFile:
    names = archive.namelist()
    top = names[0].partition("/")[0] if names else ""
    has_code = any(name.startswith(f"{top}/code/") for name in names)
    if not has_code or f"{top}/constants.pkl" not in names:
        if (problem := foreign.of_archive(path, archive)) is not None:
            raise problem
        raise NotTorchScriptError(f"The model file {path} is a zip archive, but not TorchScript.")
    foreign.check_names(path, names)
    if (damaged := archive.testzip()) is not None:
        raise ModelFileDamagedError(f"The model file {path} is damaged: bad checksum of {damaged}.")
    codes = {
        name.removeprefix(f"{top}/code/").removesuffix(".py").replace("/", "."): archive.read(
            name
        ).decode(errors="replace")
        for name in names
        if name.startswith(f"{top}/code/") and name.endswith(".py")
    }
    return TorchScriptFile(
        path,
        size,
        _signature(archive, top),
        _format_version(archive, top),
        _contents(archive, top, codes),
        called(codes.values()),
        _devices(codes.values()),
        foreign_classes(codes.values()),
        _carried(archive, top),
    )


def _devices(codes: Iterable[str]) -> tuple[str, ...]:
    found: set[str] = set()
    for code in codes:
        found.update(re.findall(r'\btorch\.device\("([^"]+)"', code))
        if re.search(r"[^.\w]torch\.cuda\(", code):
            found.add("cuda")
    return tuple(sorted(found))


def _format_version(archive: zipfile.ZipFile, top: str) -> int | None:
    for name in (f"{top}/version", f"{top}/.data/version"):
        try:
            return int(archive.read(name))
        except (KeyError, ValueError):
            continue
    return None


def _carried(archive: zipfile.ZipFile, top: str) -> tuple[str, ...]:
    """The libraries that the driver opens before it reads the file, which it brings itself."""
    try:
        lines = archive.read(f"{top}/extra/torchml/libraries.txt").decode().splitlines()
    except KeyError:
        return ()
    return tuple(line.partition(" ")[2] for line in lines if line.startswith("library "))


def _contents(
    archive: zipfile.ZipFile, top: str, codes: Mapping[str, str]
) -> tensors.Contents | None:
    records = [f"{top}/data.pkl", f"{top}/constants.pkl"]
    if any(archive.getinfo(name).file_size > _LARGEST_PICKLE for name in records):
        return None
    return tensors.contents(archive.read(records[0]), archive.read(records[1]), codes)


def _signature(archive: zipfile.ZipFile, top: str) -> Signature | None:
    """forward's signature, from the code of the class that the archive's data names."""
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
    """The signature of ``class_name.forward`` in TorchScript code, None if there is none."""
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
