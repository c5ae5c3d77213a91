"""The repository's Markdown: its pages, their blocks, headings and links.

A block of Python that cannot run by itself follows a line ``<!-- fragment -->``.
"""

from __future__ import annotations

import functools
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from docs._ext import repository_pages
from docs._ext.generated import GENERATORS
from tests.support import ROOT, run

FRAGMENT = "<!-- fragment -->"
_FENCE = re.compile(r"^(?P<indent> *)(?P<fence>```+)(?P<info>[^`\n]*)\n", re.MULTILINE)
_HEADING = re.compile(r"^#{1,6} +(.*?) *$", re.MULTILINE)
_TARGET = re.compile(r"^\(([\w-]+)\)=$", re.MULTILINE)
_LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^)\s]+)\)")
#: Made with Sphinx's own code, which the tests' environment has not.
_WITH_SPHINX = "python-api"


@dataclass(frozen=True)
class Block:
    """A fenced block. info: what stands after the backticks; line: of its first line of text."""

    page: Path
    info: str
    text: str
    line: int
    fragment: bool

    @property
    def language(self) -> str:
        return (self.info.split() or [""])[0]

    @property
    def where(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


@functools.cache
def pages() -> list[Path]:
    """All Markdown files of the checkout."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a git checkout")
    named = run(["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"], cwd=ROOT)
    return [ROOT / name for name in named.split() if (ROOT / name).exists()]


@functools.cache
def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path, *languages: str) -> list[Block]:
    """The page's fenced blocks, of these languages if any are named."""
    text = text_of(page)
    found = []
    at = 0
    while opening := _FENCE.search(text, at):
        closing = re.compile(rf"^ *{opening['fence']}`* *$", re.MULTILINE).search(
            text, opening.end()
        )
        end = closing.start() if closing else len(text)
        indent = len(opening["indent"])
        lines = [line[indent:] for line in text[opening.end() : end].splitlines()]
        before = text[: opening.start()].rstrip().rpartition("\n")[2].strip()
        block = Block(
            page,
            opening["info"].strip(),
            "\n".join(lines) + "\n",
            text.count("\n", 0, opening.end()) + 1,
            before == FRAGMENT,
        )
        found.append(block)
        at = closing.end() if closing else len(text)
    return [block for block in found if not languages or block.language in languages]


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return repository_pages.without_code(text_of(page))


def links(page: Path) -> list[str]:
    return _LINK.findall(prose(page))


@functools.cache
def anchors(page: Path) -> set[str]:
    """What links to the page can point at: its headings, also those that the site's blocks make."""
    text = text_of(page)
    if page.is_relative_to(repository_pages.DOCS):
        kept = {name: make for name, make in GENERATORS.items() if name != _WITH_SPHINX}
        text = repository_pages.complete(
            text, page, repository_pages.shown(), {**kept, _WITH_SPHINX: lambda: ""}
        )
    text = repository_pages.without_code(text)
    return {slug(heading) for heading in _HEADING.findall(text)} | set(_TARGET.findall(text))


def slug(heading: str) -> str:
    """As GitHub and MyST make an anchor of a heading."""
    words = re.sub(r"[`*]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)).strip().lower()
    return re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
