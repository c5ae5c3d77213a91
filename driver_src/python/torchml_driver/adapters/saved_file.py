"""Tells what is in a file of torch without running anything from it."""

from __future__ import annotations

import hashlib
import io
import pickletools
import zipfile
from dataclasses import dataclass
from pathlib import Path

#: Bytes of a pickle: those of models name their classes early, and weights are not in it.
_LONGEST = 64 << 20


@dataclass(frozen=True)
class SavedFile:
    """A model file.

    path: the file. names: of the members of an archive, without its top folder; empty for a plain
    pickle. classes: "module.name" of everything that its pickles would import. strings: those in
    its pickles, such as the keys of dictionaries.
    """

    path: Path
    names: frozenset[str]
    classes: frozenset[str]
    strings: frozenset[str]

    def needs(self, package: str) -> bool:
        """Whether its pickles would import something from a package."""
        return any(name.split(".", 1)[0] == package for name in self.classes)


def read(path: Path) -> SavedFile:
    """Reads what there is to read; a file of another kind has nothing in it.

    Raises:
        OSError: if it cannot be read.
    """
    names: set[str] = set()
    pickles: list[bytes] = []
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                top, _, rest = info.filename.partition("/")
                names.add(rest or top)
                if info.filename.endswith(".pkl") and info.file_size <= _LONGEST:
                    pickles.append(archive.read(info))
    else:
        with path.open("rb") as file:
            pickles.append(file.read(_LONGEST))
    classes: set[str] = set()
    strings: set[str] = set()
    for data in pickles:
        _read_pickle(data, classes, strings)
    return SavedFile(path, frozenset(names), frozenset(classes), frozenset(strings))


def digest(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            found.update(block)
    return found.hexdigest()


def _read_pickle(data: bytes, classes: set[str], strings: set[str]) -> None:
    stream = io.BytesIO(data)
    before: list[str] = []  # the last strings: STACK_GLOBAL takes two of them
    while stream.tell() < len(data):  # files of old torch have several pickles, one after the other
        try:
            for code, argument, _ in pickletools.genops(stream):
                if code.name == "GLOBAL":
                    classes.add(str(argument).replace(" ", "."))
                elif code.name == "STACK_GLOBAL" and len(before) == 2:
                    classes.add(".".join(before))
                elif isinstance(argument, str):
                    strings.add(argument)
                    before = [*before[-1:], argument]
        except Exception:  # no pickle, or its end: genops raises whatever it meets
            return
