"""Writes a stand-in for a library with its older symbols only: symbols.s and symbols.map.

    python3 old_symbols.py LIBRARY LIMIT ...

LIMIT is the newest version of a family of symbols, such as GLIBCXX_3.4.24; other families are left
out. What is linked with the stand-in runs with any library that has these symbols.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

#: Section and type of the symbols that readelf calls so. Code that uses a thread's variables is
#: linked in another way than code that uses others.
_KINDS = {
    "TLS": ('.section .tbss,"awT",@nobits', "tls_object"),
    "OBJECT": (".data", "object"),
    "FUNC": (".text", "function"),
}


def family_and_number(version: str) -> tuple[str, tuple[int, ...]]:
    """("GLIBCXX", (3, 4, 24)); () for versions that are no numbers."""
    family, _, number = version.partition("_")
    parts = number.split(".")
    return family, tuple(map(int, parts)) if all(part.isdigit() for part in parts) else ()


def main(library: str, *limits: str) -> None:
    newest = dict(map(family_and_number, limits))
    command = ["readelf", "--dyn-syms", "--wide", library]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assembly: list[str] = []
    versions: dict[str, list[str]] = {}
    for line in listed.splitlines():
        words = line.split()
        if len(words) < 8 or words[6] == "UND" or "@@" not in words[7]:
            continue
        name, _, version = words[7].partition("@@")
        family, number = family_and_number(version)
        if not number or number > newest.get(family, ()):
            continue
        versions.setdefault(version, []).append(name)
        section, kind = _KINDS.get(words[3], _KINDS["FUNC"])
        size = max(int(words[2], 0), 1)
        room = 1 if kind == "function" else size
        assembly += [section, f".globl {name}", f".type {name},@{kind}", f".size {name},{size}"]
        assembly += [f"{name}:", f".zero {room}"]
    Path("symbols.s").write_text("\n".join(assembly) + "\n", "utf-8")
    ordered = sorted(versions, key=family_and_number)
    texts = [f"{one} {{ global: {'; '.join(versions[one])}; }};\n" for one in ordered]
    Path("symbols.map").write_text("".join(texts), "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
