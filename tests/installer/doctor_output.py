"""What ``doctor --json`` prints, held against the schema that it documents."""

from __future__ import annotations

import json
import re
import sys
from typing import Any

import pytest

from torchml_installer.doctor import diagnosis as doctor


def require_documented(answer: dict[str, Any]) -> None:
    """That an answer is as ``doctor --schema`` says, and holds nothing that this leaves out."""
    schema = json.loads(doctor.schema())
    with pytest.MonkeyPatch.context() as patch:
        # Checks international addresses, of which the schema has none; importing it takes seconds.
        patch.setitem(sys.modules, "rfc3987_syntax", None)
        jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(answer, schema, cls=jsonschema.Draft202012Validator)
    parts = {name: set(part["properties"]) for name, part in schema["$defs"].items()}
    assert set(answer) == set(schema["properties"])
    for finding in answer["findings"]:
        assert set(finding) == parts["finding"]
        assert all(set(place) == parts["place"] for place in finding["looked"])
        assert finding["usable"] or finding["next_step"]
        named = schema["$defs"]["finding"]["properties"]["name"]["description"]
        assert re.search(rf"[ ,]{finding['name']}[,.]", named), finding["name"]
    for problem in answer["known_problems"]:
        assert set(problem) == parts["known_problem"]
