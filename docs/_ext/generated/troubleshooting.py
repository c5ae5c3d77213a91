"""One entry for each failure of the command, each known problem, and the driver's messages."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import re

from torchml_installer import errors, remedies

from . import cxx_messages
from .text import GAP, ROOT, escaped, from_rst, literal, literals, tidy, title

PACKAGE = ROOT / "torchml_installer"

#: Folders and files of the driver's sources, by what their messages are about.
TOPICS = {
    "The model's files": (
        "base/parameters.cpp",
        "base/value_lines",
        "kim/model_files.cpp",
        "runtime/load.cpp",
        "inputs/make.cpp",
    ),
    "Which torch, which libraries": (
        "runtime/loaded_libraries.cpp",
        "runtime/extensions.cpp",
        "runtime/torchscript/carried_libraries.cpp",
        "runtime/torchscript/archive.cpp",
    ),
    "The device, threads and ranks": ("process/", "runtime/torch_devices.cpp", "kim/job.cpp"),
    "The simulator's particles and lists": (
        "kim/model_driver.cpp",
        "kim/units.cpp",
        "engine/periodic.cpp",
        "inputs/buffers.cpp",
        "inputs/list_check.cpp",
        "inputs/neighbour_inputs.cpp",
        "inputs/graph_inputs.cpp",
        "inputs/edge_inputs.cpp",
        "inputs/placing.cpp",
    ),
    "What the model takes and returns": (
        "engine/",
        "runtime/torchscript/torchscript.cpp",
        "runtime/messages.cpp",
        "torch_ops/",
    ),
    "Compiled models": ("runtime/compiled/",),
    "Descriptors": ("descriptors/", "inputs/descriptor_inputs.cpp"),
}


def failures() -> str:
    """Each class of torchml_installer.errors: what it is, what it says, what to do."""
    parts = []
    said = _messages_by_class()
    for cls in errors.failures():
        sentence, _, more = from_rst(" ".join((cls.__doc__ or "").split())).partition(". ")
        lines = [
            f"(exit-code-{cls.exit_code})=",
            f"### {title(cls.__name__)}",
            "",
            f"Exit code {cls.exit_code}. {escaped(sentence.rstrip('.'))}. {escaped(more)}".strip(),
            "",
        ]
        known = said.get(cls.__name__, {})
        if known:
            lines += ["You see:", ""]
            lines += [
                f"- {_quoted(message)}" + (f"<br>→ {escaped(remedy)}" if _is_advice(remedy) else "")
                for message, remedy in known.items()
            ]
            lines += [""]
        if cls.default_remedy:
            lines += [f"**What to do:** {escaped(cls.default_remedy)}", ""]
        elif not any(map(_is_advice, known.values())):
            lines += ["**What to do:** follow the advice printed below the message.", ""]
        parts.append("\n".join(lines))
    return "\n".join(parts)


def _is_advice(remedy: str) -> bool:
    return len(remedy.replace(GAP, "").strip(" .;,")) > 12


def _quoted(message: str) -> str:
    return f"“{escaped(message)}”"


@functools.cache
def _messages_by_class() -> dict[str, dict[str, str]]:
    """What the sources say when they raise each class: message to remedy, with gaps for values."""
    named = {cls.__name__ for cls in errors.failures()}
    found: dict[str, dict[str, str]] = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            name = node.func.id if isinstance(node.func, ast.Name) else name
            texts = [tidy(text) for text in map(literal, node.args[:2]) if text is not None]
            if name not in named or not texts or literal(node.args[0]) is None:
                continue
            words, remedy = [*texts, ""][:2]
            if len(re.sub(r"\W", "", words)) > 12:
                found.setdefault(name, {}).setdefault(words, remedy)
    return found


def known_problems() -> str:
    """Each remedy: what it is, and what is said of it."""
    parts = []
    for remedy in remedies.KNOWN:
        module = importlib.import_module(type(remedy).__module__)
        document = from_rst(inspect.cleandoc(module.__doc__ or ""))
        tree = ast.parse(inspect.getsource(module))
        own = next(
            node
            for node in tree.body
            if isinstance(node, ast.ClassDef) and node.name == type(remedy).__name__
        )
        # Of a module with two problems, what stands in the class; of others all that it says.
        classes = [
            node
            for node in tree.body
            if isinstance(node, ast.ClassDef)
            and any("Remedy" in ast.unparse(b) for b in node.bases)
        ]
        texts = [tidy(text) for text in literals(own if len(classes) > 1 else tree)]
        said = [text for text in texts if _is_message(text)]
        lines = [
            f"(known-problem-{remedy.name})=",
            f"### {title(remedy.name)}",
            "",
            escaped(_paragraph(document)),
            "",
        ]
        if said:
            lines += ["The command says:", "", *(f"- {_quoted(text)}" for text in said), ""]
        repairs = _repairs(own if len(classes) > 1 else tree)
        if repairs:
            lines += [f"`--fix` can: {escaped('; '.join(repairs))}.", ""]
        lines += [f"In `doctor --json` it is called `{remedy.name}`.", ""]
        parts.append("\n".join(lines))
    return "\n".join(parts)


def _repairs(tree: ast.AST) -> list[str]:
    """What the symptoms of a module offer to do."""
    offered: list[ast.expr] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Symptom":
            offered += node.args[1:2]
            offered += [word.value for word in node.keywords if word.arg == "repair"]
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "repair":
            offered.append(node.value)
    texts = [tidy(text) for node in offered for text in literals(node)]
    return [text for text in dict.fromkeys(texts) if text.count(" ") > 1]


def _paragraph(document: str) -> str:
    paragraph = " ".join(document.partition("\n\n")[0].split())
    return re.sub(r", see `\w+\.py`", "", paragraph)


def _is_message(text: str) -> bool:
    """A sentence for people: not code, a pattern, or a word."""
    sentence = text.rstrip().endswith((".", GAP, "and")) and text.count(" ") > 5
    return sentence and not re.search(r"[{}|]|\\\w|#include", text) and len(text) > 50


def of_the_driver() -> str:
    """All messages of the driver's C++ sources, by topic."""
    files = sorted(cxx_messages.SOURCES.rglob("*.?pp"))
    parts = []
    before: set[str] = set()
    for topic, places in TOPICS.items():
        said = [
            message
            for file in files
            if str(file.relative_to(cxx_messages.SOURCES)).startswith(places)
            for message in cxx_messages.messages(file)
            if message not in before
        ]
        before.update(said)
        parts.append(f"### {topic}\n")
        parts += [f"- {_quoted(message)}" for message in dict.fromkeys(said)]
        parts.append("")
    return "\n".join(parts)
