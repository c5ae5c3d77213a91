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

    how: why it was. refused: why what is there, if anything, was not used; "": it was used.
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
    """The first place that lacks nothing, if any; and all places, with their verdicts.

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
    """The places; one that is named a second time, in another way, is refused."""
    seen = set()
    for place in places:
        again = not place.refused and place.where in seen
        yield replace(place, refused="already searched") if again else place
        seen.add(place.where)


def correction(how: str, option: str, others: Sequence[Path]) -> str:
    """The remedy if a place that the user named, by an option or a variable, has nothing usable.

    Installing one elsewhere would not help, since only the place that was named is searched.

    option: the one that names another place. others: places that could be used, the best first.
    """
    undo = f"Leave out {how}" if how.startswith("--") else f"Unset {how}"
    if others:
        best = shlex.quote(str(others[0]))
        return f"{undo}, or name another one; usable here: {option} {best}"
    return (
        f"{undo}, or name another one with {option}; without, `torchml-install deps` installs one."
    )


@dataclass(frozen=True)
class Finding:
    """One thing that was searched for.

    name: key in the JSON output; title: what a user calls it.
    needed: the driver cannot be built without it.
    where: file or folder that was found, None if nothing was; how: why it was searched for there.
    problem: why it is not usable (with its remedy and exit code), None if it is usable.
    hint: the one next command for something optional that is missing.
    details: further facts for the reader, in the order to show them.
    looked: every place that was searched, in that order.
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
        """Whether it is simply not there, which is not a failure."""
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
        """Whether the user said where it is, by an option or by its own variable."""
        found_by = ("PATH", "CONDA_PREFIX")
        return self.how.startswith("--") or (self.how in os.environ and self.how not in found_by)

    @property
    def next_step(self) -> str:
        """What to do about it; empty when there is nothing to do."""
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

    Most of these versions are not Python's (``12.2.0-14+deb12u1``), and the pre-releases of torch
    that vendors ship (``2.1.0a0+29c30b1``) count as the release: packaging.version would refuse the
    former and put the latter before it.
    """
    numbers = re.match(r"[0-9]+(?:\.[0-9]+)*", text)
    return tuple(map(int, numbers[0].split("."))) if numbers else ()
