"""The Python API of ``torchml_driver``, from signatures and docstrings in its sources.

The sources are read, not imported: that takes torch and a compiled module.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from dataclasses import dataclass

from .text import ROOT

PACKAGE = ROOT / "driver_src/python/torchml_driver"


@dataclass(frozen=True)
class Part:
    """A module's public names, under a heading. shown_as: where users import them from."""

    heading: str
    file: str
    shown_as: str
    names: tuple[str, ...]


PARTS = (
    Part(
        "Potentials",
        "potential.py",
        "torchml_driver",
        ("Potential", "Result", "GraphFacts", "ModelWarning"),
    ),
    Part("ASE", "ase.py", "torchml_driver.ase", ("TorchMLCalculator",)),
    Part(
        "Descriptors",
        "descriptors.py",
        "torchml_driver.descriptors",
        ("Descriptor", "VectorJacobianProduct", "Structure"),
    ),
    Part(
        "Inputs of a model",
        "inputs.py",
        "torchml_driver.inputs",
        ("System", "calling_convention", "model_inputs"),
    ),
)


def markdown() -> str:
    parts = []
    for part in PARTS:
        tree = ast.parse((PACKAGE / part.file).read_text(encoding="utf-8"))
        defined = {
            node.name: node
            for node in tree.body
            if isinstance(node, (ast.ClassDef, ast.FunctionDef))
        }
        described = [_described(defined[name], part.shown_as) for name in part.names]
        body = "\n".join(described)
        parts.append(f"## {part.heading}\n\n```{{eval-rst}}\n{body}\n```\n")
    return "\n".join(parts)


def _described(node: ast.ClassDef | ast.FunctionDef, module: str) -> str:
    """A directive for one class or function, in reStructuredText as the docstrings are."""
    if isinstance(node, ast.FunctionDef):
        return _directive("function", f"{module}.{node.name}{signature(node)}", _document(node))
    methods = {
        one.name: one
        for one in node.body
        if isinstance(one, ast.FunctionDef)
        and not one.name.startswith("_")
        and ast.get_docstring(one)
    }
    init = next(
        (one for one in node.body if isinstance(one, ast.FunctionDef) and one.name == "__init__"),
        None,
    )
    lines = [_directive("class", f"{module}.{node.name}{signature(init)}", _document(node))]
    for method in methods.values():
        if any(isinstance(one, ast.Name) and one.id == "property" for one in method.decorator_list):
            lines.append(_directive("property", method.name, _document(method), _returns(method)))
        else:
            lines.append(_directive("method", method.name + signature(method), _document(method)))
    return lines[0] + "\n" + textwrap.indent("\n".join(lines[1:]), "   ")


def _returns(method: ast.FunctionDef) -> str:
    return f"   :type: {_short(method.returns)}\n" if method.returns else ""


def _directive(kind: str, words: str, document: str, options: str = "") -> str:
    body = textwrap.indent(document, "   ")
    return f".. py:{kind}:: {words}\n{options}\n{body}\n"


def _document(node: ast.ClassDef | ast.FunctionDef) -> str:
    from sphinx.ext.napoleon import Config, GoogleDocstring

    docstring = inspect.cleandoc(ast.get_docstring(node) or "")
    settings = Config(
        napoleon_use_rtype=False,
        napoleon_use_ivar=True,
        # Those of an ASE calculator.
        napoleon_custom_sections=[("Properties", "params_style")],
    )
    return str(GoogleDocstring(docstring, settings))


def signature(function: ast.FunctionDef | None) -> str:
    """As Python shows it, with short names of types and without ``self``."""
    if function is None:
        return ""
    arguments = function.args
    if arguments.args and arguments.args[0].arg == "self":
        arguments.args = arguments.args[1:]
    for argument in (*arguments.args, *arguments.kwonlyargs):
        if argument.annotation is not None:
            argument.annotation = ast.Name(_short(argument.annotation))
    returned = f" -> {_short(function.returns)}" if function.returns else ""
    return f"({ast.unparse(arguments)}){'' if returned == ' -> None' else returned}"


def _short(annotation: ast.expr) -> str:
    """A type without the names of modules and what numpy's arrays hold."""
    words = ast.unparse(annotation)
    for long, short in (
        ("npt.NDArray[np.integer]", "ndarray"),
        ("npt.NDArray[np.float64]", "ndarray"),
        ("npt.NDArray[np.int32]", "ndarray"),
        ("npt.ArrayLike", "ArrayLike"),
        ("os.PathLike[str]", "PathLike"),
        ("torch.", ""),
    ):
        words = words.replace(long, short)
    return words
