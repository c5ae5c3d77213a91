"""Receipts: what was installed, from what, and when.

One JSON file per installed item in ``~/.local/share/torchml-install/receipts`` (XDG_DATA_HOME is
respected). Fields: ``schema`` (1), ``kind`` (driver, python-module, model, library,
python-packages), ``name``, ``files`` (installed files and folders), ``sha256`` (of the files, by
path), ``packages`` (for python-packages: name → version, as pip installed them), ``made_from``
(sources and versions), ``installed_at`` (UTC). Receipts serve people and uninstalling: nothing
breaks without them.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torchml_installer import __version__
from torchml_installer.support import files
from torchml_installer.support.console import warn
from torchml_installer.support.paths import data_folder

#: The suffix of a note about the state before an installation that has no receipt yet.
_PENDING = ".pending"


@dataclass(frozen=True)
class Receipt:
    """What was installed.

    digests: sha256 of each file in ``files``, added by ``write``. packages: what pip installed,
    name → version. path: the receipt's own; None until it is written.
    """

    kind: str
    name: str
    files: Sequence[Path]
    made_from: Mapping[str, str]
    digests: Mapping[Path, str] = field(default_factory=dict)
    packages: Mapping[str, str] = field(default_factory=dict)
    installed_at: str = ""
    path: Path | None = None


def sha256(file: Path) -> str:
    """The SHA-256 of a file's contents, in hexadecimal digits."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def write(receipt: Receipt) -> Path | None:
    """Writes a receipt and returns its path.

    The item is already installed: a receipt that cannot be written is a warning, not an error.
    """
    path = _path(receipt)
    now = datetime.datetime.now(datetime.timezone.utc)
    try:
        content = {
            "schema": 1,
            "kind": receipt.kind,
            "name": receipt.name,
            "files": [str(file) for file in receipt.files],
            "sha256": {str(file): sha256(file) for file in receipt.files if file.is_file()},
            "packages": dict(receipt.packages),
            "made_from": dict(receipt.made_from),
            "installer": __version__,
            "installed_at": now.isoformat(timespec="seconds"),
        }
        _write(path, content)
    except OSError as error:
        warn(f"cannot write the receipt {path}: {error.strerror}")
        return None
    return path


def write_if_missing(receipt: Receipt) -> None:
    """Writes a receipt for an installed item if a killed run did not write one."""
    if not _path(receipt).exists():
        write(receipt)


def read_all() -> list[Receipt]:
    """All receipts, by kind and name; warns of one that cannot be read."""
    found = []
    for path in sorted(_folder().glob("*.json")):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            packages = content.get("packages", {})
            receipt = Receipt(
                kind=str(content["kind"]),
                name=str(content["name"]),
                files=tuple(Path(file) for file in content["files"]),
                made_from={str(key): str(value) for key, value in content["made_from"].items()},
                digests={Path(key): str(value) for key, value in content.get("sha256", {}).items()},
                packages={str(key): str(value) for key, value in packages.items()},
                installed_at=str(content["installed_at"]),
                path=path,
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            warn(f"skipping the receipt {path}, which cannot be read: {error}")
            continue
        found.append(receipt)
    return found


def library_roots(name: str) -> list[Path]:
    """Where libraries of that name were installed, the latest first.

    For detection: silently skips receipts that cannot be read.
    """
    found = []
    for path in files.matching(_folder(), f"library-{name}-*.json"):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            found.append((str(content["installed_at"]), Path(content["files"][0])))
        except (OSError, ValueError, LookupError, TypeError):
            continue
    return [root for _, root in sorted(found, reverse=True)]


def made_from(kind: str, name: str, files_there: Path) -> dict[str, str]:
    """What the item with these files was made from; empty if no receipt lists them.

    For detection: files that something else has installed since do not match the receipt.
    """
    for path in files.matching(_folder(), f"{kind}-{name}-*.json"):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            digests = {Path(file): digest for file, digest in content["sha256"].items()}
            if any(not file.is_relative_to(files_there) for file in digests):
                continue
            if digests and all(sha256(file) == digest for file, digest in digests.items()):
                return {str(key): str(value) for key, value in content["made_from"].items()}
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            continue
    return {}


def pending(kind: str, python: str) -> Path:
    """The note about a Python's packages before an installation."""
    digest = hashlib.sha256(python.encode(errors="surrogateescape")).hexdigest()[:12]
    return _folder() / f"{kind}-{digest}{_PENDING}"


def all_pending(kind: str) -> list[Path]:
    """The notes of installations that are running or were killed."""
    return files.matching(_folder(), f"{kind}-*{_PENDING}")


def write_pending(path: Path, begun: Mapping[str, Any]) -> None:
    """Writes a note, or silently fails: the receipt will warn about it."""
    with contextlib.suppress(OSError):
        _write(path, begun)


def read_pending(path: Path) -> dict[str, Any]:
    """The note; empty if it is missing or unreadable."""
    try:
        begun = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return begun if isinstance(begun, dict) else {}


def remove_pending(path: Path) -> None:
    """Removes the note, if there is one."""
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
        path.parent.rmdir()  # once empty


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    partial.replace(path)


def _path(receipt: Receipt) -> Path:
    # A name can be installed into several collections, and packages into several Pythons.
    places = "\n".join(map(str, receipt.files)) or receipt.made_from.get("python", "")
    digest = hashlib.sha256(places.encode(errors="surrogateescape")).hexdigest()[:12]
    return _folder() / f"{receipt.kind}-{receipt.name}-{digest}.json"


def _folder() -> Path:
    return data_folder() / "receipts"
