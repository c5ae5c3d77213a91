"""The options of ``deps``, and its outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torchml_installer.detect import Places


@dataclass(frozen=True)
class DepsOptions:
    """The options of ``deps``.

    prefix: parent of what is installed; None: a folder in the user's home, by version of torch.
    sources: folder with source archives, for machines that reach no package index.
    provider: auto, conda, apt or pip. torch_index: the index that pip takes torch from.
    force: rebuild what is there already.
    """

    prefix: Path | None = None
    sources: Path | None = None
    provider: str = "auto"
    torch_index: str | None = None
    places: Places = field(default_factory=Places)
    jobs: int | None = None
    force: bool = False
    dry_run: bool = False
    verbose: bool = False


@dataclass(frozen=True)
class Outcome:
    """One dependency.

    state: "installed", "present" (nothing was done) or "planned" (--dry-run).
    variable: environment variable to set to ``root``. commands: those that were or would be run.
    switch: environment variable and its value that make models use it; None: they do anyway.
    needs_build: only a driver that was built for it can use it.
    """

    name: str
    version: str
    state: str
    root: Path
    variable: str
    commands: Sequence[Sequence[str]]
    switch: tuple[str, str] | None = None
    needs_build: bool = True

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "version": self.version,
            "state": self.state,
            "root": str(self.root),
            "commands": [list(command) for command in self.commands],
        }
