"""The messages of the driver's C++ sources: what ``fail`` is called with, and warnings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from .text import GAP, ROOT, tidy

SOURCES = ROOT / "driver_src/src"

_CALL = re.compile(r"\b(?:fail(?:<[\w:]+>)?|warnings_?\.add|throw \w*Error\w*)\(")
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
_WRAPPER = re.compile(r"std::string\(")
_OTHERWISE = re.compile(r"(?<!:):(?!:)")  # of "condition ? one : another"
_NAME = re.compile(r"\w+")
_CONSTANT = re.compile(
    r"\b(?:const char\*(?: const)?|constexpr char|std::string_view|const std::string) (\w+)"
    r"(?:\[\])?\s*=\s*((?:\"(?:[^\"\\]|\\.)*\"\s*)+);"
)
_COMMENT = re.compile(r"//[^\n]*")
_ESCAPES = {r"\n": " ", r"\"": '"', r"\\": "\\", r"\t": " "}


def messages(file: Path) -> list[str]:
    """Those of one file, in order, with a gap for each value; shorter ones are parts of others."""
    text = file.read_text(encoding="utf-8")
    constants = {name: _joined(words) for name, words in _CONSTANT.findall(text)}
    found = [tidy(_message(text, call.end(), constants)) for call in _CALL.finditer(text)]
    return [message for message in dict.fromkeys(found) if _says_enough(message)]


def _says_enough(message: str) -> bool:
    """Not the end of a sentence alone: "..., which does not exist."."""
    return len(message.replace(GAP, "")) > (45 if message.startswith(f"{GAP},") else 20)


def _joined(literals: str) -> str:
    """Adjacent literals as one text."""
    return re.sub(r"\\.", lambda one: _ESCAPES.get(one[0], ""), "".join(_STRING.findall(literals)))


def _message(text: str, start: int, constants: Mapping[str, str]) -> str:
    """From the parenthesis of a call to the one that closes it."""
    parts: list[str] = []
    piece = 0  # where in them the argument, or the summand, begins
    at, depth = start, 0
    while at < len(text):
        if comment := _COMMENT.match(text, at):
            at = comment.end()
        elif string := _STRING.match(text, at):
            if depth == 0:
                parts.append(_joined(string[0]))
            at = string.end()
        elif depth == 0 and (wrapper := _WRAPPER.match(text, at)):
            # std::string("...") + more: its own parenthesis is passed over when it closes.
            closing = _closing(text, wrapper.end())
            parts.append(_message(text, wrapper.end(), constants))
            at = closing + 1
        elif text[at] in "([{":
            depth += 1
            at += 1
        elif text[at] in ")]}":
            if depth == 0:
                break
            depth -= 1
            parts.append(GAP)
            at += 1
        elif depth == 0 and (other := _OTHERWISE.match(text, at)):
            parts.append(" [or] ")  # not the message's own "or"
            at = other.end()
        elif depth == 0 and text[at] == "?":
            del parts[piece:]  # the condition, which is not printed
            at += 1
        elif name := _NAME.match(text, at):
            if depth == 0:
                parts.append(constants.get(name[0], GAP))
            at = name.end()
        else:
            if depth == 0 and text[at] in ",+":
                piece = len(parts)
            at += 1
    joined = re.sub(rf"{GAP}+", GAP, "".join(parts))
    return re.sub(r" \[or\] (?=$|[;.,)])", "", joined)  # of two texts, one is empty


def _closing(text: str, start: int) -> int:
    depth, at = 0, start
    while at < len(text):
        if string := _STRING.match(text, at):
            at = string.end()
            continue
        if text[at] == "(":
            depth += 1
        elif text[at] == ")":
            if depth == 0:
                return at
            depth -= 1
        at += 1
    return at
