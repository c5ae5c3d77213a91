"""What ``torchml-install doctor --json`` prints, from its JSON Schema."""

from __future__ import annotations

import json
from typing import Any

from .text import ROOT, escaped, table

SCHEMA = ROOT / "torchml_installer/doctor/schema.json"


def schema() -> dict[str, Any]:
    return dict(json.loads(SCHEMA.read_text(encoding="utf-8")))


def markdown() -> str:
    whole = schema()
    number = whole["properties"]["schema"]["const"]
    parts = [
        f"The schema's number is {number}. {escaped(whole['description'])}\n",
        "## The report\n",
        _fields(whole),
    ]
    for name, part in whole["$defs"].items():
        parts += [f"({_anchor(name)})=\n## {name.replace('_', ' ').capitalize()}\n", _fields(part)]
    return "\n".join(parts)


def _fields(part: dict[str, Any]) -> str:
    return table(
        ("field", "type", "meaning"),
        [
            (f"`{name}`", _type(field), escaped(field.get("description", "")))
            for name, field in part["properties"].items()
        ],
    )


def _type(field: dict[str, Any]) -> str:
    """In words: "list of findings", "text or null"."""
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        return f"[{name.replace('_', ' ')}](#{_anchor(name)})"
    if "const" in field:
        return f"always {field['const']}"
    kinds = field["type"] if isinstance(field["type"], list) else [field["type"]]
    if kinds == ["array"]:
        return f"list of {_type(field['items'])}"
    if kinds == ["object"]:
        return "object of strings"
    return " or ".join(kinds)


def _anchor(name: str) -> str:
    return f"doctor-{name.replace('_', '-')}"
