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

    prefix: parent folder for libraries; None: one in the user's home for each version of torch.
    sources: folder with source archives, for machines without access to a package index.
    provider: auto, conda, apt or pip. torch_index: index from which pip installs torch.
    force: rebuild what is already installed; conda installs again what is named.
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

    state: "installed", "present" (there was nothing to do) or "planned" (--dry-run).
    variable: environment variable to set to ``root``. commands: those that ran or would run.
    switch: environment variable and value that make models use it; None: they use it anyway.
    needs_build: only a driver built for it can use it.
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
