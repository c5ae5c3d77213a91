"""Markdown that is made from the code while the site is built; no torch is needed."""

from __future__ import annotations

from collections.abc import Callable

GENERATORS: dict[str, Callable[[], str]] = {"troubleshooting": lambda: ""}
