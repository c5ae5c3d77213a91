"""The file in a model's folder that says from which library's model it was made, and how exactly
it gives that library's results. ``model pack --from`` writes it; KIM does not install it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

RECORD = "library.json"


def read(folder: Path) -> dict[str, Any] | None:
    """The record in a folder; None if there is none.

    Raises ValueError if it is not what ``model pack --from`` writes.
    """
    try:
        text = (folder / RECORD).read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    record = json.loads(text)
    if not isinstance(record, dict) or record.get("schema") != 1:
        raise ValueError("it is of another version")
    lines(record)  # what is missing shows here
    return record


def lines(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """For people: names and values. Raises ValueError if something is missing."""
    try:
        settings = "".join(f", {name}={value}" for name, value in record["options"].items())
        origin = f"{record['source']}{settings}, by {record['title']} {record['version']}"
        shown = [("made from", f"{origin} with torch {record['torch']}")]
        shown += [("", f"{name} {value}") for name, value in record["facts"].items()]
        differences = []
        for row in record["comparison"]:
            size = "fails" if row["relative"] is None else f"{row['relative']:.1e}"
            differences.append(f"{row['system']} {size}")
        shown.append(
            (
                "differences",
                f"up to {record['largest_difference']:.1e} from {record['title']}'s own calculator"
                f" ({record['tolerance']:.0e} is rounding): {', '.join(differences)}",
            )
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"it lacks {error}") from error
    return shown
