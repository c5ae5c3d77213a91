"""Reads HTML pages as strictly as a browser does not."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

_WITHOUT_END = {"meta", "br", "hr", "img", "link", "input"}
#: SVG's, which are closed where they begin.
_CLOSED = {"path", "circle", "rect", "line"}


@dataclass
class Page:
    """What is in a page. elements: names with attributes, in order. text: what people see."""

    elements: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    text: str = ""
    style: str = ""
    data: Any = None

    def having(self, name: str, **attributes: str) -> list[dict[str, str | None]]:
        """The elements of a name with these attributes; ``class_`` has to be among the classes."""
        found = []
        for element, given in self.elements:
            wanted = dict(attributes)
            kind = wanted.pop("class_", None)
            classes = (given.get("class") or "").split()
            if element == name and (kind is None or kind in classes):
                found += [given] if wanted.items() <= given.items() else []
        return found


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.page = Page()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"{tag} has an attribute twice: {attrs}"
        self.page.elements.append((tag, dict(attrs)))
        if tag not in _WITHOUT_END:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in _CLOSED, f"<{tag}/> is not closed in HTML"
        self.page.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> is out of order"

    def handle_data(self, data: str) -> None:
        inside = self.open[-1] if self.open else ""
        if inside == "style":
            self.page.style += data
        elif inside == "script":
            self.page.data = json.loads(data, parse_constant=_refuse)
        else:
            self.page.text += data


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


def read_page(text: str) -> Page:
    """Raises AssertionError where elements are not closed, or not in order."""
    assert text.startswith("<!DOCTYPE html>")
    reader = _Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == []
    ids = [given["id"] for _, given in reader.page.elements if "id" in given]
    assert len(ids) == len(set(ids))
    return reader.page


def assert_stands_alone(page: Page) -> None:
    """Nothing is loaded from elsewhere, and no script runs."""
    for name, given in page.elements:
        assert name not in {"link", "img", "iframe", "object", "use", "image", "base"}
        assert not {"src", "href", "xlink:href", "style", "onload", "onclick"} & given.keys()
        if name == "script":
            assert given["type"] == "application/json"
    for word in ("url(", "@import", "http:", "https:"):
        assert word not in page.style
