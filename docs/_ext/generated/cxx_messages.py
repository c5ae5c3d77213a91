"""The messages of the driver's C++ sources: what ``fail`` is called with, and warnings."""

from __future__ import annotations

import re
from pathlib import Path

from .text import GAP, ROOT, tidy

SOURCES = ROOT / "driver_src/src"

_CALL = re.compile(r"\b(?:fail(?:<[\w:]+>)?|warnings_?\.add|throw \w*Error\w*)\(")
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
_WRAPPER = re.compile(r"std::string\(")
_OTHERWISE = re.compile(r"(?<!:):(?!:)")  # of "condition ? one : another"
_COMMENT = re.compile(r"//[^\n]*")
_ESCAPES = {r"\n": " ", r"\"": '"', r"\\": "\\", r"\t": " "}


def messages(file: Path) -> list[str]:
    """Those of one file, in order, with a gap for each value; shorter ones are parts of others."""
    text = file.read_text(encoding="utf-8")
    found = [tidy(_message(text, call.end())) for call in _CALL.finditer(text)]
    return [message for message in dict.fromkeys(found) if len(message.replace(GAP, "")) > 20]


def _message(text: str, start: int) -> str:
    """From the parenthesis of a call to the one that closes it."""
    parts: list[str] = []
    at, depth = start, 0
    while at < len(text):
        if comment := _COMMENT.match(text, at):
            at = comment.end()
        elif string := _STRING.match(text, at):
            if depth == 0:
                parts.append(re.sub(r"\\.", lambda one: _ESCAPES.get(one[0], ""), string[1]))
            at = string.end()
        elif depth == 0 and (wrapper := _WRAPPER.match(text, at)):
            # std::string("...") + more: its own parenthesis is passed over when it closes.
            closing = _closing(text, wrapper.end())
            parts.append(_message(text, wrapper.end()))
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
            parts.append(" or ")
            at = other.end()
        else:
            if depth == 0 and (text[at].isalnum() or text[at] == "_"):
                parts.append(GAP)
            at += 1
    return re.sub(rf"{GAP}+", GAP, "".join(parts))


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
