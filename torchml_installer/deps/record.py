"""What ``deps`` is asked for, and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torchml_installer.detect import Places


@dataclass(frozen=True)
class DepsOptions:
    """What ``deps`` was asked for.

    prefix: parent of what is installed; None: a folder of the user's, one per version of torch.
    sources: folder with source archives, for machines that reach no package index.
    provider: auto, conda, apt or pip. torch_index: of which pip takes torch.
    force: build again what is there already.
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
    variable: of the environment, to be set to ``root``. commands: that were or would be run.
    switch: variable of the environment, and its value, with which models use it; None: they do.
    needs_build: only a driver that is built for it can.
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
