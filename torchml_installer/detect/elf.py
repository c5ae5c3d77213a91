"""Reads the dependencies, run path and undefined symbols of a Linux program or library.

Reads only the tables that the loader uses (System V ABI, "Dynamic Section"; GNU's hash table): a
few pages, however large the file is. pyelftools takes a hundred times as long for the symbols of
torch's libraries, longer than all of ``doctor`` may take.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

_LOAD, _DYNAMIC = 1, 2
_NEEDED, _STRINGS, _SYMBOLS, _RPATH, _RUNPATH, _GNU_HASH = 1, 5, 6, 15, 29, 0x6FFFFEF5
_WEAK = 2
#: Exceptions for other kinds of files and damaged ones.
_UNREADABLE = (OSError, ValueError, LookupError, struct.error)


@dataclass(frozen=True)
class Facts:
    """needed: names of libraries; run_path: folders, with ``$ORIGIN`` filled in; run_path_first:
    whether they are searched before LD_LIBRARY_PATH; undefined: symbols that other libraries must
    define (without weak ones, which may stay undefined)."""

    needed: tuple[str, ...] = ()
    run_path: tuple[Path, ...] = ()
    run_path_first: bool = False
    undefined: tuple[str, ...] = ()


def facts(path: Path) -> Facts | None:
    """None for another kind of file (a script, another system's library) or an unreadable one."""
    try:
        with _opened(path) as tables:
            first, later = list(tables.texts(_RPATH)), list(tables.texts(_RUNPATH))
            folders = [part for text in (*first, *later) for part in text.split(":")]
            return Facts(
                tuple(tables.texts(_NEEDED)),
                tuple(_filled_in(part, path) for part in folders),
                bool(first) and not later,
                tuple(tables.undefined()),
            )
    except _UNREADABLE:
        return None


def missing(symbols: Iterable[str], libraries: Iterable[Path]) -> list[str]:
    """The symbols that none of the libraries defines, in their order.

    Empty if none of the libraries can be read: nothing is known then.
    """
    left, read = list(symbols), False
    for path in libraries:
        with contextlib.suppress(*_UNREADABLE), _opened(path) as tables:
            left = [symbol for symbol in left if not tables.defines(symbol.encode())]
            read = True
    return left if read else []


def defines(path: Path, symbol: str) -> bool:
    """Whether a library defines a symbol; False if it cannot be read."""
    with contextlib.suppress(*_UNREADABLE), _opened(path) as tables:
        return tables.defines(symbol.encode())
    return False


def run_path_place(path: Path) -> tuple[int, int]:
    """Where in a file its run path is: (offset, length in bytes).

    Raises ValueError if it has none, or is not a file of this kind.
    """
    try:
        with _opened(path) as tables:
            values = dict(tables.entries)
            offset = values.get(_RPATH, values.get(_RUNPATH))
            if offset is None:
                raise ValueError(f"{path} has no run path")
            start = tables.strings + offset
            return start, tables.data.find(b"\0", start) - start
    except (OSError, LookupError, struct.error) as error:
        raise ValueError(f"{path} is not a library for this system") from error


def _filled_in(folder: str, path: Path) -> Path:
    origin = os.fspath(path.resolve().parent)
    for word in ("${ORIGIN}", "$ORIGIN"):
        folder = folder.replace(word, origin)
    return Path(folder)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[_Tables]:
    with (
        path.open("rb") as stream,
        mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data,
    ):
        yield _Tables(data)


class _Tables:
    """The dynamic tables of a 64-bit little-endian file."""

    def __init__(self, data: mmap.mmap) -> None:
        if data[:6] != b"\x7fELF\x02\x01":
            raise ValueError("not a 64-bit little-endian ELF file")
        self.data = data
        (start,) = struct.unpack_from("<Q", data, 32)
        size, number = struct.unpack_from("<HH", data, 54)
        #: (address, size, offset in the file) of the segments that the loader maps.
        self.loaded: list[tuple[int, int, int]] = []
        dynamic = 0, 0
        for header in range(start, start + size * number, size):
            kind, _, offset, address, _, length = struct.unpack_from("<IIQQQQ", data, header)
            if kind == _LOAD:
                self.loaded.append((address, length, offset))
            elif kind == _DYNAMIC:
                dynamic = offset, length
        self.entries = [
            struct.unpack_from("<qQ", data, place) for place in range(dynamic[0], sum(dynamic), 16)
        ]
        values = dict(self.entries)
        self.strings = self._place(values[_STRINGS])
        self.symbols = self._place(values[_SYMBOLS])
        self.hash = self._place(values[_GNU_HASH])

    def texts(self, kind: int) -> Iterator[str]:
        """The values of all entries of that kind, which are strings."""
        for tag, value in self.entries:
            if tag == kind:
                yield os.fsdecode(self._text(value))

    def undefined(self) -> Iterator[str]:
        # Undefined symbols are not in the hash table, and precede all others.
        (first_hashed,) = struct.unpack_from("<I", self.data, self.hash + 4)
        for number in range(1, first_hashed):
            name, info, _, section = struct.unpack_from("<IBBH", self.data, self._symbol(number))
            if section == 0 and info >> 4 != _WEAK:
                yield self._text(name).decode(errors="replace")

    def defines(self, symbol: bytes) -> bool:
        value = 5381
        for byte in symbol:
            value = (value * 33 + byte) & 0xFFFFFFFF
        buckets, first, words, _ = struct.unpack_from("<IIII", self.data, self.hash)
        table = self.hash + 16 + 8 * words
        (number,) = struct.unpack_from("<I", self.data, table + 4 * (value % buckets))
        chains = table + 4 * buckets
        while number >= first:
            (entry,) = struct.unpack_from("<I", self.data, chains + 4 * (number - first))
            name, _, _, section = struct.unpack_from("<IBBH", self.data, self._symbol(number))
            if entry | 1 == value | 1 and section != 0 and self._text(name) == symbol:
                return True
            if entry & 1:
                break
            number += 1
        return False

    def _symbol(self, number: int) -> int:
        return self.symbols + 24 * number

    def _text(self, offset: int) -> bytes:
        start = self.strings + offset
        end = self.data.find(b"\0", start)
        if end < 0:
            raise LookupError(offset)
        return self.data[start:end]

    def _place(self, address: int) -> int:
        """The offset in the file of the data at that address."""
        for start, length, offset in self.loaded:
            if start <= address < start + length:
                return address - start + offset
        raise LookupError(address)
