"""Receipts: what was installed, from what, and when.

One JSON file per installed item in ``~/.local/share/torchml-install/receipts`` (XDG_DATA_HOME is
respected). Fields: ``schema`` (1), ``kind`` (driver, python-module, model), ``name``, ``files``
(what was put in place), ``made_from`` (sources and versions), ``installed_at`` (UTC).
A receipt is for people and for uninstalling: nothing breaks when it is deleted.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torchml_installer import __version__
from torchml_installer.console import warn
from torchml_installer.paths import data_folder


@dataclass(frozen=True)
class Receipt:
    """What was installed."""

    kind: str
    name: str
    files: Sequence[Path]
    made_from: Mapping[str, str]


def write(receipt: Receipt) -> Path | None:
    """Writes a receipt and returns its path.

    The item is already in place, so a receipt that cannot be written is a warning, not an error.
    """
    # The same name can be installed into several collections.
    places = "\n".join(map(str, receipt.files))
    digest = hashlib.sha256(places.encode()).hexdigest()[:12]
    path = data_folder() / "receipts" / f"{receipt.kind}-{receipt.name}-{digest}.json"
    now = datetime.datetime.now(datetime.timezone.utc)
    content = {
        "schema": 1,
        "kind": receipt.kind,
        "name": receipt.name,
        "files": [str(file) for file in receipt.files],
        "made_from": dict(receipt.made_from),
        "installer": __version__,
        "installed_at": now.isoformat(timespec="seconds"),
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        warn(f"the receipt {path} could not be written: {error.strerror}")
        return None
    return path
