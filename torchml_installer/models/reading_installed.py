"""Extracts the files of an installed KIM model, which KIM's build embeds in a shared library.

``python -m torchml_installer.models.reading_installed LIBRARY FOLDER`` writes them into the folder
and prints the library's description as JSON. Opening a library runs its code: this happens in a
separate process, and only for libraries that KIM would open as well.
"""

from __future__ import annotations

import base64
import ctypes
import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from torchml_installer.errors import NotAModelFolderError
from torchml_installer.support.kim_items import InstalledItem, ItemKind

_BASE64 = re.compile(rb"[A-Za-z0-9+/]*={0,2}")
LIBRARY = ItemKind.MODEL.library


class _File(ctypes.Structure):
    """EmbeddedFile of KIM_SharedLibrarySchema.hpp."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("length", ctypes.c_uint),
        ("data", ctypes.POINTER(ctypes.c_ubyte)),
    )


class _Schema(ctypes.Structure):
    """SharedLibrarySchemaV2 of KIM_SharedLibrarySchema.hpp."""

    _fields_ = (
        ("item_type", ctypes.c_int),
        ("name", ctypes.c_char_p),
        ("language", ctypes.c_int),
        ("create", ctypes.c_void_p),
        ("driver", ctypes.c_char_p),
        ("specification", ctypes.POINTER(_File)),
        ("n_parameter_files", ctypes.c_int),
        ("parameter_files", ctypes.POINTER(_File)),
        ("n_metadata_files", ctypes.c_int),
        ("metadata_files", ctypes.POINTER(_File)),
    )


@dataclass(frozen=True)
class Unpacked:
    """An installed model's driver ("" if it has none), and its parameter files."""

    driver: str
    files: tuple[Path, ...]


def unpack(item: InstalledItem, folder: Path) -> Unpacked:
    """Writes the model's parameter files into ``folder``.

    Raises NotAModelFolderError if its library cannot be opened or belongs to another KIM-API.
    """
    place = item.folder / item.name
    library = next(iter(sorted(place.glob("libkim-api-portable-model.*"))), place / LIBRARY)
    done = subprocess.run(
        [sys.executable, "-m", __name__, str(library), str(folder)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise NotAModelFolderError(
            f"The installed model {item.name} in {item.folder} cannot be opened: {lines[-1]}.",
            "Install it again with `torchml-install model install FOLDER --force`.",
        )
    said = json.loads(done.stdout)
    return Unpacked(said["driver"], tuple(folder / name for name in said["files"]))


def _is_base64(data: bytes) -> bool:
    """Whether a file is encoded, as in KIM-API 2.4 and newer. Libraries of 2.3 have the same schema
    but plain files: a model's parameter file has several lines, while base64 has one."""
    return len(data) % 4 == 0 and _BASE64.fullmatch(data) is not None


def _write_files(library: Path, folder: Path) -> dict[str, object]:
    opened = ctypes.CDLL(str(library))
    version = ctypes.c_int.in_dll(opened, "kim_shared_library_schema_version").value
    if version != 2:
        raise ValueError(f"its schema is {version}, not 2")
    schema = _Schema.in_dll(opened, "kim_shared_library_schema")
    names = []
    found = [schema.parameter_files[index] for index in range(schema.n_parameter_files)]
    contents = [ctypes.string_at(file.data, file.length) for file in found]
    if all(map(_is_base64, contents)):
        contents = [base64.b64decode(data) for data in contents]
    for file, data in zip(found, contents, strict=True):
        name = Path((file.name or b"").decode()).name
        (folder / name).write_bytes(data)
        names.append(name)
    return {"driver": (schema.driver or b"").decode(), "files": names}


if __name__ == "__main__":
    try:
        print(json.dumps(_write_files(Path(sys.argv[1]), Path(sys.argv[2]))))
    except (OSError, ValueError) as error:
        sys.exit(str(error))
