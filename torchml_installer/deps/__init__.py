"""``deps``: installs what is missing.

Package managers install what they have (``packages.py``; listed in ``needs.NEEDS``). A separate
module installs each library that none of them has: its function ``provide(word, options)`` installs
what a word of ``--with`` names, or lists the commands for it. ``HANDLERS`` maps words to these
functions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torchml_installer.deps import build_libdescriptor as libdescriptor
from torchml_installer.deps import build_torch_extension as torch_library
from torchml_installer.deps import fetch_libtorch as libtorch
from torchml_installer.deps import packages
from torchml_installer.deps.needs import NEEDS
from torchml_installer.deps.packages import Step
from torchml_installer.deps.record import DepsOptions, Outcome
from torchml_installer.detect import survey
from torchml_installer.detect.known_extensions import EXTENSIONS
from torchml_installer.support import console
from torchml_installer.support.user_python import say_which

Handler = Callable[[str, DepsOptions], Outcome]

#: Word of ``--with`` → what installs it.
HANDLERS: dict[str, Handler] = {
    **dict.fromkeys(EXTENSIONS, torch_library.provide),
    "libdescriptor": libdescriptor.provide,
}
#: All words of ``--with``.
WORDS = (*HANDLERS, *NEEDS)


@dataclass(frozen=True)
class Result:
    """What was done, or with ``--dry-run`` would be done.

    steps: commands of package managers. outcomes: of the separate modules.
    for_driver: the request was for everything that the driver's build needs, not for named things.
    """

    outcomes: Sequence[Outcome]
    dry_run: bool = False
    environment: dict[str, Path] = field(default_factory=dict)
    steps: Sequence[Step] = ()
    for_driver: bool = False

    def as_json(self) -> dict[str, Any]:
        """schema 1: what ``deps --json`` prints.

        dry_run; packages: list of objects with provider, needs (names of ``doctor``'s findings),
        before (commands to run first, as lists of words; empty after running) and command (list of
        words), in the order of running; outcomes: list of objects with name,
        version, state (installed, present, planned), root (path), commands (list of lists of
        words; empty if present); environment: variables to set before ``torchml-install driver``.
        """
        return {
            "schema": 1,
            "dry_run": self.dry_run,
            "packages": [step.as_json(planned=self.dry_run) for step in self.steps],
            "outcomes": [outcome.as_json() for outcome in self.outcomes],
            "environment": {name: str(value) for name, value in self.environment.items()},
        }


def provide(
    words: Sequence[str],
    options: DepsOptions,
    *,
    archive: str | None = None,
    sha256: str | None = None,
) -> Result:
    """Installs what the words of ``--with`` name, or without words what the driver's build lacks.

    archive: file or URL of a libtorch, with its expected sha256; installed first, and instead of
    any other torch. Raises what the providers raise.
    """
    say_which()
    outcomes = []
    if archive is not None:
        outcomes.append(libtorch.provide(archive, sha256, options))
    named = [word for word in dict.fromkeys(words) if word in NEEDS]
    steps: list[Step] = []
    if named or not words:
        facts = survey(options.places)
        needs = packages.missing(named, facts, options)
        if archive is not None:
            needs = [need for need in needs if need.name != "torch"]
        steps = packages.plan(needs, options)
        for hint in packages.hints(steps, options, facts):
            console.note(hint)
        if not options.dry_run:
            steps = packages.install(needs, steps, options)
    handled = [word for word in dict.fromkeys(words) if word in HANDLERS]
    outcomes += [HANDLERS[word](word, options) for word in handled]
    environment = {outcome.variable: outcome.root for outcome in outcomes}
    return Result(outcomes, options.dry_run, environment, steps, for_driver=not words)
