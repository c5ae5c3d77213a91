"""Includes point down only: from what is built on others to what others are built on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support import ROOT

SOURCES = ROOT / "driver_src/src"

#: From the bottom up; what stands in one line does not know of each other. What loads or makes one
#: of several kinds (load.cpp, make.cpp) stands above them.
LAYERS = (
    ("base",),
    ("process",),
    ("torch_ops", "descriptors"),
    ("runtime", "inputs"),
    ("runtime/memory",),
    ("runtime/torchscript", "runtime/compiled"),
    ("runtime/load", "inputs/make"),
    ("engine",),
    ("kim",),
)


def layer(file: str) -> str:
    """The layer of a source, such as runtime/compiled of runtime/compiled/plan.hpp."""
    parts = Path(file).with_suffix("").parts
    names = ("/".join(parts[:2]), parts[0])
    return next(name for name in names if any(name in together for together in LAYERS))


def height(name: str) -> int:
    return next(height for height, together in enumerate(LAYERS) if name in together)


def includes(source: Path) -> list[str]:
    return re.findall(r'^#include "([^"]+)"', source.read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("name", [name for together in LAYERS for name in together])
def test_the_driver_s_includes_point_down(name: str) -> None:
    sources = [path.relative_to(SOURCES) for path in SOURCES.rglob("*.[ch]pp")]
    ours = [source for source in sources if layer(str(source)) == name]
    assert ours
    up = [
        f"{source} includes {included}"
        for source in ours
        for included in includes(SOURCES / source)
        if layer(included) != name and height(layer(included)) >= height(name)
    ]
    assert up == []
