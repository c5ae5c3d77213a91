"""A Sphinx extension: pages that take parts of the repository while the site is built.

Blocks that are replaced in the text before it is parsed, so that their headings stand in the
contents and in the search as those of the page do:

- ``generated NAME``: Markdown that ``generated.GENERATORS`` makes from the code;
- ``repository PATH``: a Markdown file of the repository, without its title;
- ``part-of PATH HEADING``: what such a file has under a heading;
- ``plot NAME``: one of ``plots.PLOTS``.

Links are written for readers of the repository. A link to a file that has a page here leads to that
page; one to any other file outside ``docs/`` becomes the name of the file. SVG pictures with
the site's colours are put into the page itself, where they follow its light or dark colours.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docs._ext.generated import GENERATORS
from docs._ext.plots import PLOTS

if TYPE_CHECKING:
    from sphinx.application import Sphinx

DOCS = Path(__file__).resolve().parent.parent
ROOT = DOCS.parent

_BLOCK = re.compile(
    r"^```\{(generated|repository|part-of|plot)\} (\S+)(?: (.+))?\n```$", re.MULTILINE
)
_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^(```+|~~~+).*?^\1[ \t]*$", re.MULTILINE | re.DOTALL)
_REPOSITORY = re.compile(r"^```\{repository\} (\S+)$", re.MULTILINE)


def shown() -> dict[Path, Path]:
    """Files of the repository that a page of the site shows, with that page."""
    pages = {}
    for page in sorted(DOCS.rglob("*.md")):
        for name in _REPOSITORY.findall(page.read_text(encoding="utf-8")):
            pages.setdefault((ROOT / name).resolve(), page)
    return pages


def without_title(text: str) -> str:
    return re.sub(r"\A\s*# .*\n+", "", text)


def without_code(text: str) -> str:
    """A text without its fenced blocks."""
    return _FENCE.sub("", text)


def outside_code(text: str, change: Callable[[str], str]) -> str:
    """Applies ``change`` to what is not in a fenced block."""
    parts, end = [], 0
    for fence in _FENCE.finditer(text):
        parts += [change(text[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join([*parts, change(text[end:])])


def links_for_site(text: str, written_in: Path, page: Path, pages: dict[Path, Path]) -> str:
    """The text of the file ``written_in``, with links that lead somewhere from ``page``."""

    def replace(link: re.Match[str]) -> str:
        picture, words, target = link.groups()
        path, sharp, anchor = target.partition("#")
        if "://" in target or target.startswith("mailto:") or not path:
            return link[0]
        file = (written_in.parent / path).resolve()
        file = pages.get(file, file)
        if not picture and not file.is_relative_to(DOCS):
            return (
                words
                if words.startswith("`") or "/" not in target
                else f"{words} (`{_name(file)}`)"
            )
        return f"{picture}[{words}]({os.path.relpath(file, page.parent)}{sharp}{anchor})"

    return outside_code(text, lambda part: _LINK.sub(replace, part))


def _name(file: Path) -> str:
    return str(file.relative_to(ROOT)) if file.is_relative_to(ROOT) else str(file)


def under(text: str, heading: str) -> str:
    """What a text has under a heading, up to the next one. Raises ValueError if it is not there."""
    start = re.search(rf"^#+ {re.escape(heading)}$", text, re.MULTILINE)
    if start is None:
        raise ValueError(f"there is no heading {heading!r}")
    return re.split(r"^#+ ", text[start.end() :], maxsplit=1, flags=re.MULTILINE)[0].strip() + "\n"


def complete(
    text: str,
    page: Path,
    pages: dict[Path, Path],
    generators: Mapping[str, Callable[[], str]] = GENERATORS,
) -> str:
    """The text of a page, with what its blocks name."""

    def block(found: re.Match[str]) -> str:
        kind, name, heading = found.groups()
        if kind == "generated":
            return generators[name]()
        if kind == "plot":
            return f'```{{raw}} html\n<div class="drawing">\n{PLOTS[name]()}</div>\n```\n'
        file = ROOT / name
        content = file.read_text(encoding="utf-8")
        content = under(content, heading) if kind == "part-of" else without_title(content)
        return links_for_site(content, file, page, pages)

    parts, end = [], 0
    for found in _BLOCK.finditer(text):
        parts += [links_for_site(text[end : found.start()], page, page, pages), block(found)]
        end = found.end()
    return "".join([*parts, links_for_site(text[end:], page, page, pages)])


def _read(app: Sphinx, name: str, content: list[str]) -> None:
    page = Path(app.env.doc2path(name))
    content[0] = complete(content[0], page, shown())


def _inline(app: Sphinx, doctree: Any, _name: str) -> None:
    from docutils import nodes

    if app.builder.format != "html":
        return
    for image in list(doctree.findall(nodes.image)):
        file = Path(app.srcdir) / image["uri"]
        if file.suffix == ".svg" and file.is_file():
            drawing = file.read_text(encoding="utf-8")
            if "var(--drawing-" not in drawing:
                continue  # its colours are fixed, and its style would be everybody's
            label = escape(image.get("alt", ""))
            html = f'<div class="drawing" role="img" aria-label="{label}">{drawing}</div>'
            new = nodes.raw("", html, format="html")
            # A block: it takes the place of the paragraph that holds the picture alone.
            old = image.parent if isinstance(image.parent, nodes.paragraph) else image
            old.replace_self(new)


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("source-read", _read)
    app.connect("doctree-resolved", _inline)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
