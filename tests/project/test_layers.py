"""Includes and imports point only down: from a layer to those that it is built on."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.support import ROOT

SOURCES = ROOT / "driver_src/src"
INSTALLER = ROOT / "torchml_installer"
PYTHON_MODULE = ROOT / "driver_src/python/torchml_driver"

#: From the bottom up; the layers in one line are independent. Code that loads or makes one of
#: several kinds (load.cpp, make.cpp) is above them.
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


#: The installer's modules and folders, likewise.
INSTALLER_LAYERS = (
    ("__init__", "errors"),
    ("support",),
    ("detect",),
    ("building",),
    ("deps",),
    ("remedies", "environment"),
    ("models",),
    ("driver",),
    ("doctor", "uninstall"),
    ("quickstart",),
    ("cli",),
    ("__main__",),
)


def imports(module: Path) -> set[str]:
    """The installer's modules and folders that a module imports, at its top or in functions."""
    found = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "torchml_installer":
            found |= {
                name.name if not name.name.startswith("__") else "__init__" for name in node.names
            }
        names = [node.module] if isinstance(node, ast.ImportFrom) else []
        names += [name.name for name in node.names] if isinstance(node, ast.Import) else []
        for name in names:
            parts = (name or "").split(".")
            if parts[0] == "torchml_installer" and len(parts) > 1:
                found.add(parts[1])
    return found


@pytest.mark.parametrize("name", [name for together in INSTALLER_LAYERS for name in together])
def test_the_installer_s_imports_point_down(name: str) -> None:
    heights = {
        name: height for height, together in enumerate(INSTALLER_LAYERS) for name in together
    }
    file = INSTALLER / f"{name}.py"
    modules = [file] if file.exists() else sorted((INSTALLER / name).rglob("*.py"))
    assert modules
    up = [
        f"{module.relative_to(INSTALLER)} imports {imported}"
        for module in modules
        for imported in sorted(imports(module) - {name})
        if heights[imported] >= heights[name]
    ]
    assert up == []


def every_include(source: Path, seen: set[str]) -> set[str]:
    """The headers that a source includes, directly and through ours, in angle brackets."""
    found = set(
        re.findall(r"^#include <([^>]+)>", source.read_text(encoding="utf-8"), re.MULTILINE)
    )
    for name in set(includes(source)) - seen:
        seen.add(name)
        found |= every_include(SOURCES / name, seen)
    return found


def test_kim_s_side_is_compiled_without_torch() -> None:
    """Its target does not have torch's folders: a system's own torch would be used unnoticed."""
    sources = sorted((SOURCES / "kim").rglob("*.cpp"))
    assert sources
    torch = re.compile(r"(ATen|c10|torch)/")
    headers = {header for source in sources for header in every_include(source, set())}
    assert [header for header in sorted(headers) if torch.match(header)] == []


def packages(module: Path) -> set[str]:
    """The packages that a module imports, at its top or in functions, except by relative
    imports."""
    found = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add((node.module or "").split(".")[0])
        if isinstance(node, ast.Import):
            found |= {name.name.split(".")[0] for name in node.names}
    return found


@pytest.mark.parametrize(
    ("folder", "unwanted"),
    [
        (INSTALLER, {"torch", "numpy", "ase", "torchml_driver"}),
        (PYTHON_MODULE, {"torchml_installer"}),
    ],
    ids=["installer", "driver"],
)
def test_what_needs_torch_and_what_needs_none_are_apart(folder: Path, unwanted: set[str]) -> None:
    modules = sorted(folder.rglob("*.py"))
    assert modules
    wrong = [
        f"{module.relative_to(folder)} imports {', '.join(sorted(packages(module) & unwanted))}"
        for module in modules
        if packages(module) & unwanted
    ]
    assert wrong == []
