"""What every report begins with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from . import page


def head(about: Mapping[str, Any], question: str) -> Iterator[str]:
    """The model's name and what is known of it and of the machine; about: see ``about.py``."""
    elements = about["elements"]
    yield f"<h1>{escape(about['model'])}</h1>"
    yield f'<p class="sub">{escape(question)}</p>'
    reach = about["influence_distance"]
    beyond = f", influence distance {reach:g} Å" if reach != about["cutoff"] else ""
    yield page.facts(
        {
            "elements": f"{', '.join(elements)}"
            + (f" ({len(elements)})" if len(elements) > 4 else ""),
            "cutoff": f"{about['cutoff']:g} Å{beyond}",
            "input": f"{about['convention']}, {about['input_type']}",
            "model file": f"{about['file']}, SHA-256 {about['sha256'][:16]}…",
            "driver": f"{about['driver']}, torch {about['torch']}, Python {about['python']}",
            "machine": f"{about['cpu']}, {about['cores']} cores, {about['system']}",
            "device": f"{about['device']}; threads: {about['threads']}",
            "date": about["date"],
            "command": about["command"],
        }
    )
