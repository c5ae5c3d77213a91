"""Pieces of Markdown, and messages as they stand in sources."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]

#: In place of what a message gets when it is printed.
GAP = "…"


def cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell(one) for one in line)} |" for line in lines) + "\n"


#: Options, environment variables and names in sources.
_NAMES = re.compile(
    r"(?<![\w-])(--[a-z][\w-]*|[A-Z]\w*_[A-Z]\w*|CXX|CXXFLAGS|LDFLAGS|TMPDIR)(?![\w…])"
)


def escaped(text: str) -> str:
    """Plain words as Markdown: what is in backticks stays code, and names become code."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else _plain(part) for part in parts)


def _plain(text: str) -> str:
    parts = _NAMES.split(text)
    return "".join(
        f"`{part}`" if number % 2 else re.sub(r"([*_<\[\]\\])", r"\\\1", part)
        for number, part in enumerate(parts)
    )


def from_rst(docstring: str) -> str:
    """A docstring's double backticks as Markdown has them."""
    return docstring.replace("``", "`")


def title(name: str) -> str:
    """
    >>> title("OldAbiTorchError")
    'Old ABI torch'
    >>> title("two-torches")
    'Two torches'
    >>> title("NotAModelFolderError"), title("NoCMakeError")
    ('Not a model folder', 'No CMake')
    """
    words = _apart(name.removesuffix("Error")).replace("-", " ")
    words = words[0].upper() + words[1:].lower()
    for right in ("ABI", "CMake", "CUDA", "CXX", "JSON", "KIM", "KIM API", "MPI", "TorchScript"):
        spelt = _apart(right).lower().replace(" ", " ?")
        words = re.sub(rf"\b{spelt}\b", right, words, flags=re.IGNORECASE)
    return words.replace("KIM API", "KIM-API").replace("CXX", "C++")


def _apart(name: str) -> str:
    """The words of a name in capitals, with spaces between them."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name)


def literal(node: ast.AST) -> str | None:
    """The text of a literal, with a gap for each value in it; None for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(
            str(part.value) if isinstance(part, ast.Constant) else GAP for part in node.values
        )
    return None


def tidy(message: str) -> str:
    """On one line, with one gap where there are several."""
    message = " ".join(message.split())
    return re.sub(rf"{GAP}(?:\W?{GAP})+", GAP, message)


def literals(tree: ast.AST) -> list[str]:
    """All texts of a module in order, but docstrings."""
    documents = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    found: list[str] = []

    def visit(node: ast.AST) -> None:
        text = literal(node)
        if text is None:
            for child in ast.iter_child_nodes(node):
                visit(child)
        elif id(node) not in documents:
            found.append(text)

    visit(tree)
    return found
