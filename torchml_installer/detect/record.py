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
    """One place that was looked at.

    how: why there. refused: why what is there, if anything, was not taken; "": it was.
    """

    where: Path
    how: str
    refused: str = ""

    def as_json(self) -> dict[str, str]:
        return {"where": str(self.where), "how": self.how, "refused": self.refused}


def named_by(variable: str) -> Place:
    """Where a variable of the environment leads."""
    value = os.environ.get(variable)
    if not value:
        return Place(Path(f"${variable}"), variable, "not set")
    return Place(Path(value).absolute(), variable)


def first_with(
    places: Iterable[Place], lacks: Callable[[Path], str]
) -> tuple[Place | None, tuple[Place, ...]]:
    """The first place that lacks nothing, None if there is none; and all of them, judged.

    lacks: what is missing in a folder, "" if nothing is.
    """
    taken: Place | None = None
    looked = []
    for place in once(places):
        refused = place.refused or lacks(place.where)
        if not refused and taken is not None:
            refused = "one before it counts"
        looked.append(replace(place, refused=refused))
        if not refused:
            taken = place
    return taken, tuple(looked)


def once(places: Iterable[Place]) -> Iterator[Place]:
    """The places; one that comes a second time, by another way, is refused."""
    seen = set()
    for place in places:
        again = not place.refused and place.where in seen
        yield replace(place, refused="looked at already") if again else place
        seen.add(place.where)


def correction(how: str, option: str, others: Sequence[Path]) -> str:
    """What to do where a place that the user named, by an option or a variable, holds nothing.

    Installing one elsewhere would not help: nothing but what was named is looked at.

    option: that names another one. others: that could be used instead, the best first.
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
    """One thing that was looked for.

    name: key in the JSON output; title: what a user calls it.
    needed: the driver cannot be built without it.
    where: file or folder that was found, None if nothing was; how: why it was looked for there.
    problem: why it is not usable (with its remedy and exit code), None if it is usable.
    hint: the one next command for something optional that is missing.
    details: further facts for the reader, in the order of showing.
    looked: every place that was looked at, in that order.
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
        """Whether it is simply not there, which is no failure."""
        return self.where is None and self.problem is None

    @property
    def state(self) -> str:
        """In a word or two, for people."""
        if self.usable:
            return "ok"
        if self.absent:
            return "not here"
        return "PROBLEM" if self.needed else "not usable"

    @property
    def named(self) -> bool:
        """Whether the user has said where it is, by an option or by a variable of its own."""
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
