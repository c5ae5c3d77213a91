"""Repacks a conda package without traces of when and where it was built.

rattler-build writes the following into a package: the time of the build; the name of its folder,
which contains the time, as the placeholder for the prefix; the folder of the wheel that pip
installed; byte code with the name of a temporary folder; and dependencies in arbitrary order. This
module replaces the placeholder by another one of the same length, which conda still finds
(info/paths.json), and leaves out byte code, which Python recreates.
https://docs.conda.io/projects/conda-build/en/latest/resources/package-spec.html
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import tarfile
import zipfile
from pathlib import Path

import zstandard

#: A fixed name for the build's environment, padded to the length of the real one.
_PREFIX = "/opt/torchml-release/"
#: What rattler-build records about the build itself: its folders, time and channels.
_DIARY = "info/recipe/"
_PLACE_OF_WHEEL = ".dist-info/direct_url.json"

#: Members of an archive, by name.
Members = dict[str, tuple[tarfile.TarInfo, bytes]]


def placeholder(length: int) -> str:
    return (_PREFIX + "placehold_" * (length // 10 + 1))[:length]


def _read(archive: zipfile.ZipFile, part: str) -> Members:
    """The members of ``pkg-*.tar.zst`` or ``info-*.tar.zst``, by name."""
    (name,) = (name for name in archive.namelist() if name.startswith(f"{part}-"))
    unpacked = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(archive.read(name))).read()
    members = {}
    with tarfile.open(fileobj=io.BytesIO(unpacked)) as tar:
        for member in tar:
            file = tar.extractfile(member) if member.isreg() else None
            members[member.name] = (member, file.read() if file else b"")
    return members


def _write(members: Members, epoch: int) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in sorted(members):
            old, contents = members[name]
            if old.isdir():
                continue
            member = tarfile.TarInfo(name)
            member.type, member.linkname = old.type, old.linkname
            member.mode = 0o755 if old.mode & 0o100 else 0o644
            member.mtime, member.size = epoch, len(contents)
            tar.addfile(member, io.BytesIO(contents))
    return zstandard.ZstdCompressor(level=19).compress(packed.getvalue())


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=2, sort_keys=True) + "\n").encode()


def _replace_placeholders(package: Members, entries: list[dict[str, object]]) -> None:
    for entry in entries:
        if old := entry.get("prefix_placeholder"):
            new = placeholder(len(str(old)))
            member, contents = package[str(entry["_path"])]
            package[member.name] = (member, contents.replace(str(old).encode(), new.encode()))
            entry["prefix_placeholder"] = new


def _rewrite_records(package: Members) -> None:
    """Updates pip's lists of files to the files that the package now has."""
    for name in [name for name in package if name.endswith(".dist-info/RECORD")]:
        site = name.rsplit("/", 2)[0]
        rows = []
        for row in package[name][1].decode().splitlines():
            listed, _, rest = row.partition(",")
            path = f"{site}/{listed}"
            if rest.startswith("sha256=") and path in package:
                contents = package[path][1]
                digest = base64.urlsafe_b64encode(hashlib.sha256(contents).digest()).decode()
                rest = f"sha256={digest.rstrip('=')},{len(contents)}"
            if path in package or listed.startswith(".."):
                rows.append(f"{listed},{rest}")
        package[name] = (package[name][0], "".join(f"{row}\n" for row in sorted(rows)).encode())


def repack(path: Path, epoch: int) -> None:
    """Replaces a ``.conda`` file by one that depends only on the contents of its files."""
    with zipfile.ZipFile(path) as archive:
        info, package = _read(archive, "info"), _read(archive, "pkg")
        metadata = archive.read("metadata.json")
    info = {name: info[name] for name in info if not name.startswith(_DIARY)}
    package = {
        name: package[name] for name in package if not name.endswith((".pyc", _PLACE_OF_WHEEL))
    }
    documents = {
        name: json.loads(info[name][1])
        for name in ("info/index.json", "info/about.json", "info/paths.json")
    }
    documents["info/index.json"]["timestamp"] = epoch * 1000
    for kind in ("depends", "constrains"):
        documents["info/index.json"][kind] = sorted(documents["info/index.json"].get(kind, []))
    documents["info/about.json"]["channels"] = []
    entries = [e for e in documents["info/paths.json"]["paths"] if e["_path"] in package]
    _replace_placeholders(package, entries)
    _rewrite_records(package)
    for entry in entries:
        member, contents = package[entry["_path"]]
        if member.isreg():
            entry["sha256"] = hashlib.sha256(contents).hexdigest()
            entry["size_in_bytes"] = len(contents)
    documents["info/paths.json"]["paths"] = sorted(entries, key=lambda entry: str(entry["_path"]))
    for name, document in documents.items():
        info[name] = (info[name][0], _json(document))

    parts = {
        "metadata.json": metadata,
        f"pkg-{path.stem}.tar.zst": _write(package, epoch),
        f"info-{path.stem}.tar.zst": _write(info, epoch),
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, contents in parts.items():
            part = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            part.external_attr = 0o644 << 16
            archive.writestr(part, contents)
    path.chmod(0o644)
