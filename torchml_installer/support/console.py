"""What the user sees: results on stdout, progress and warnings on stderr.

Progress is drawn by rich when stderr is a terminal; otherwise it is plain lines, so that a log
file of a CI job stays readable and the results on stdout can be piped into another program.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

#: Seconds between two plain lines of progress.
_PLAIN_INTERVAL = 15.0
_COMMAND = re.compile(r"`[^`]+`")


def columns(stream: TextIO) -> int:
    """The width of the terminal that a stream writes to; 0 if it is not a terminal."""
    if not stream.isatty():
        return 0
    if (given := os.environ.get("COLUMNS", "")).isdigit() and int(given):
        return int(given)
    with contextlib.suppress(OSError):
        # A terminal may not know its own width, and says 0.
        return os.get_terminal_size(stream.fileno()).columns or 80
    return 80


def fitted(text: str, stream: TextIO) -> str:
    """The text wrapped to the stream's terminal; unchanged if there is none.

    A command in backquotes stays in one piece, however long, so that it can be copied; so does a
    path. (rich would break the former, and takes longer to import than an error takes to print.)
    """
    width = columns(stream)
    return "\n".join(_wrapped(line, width) for line in text.split("\n")) if width else text


def _wrapped(line: str, width: int) -> str:
    indent = line[: len(line) - len(line.lstrip())]
    whole = _COMMAND.sub(lambda match: match[0].replace(" ", "\0"), line.strip())
    wrapped = textwrap.fill(
        whole,
        max(width, 20),
        initial_indent=indent,
        subsequent_indent=2 * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return wrapped.replace("\0", " ")


def result(text: str) -> None:
    """Prints a result on stdout."""
    print(text, flush=True)


def note(text: str) -> None:
    """Says on stderr what is being done."""
    print(text, file=sys.stderr, flush=True)


def warn(text: str) -> None:
    """Warns on stderr of something that may surprise the user later."""
    print(f"warning: {text}", file=sys.stderr, flush=True)


def may_ask() -> bool:
    """Whether there is a terminal with somebody who can answer."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def confirmed(question: str, *facts: str) -> bool:
    """Shows the facts and asks on stderr; without a terminal the answer is no."""
    if not may_ask():
        return False
    import click

    for fact in facts:
        note(fact)
    return click.confirm(question, err=True)


class Step:
    """One step with a title, for example "compiling"; ``advance`` reports progress."""

    def __init__(self, title: str, *, verbose: bool = False) -> None:
        self._title = title
        self._verbose = verbose
        self._started = time.monotonic()
        self._last_line = self._started
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Step:
        if sys.stderr.isatty() and not self._verbose:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

            columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
            self._progress = Progress(*columns, console=Console(stderr=True), transient=True)
            self._task = self._progress.add_task(self._title, total=None)
            self._progress.start()
        else:
            note(f"{self._title} ...")
        return self

    def advance(self, done: int, total: int) -> None:
        """Reports ``done`` of ``total`` units of work."""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=done, total=total)
            return
        now = time.monotonic()
        if not self._verbose and now - self._last_line >= _PLAIN_INTERVAL:
            self._last_line = now
            note(f"{self._title}: {done} of {total}, {now - self._started:.0f} s")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        seconds = time.monotonic() - self._started
        if self._progress is not None:
            self._progress.stop()
        if kind is None:
            note(f"{self._title}: done in {seconds:.1f} s")


@contextmanager
def step(title: str, *, verbose: bool = False) -> Iterator[Step]:
    """Shows a step while the block runs."""
    with Step(title, verbose=verbose) as shown:
        yield shown
