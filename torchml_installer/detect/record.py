"""The record that every detection returns."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torchml_installer.errors import TorchMLError


@dataclass(frozen=True)
class Place:
    """One place that was searched.

    how: why it was searched. refused: why its contents were not used; "" if they were.
    """

    where: Path
    how: str
    refused: str = ""

    def as_json(self) -> dict[str, str]:
        return {"where": str(self.where), "how": self.how, "refused": self.refused}


def named_by(variable: str) -> Place:
    """The place that an environment variable names."""
    value = os.environ.get(variable)
    if not value:
        return Place(Path(f"${variable}"), variable, "not set")
    return Place(Path(value).absolute(), variable)


def first_with(
    places: Iterable[Place], lacks: Callable[[Path], str]
) -> tuple[Place | None, tuple[Place, ...]]:
    """The first place that lacks nothing, or None; and all places, with their verdicts.

    lacks: returns what a folder lacks, "" if nothing.
    """
    taken: Place | None = None
    looked = []
    for place in once(places):
        refused = place.refused or lacks(place.where)
        if not refused and taken is not None:
            refused = "an earlier one is used"
        looked.append(replace(place, refused=refused))
        if not refused:
            taken = place
    return taken, tuple(looked)


def once(places: Iterable[Place]) -> Iterator[Place]:
    """The places; refuses one that was named before in another way."""
    seen = set()
    for place in places:
        again = not place.refused and place.where in seen
        yield replace(place, refused="already searched") if again else place
        seen.add(place.where)


def correction(how: str, option: str, others: Sequence[Path]) -> str:
    """The remedy if the place that an option or variable names has nothing usable.

    Only that place is searched: installing one elsewhere would not help.

    option: names another place. others: usable places, the best first.
    """
    undo = f"Leave out {how}" if how.startswith("--") else f"Unset {how}"
    if others:
        best = shlex.quote(str(others[0]))
        return f"{undo}, or name another one. This one works: {option} {best}"
    return (
        f"{undo} and run `torchml-install deps` to install one, or name another one with {option}."
    )


@dataclass(frozen=True)
class Finding:
    """One thing that was searched for.

    name: key in the JSON output; title: what a user calls it.
    needed: the driver cannot be built without it.
    where: the file or folder found, None if nothing was; how: why this place was searched.
    problem: why it is unusable (with remedy and exit code), None if it is usable.
    hint: for something optional that is missing, what it is for and the next command.
    details: further facts for the reader, in the order to show them.
    looked: every searched place, in order.
    """

    name: str
    title: str
    needed: bool = False
    where: Path | None = None
    how: str = ""
    version: str = ""
    problem: TorchMLError | None = None
    hint: str = ""
    details: dict[str, str] = field(default_factory=dict)
    looked: tuple[Place, ...] = ()

    @property
    def usable(self) -> bool:
        return self.where is not None and self.problem is None

    @property
    def absent(self) -> bool:
        """Whether it is just not installed, which is not a failure."""
        return self.where is None and self.problem is None

    @property
    def state(self) -> str:
        """The state in a word or two, for people."""
        if self.usable:
            return "ok"
        if self.absent:
            return "not found"
        return "PROBLEM" if self.needed else "not usable"

    @property
    def named(self) -> bool:
        """Whether the user named it, by an option or by its variable."""
        found_by = ("PATH", "CONDA_PREFIX")
        return self.how.startswith("--") or (self.how in os.environ and self.how not in found_by)

    @property
    def next_step(self) -> str:
        """What to do about it; empty if there is nothing to do."""
        if self.problem is not None:
            return self.problem.remedy
        return "" if self.usable else self.hint

    def as_json(self) -> dict[str, Any]:
        """The documented form, see ``doctor.schema``."""
        return {
            "name": self.name,
            "title": self.title,
            "needed": self.needed,
            "usable": self.usable,
            "where": None if self.where is None else str(self.where),
            "how": self.how,
            "version": self.version,
            "problem": None if self.problem is None else self.problem.message,
            "exit_code": 0 if self.problem is None else self.problem.exit_code,
            "next_step": self.next_step,
            "details": dict(self.details),
            "looked": [place.as_json() for place in self.looked],
        }


def version_tuple(text: str) -> tuple[int, ...]:
    """``"3.25.1-rc2"`` → (3, 25, 1): the leading numbers, for comparisons.

    packaging.version does not fit: most of these are not Python versions (``12.2.0-14+deb12u1``),
    which it refuses, and it sorts the pre-releases of torch that vendors ship (``2.1.0a0+29c30b1``)
    before the release, although they count as the release.
    """
    numbers = re.match(r"[0-9]+(?:\.[0-9]+)*", text)
    return tuple(map(int, numbers[0].split("."))) if numbers else ()
