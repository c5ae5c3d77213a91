"""_core.pyi, from which type checkers know the compiled module, is correct."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Sequence
from typing import Any

import pytest

from tests.support import ROOT, DriverEnvironment

STUB = ROOT / "driver_src/python/torchml_driver/_core.pyi"

#: Names; for a function, the names of its arguments; for a class, likewise its members.
Names = dict[str, Any]


@pytest.fixture(scope="module")
def core(driver_environment: DriverEnvironment) -> Any:
    return importlib.import_module("torchml_driver._core")


def stated(body: Sequence[ast.stmt]) -> Names:
    found: Names = {}
    for node in body:
        if isinstance(node, ast.ClassDef):
            found[node.name] = stated(node.body)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found[node.target.id] = None
        elif isinstance(node, ast.FunctionDef):
            how = {ast.unparse(decorator) for decorator in node.decorator_list}
            if "property" in how:
                found[node.name] = "read"
            elif f"{node.name}.setter" in how:
                found[node.name] = "written"
            else:
                found[node.name] = [word.arg for word in node.args.args]
    return found


def arguments(function: Any) -> list[str]:
    """The arguments that pybind11 writes into the first line of a function's docstring."""
    words = function.__doc__.partition("\n")[0].partition("(")[2].rpartition(") -> ")[0]
    while (shorter := re.sub(r"\[[^\[\]]*\]", "", words)) != words:
        words = shorter  # without the contents of brackets
    return re.findall(r"(?:^|, )(\w+)(?=:|,|$)", words)


def real(holder: Any) -> Names:
    found: Names = {}
    for name, value in vars(holder).items():
        if name.startswith("_") and name not in ("__version__", "__init__"):
            continue
        if isinstance(value, property):
            found[name] = "written" if value.fset else "read"
        elif isinstance(value, type):
            found[name] = real(value)
        else:
            found[name] = arguments(value) if callable(value) else None
    return found


def test_the_stub_names_what_the_compiled_module_has(core: Any) -> None:
    assert stated(ast.parse(STUB.read_text(encoding="utf-8")).body) == real(core)
