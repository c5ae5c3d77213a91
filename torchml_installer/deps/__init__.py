"""``deps``: installs what is missing, one module per kind of dependency.

A module offers ``provide(word, options)``, which installs what a word of ``--with`` names (or says
with which commands it would); ``HANDLERS`` says which module knows which word.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torchml_installer.deps import libdescriptor, torch_library
from torchml_installer.deps.record import DepsOptions, Outcome
from torchml_installer.torch_extensions import EXTENSIONS

Handler = Callable[[str, DepsOptions], Outcome]

#: Word of ``--with`` → what installs it.
HANDLERS: dict[str, Handler] = {
    **dict.fromkeys(EXTENSIONS, torch_library.provide),
    "libdescriptor": libdescriptor.provide,
}


@dataclass(frozen=True)
class Result:
    """What was done, or with ``--dry-run`` would be done."""

    outcomes: Sequence[Outcome]
    dry_run: bool = False
    environment: dict[str, Path] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """schema 1: what ``deps --json`` prints.

        dry_run; outcomes: list of objects with name, version, state (installed, present, planned),
        root (path), commands (list of lists of words; empty if present); environment: variables to
        set before ``torchml-install driver``.
        """
        return {
            "schema": 1,
            "dry_run": self.dry_run,
            "outcomes": [outcome.as_json() for outcome in self.outcomes],
            "environment": {name: str(value) for name, value in self.environment.items()},
        }


def provide(words: Sequence[str], options: DepsOptions) -> Result:
    """Installs what the words of ``--with`` name, in their order; errors of the handlers."""
    outcomes = [HANDLERS[word](word, options) for word in dict.fromkeys(words)]
    environment = {outcome.variable: outcome.root for outcome in outcomes}
    return Result(outcomes, options.dry_run, environment)
