"""What the user sees: results on stdout, progress and warnings on stderr.

On a terminal, text is wrapped to its width and progress is drawn (``progress.py``). Otherwise all
of it is plain lines: a CI job's log stays readable, and another program can read the results.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from torchml_installer.support.progress import Display

#: Seconds between two plain lines of progress.
_PLAIN_INTERVAL = 15.0
#: Columns below which no text is squeezed further.
_NARROWEST = 20
#: A command in backquotes counts as one word, with the brackets and stops around it.
_WORD = re.compile(r"(?:[^\s`]*`[^`]+`)+[^\s`]*|\S+")
#: A word of a command, with the spaces that it quotes; an option goes with its value.
_ARGUMENT = re.compile(r"""(?:--[\w-]+ (?!-))?(?:'[^']*'|"[^"]*"|\S)+""")
_OPTION = re.compile(r"--[\w-]+")
#: The label of a line such as "cutoff       3.77 Å": what follows is aligned to the first value.
_LABEL = re.compile(r" *\S+(?: \S+)* {2,}(?=\S)")
_STYLES = {"good": "32", "bad": "1;31", "odd": "33", "strong": "1", "faint": "2"}


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


def _is_smart(stream: TextIO) -> bool:
    """Whether a stream writes to a terminal that understands more than lines of text."""
    return stream.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")


def is_animated(stream: TextIO) -> bool:
    """Whether progress may be redrawn on a stream: on a terminal, unless it is a CI job's."""
    return _is_smart(stream) and os.environ.get("CI", "").lower() in ("", "0", "false")


def styled(text: str, style: str, stream: TextIO) -> str:
    """Text in colour, where the stream's terminal has colours and the user wants them (NO_COLOR).

    style: good, bad, odd, strong or faint.
    """
    if not text or os.environ.get("NO_COLOR") or not _is_smart(stream):
        return text
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m"


def fitted(text: str, stream: TextIO) -> str:
    """The text wrapped to the stream's terminal; unchanged if there is none.

    A command in backquotes stays on one line if it fits on one; otherwise it continues after a
    backslash, as a shell would read it. A path or URL is never broken, since it could not be
    copied. (rich breaks both, and takes longer to import than an error takes to print.)
    """
    width = columns(stream)
    return "\n".join(wrapped(line, width) for line in text.split("\n")) if width else text


def comment(text: str) -> str:
    """A comment between commands to type: each line of it begins with a hash sign."""
    width = columns(sys.stdout)
    lines = wrapped(text, width - 2).split("\n") if width else [text]
    return "\n".join(f"# {line}" for line in lines)


def command(words: Sequence[str]) -> str:
    """A command to type, for a line of its own on stdout; long ones continue after backslashes."""
    text = shlex.join(words)
    width = columns(sys.stdout)
    return "\n    ".join(broken(text, width - 4)) if 0 < width < len(text) else text


def folded(text: str, width: int) -> list[str]:
    """Lines no wider than ``width``: for cells of a table, where even a path has to be broken."""
    lines = [""]
    for word in text.split(" "):
        if len(lines[-1]) + 1 + len(word) <= width and lines[-1]:
            lines[-1] += f" {word}"
            continue
        if lines[-1]:
            lines.append("")
        while len(word) > width:
            # Behind a slash, if there is one in the second half.
            end = word.rfind("/", width // 2, width) + 1 or width
            lines[-1], word = word[:end], word[end:]
            lines.append("")
        lines[-1] = word
    return lines


def wrapped(line: str, width: int) -> str:
    """A line in several, as ``fitted`` does it."""
    if len(line) <= width:
        return line
    width = max(width, _NARROWEST)
    indent = line[: len(line) - len(line.lstrip())]
    hang = 2 * indent
    lines = [indent]
    rest = line.strip()
    if (label := _LABEL.match(line)) is not None and len(label[0]) <= width // 2:
        hang = " " * len(label[0]) if len(label[0]) <= width // 3 else f"{indent}    "
        lines, rest = [label[0]], line[len(label[0]) :]
    for word in _WORD.findall(rest):
        begins = not lines[-1] or lines[-1].endswith(" ")
        space = "" if begins else " "
        if len(lines[-1]) + len(space) + len(word) <= width:
            lines[-1] += space + word
            continue
        if not begins:
            lines.append(hang)
        first, *others = broken(word, width - len(hang)) if " " in word else [word]
        lines[-1] += first
        lines += [hang + piece for piece in others]
    return "\n".join(lines)


def broken(text: str, width: int) -> list[str]:
    """A command in pieces that fit, all but the last with a backslash; a long word is wider."""
    pieces: list[str] = []
    words: list[str] = []
    for word in _ARGUMENT.findall(text):
        # An option is parted from its value only if there is no room for both.
        option, space, value = word.partition(" ")
        parted = len(word) + 2 > width and _OPTION.fullmatch(option) is not None and space
        words += [option, value] if parted else [word]
    for word in words:
        if pieces and len(pieces[-1]) + len(word) + 3 <= width:
            pieces[-1] += f" {word}"
        else:
            pieces.append(word)
    return [f"{piece} \\" for piece in pieces[:-1]] + pieces[-1:]


def result(text: str) -> None:
    """Prints a result on stdout, at once."""
    print(fitted(text, sys.stdout), flush=True)


def show(text: str) -> None:
    """Prints a part of a longer result on stdout, as soon as that is convenient."""
    print(fitted(text, sys.stdout))


def note(text: str) -> None:
    """Says on stderr what is being done."""
    print(fitted(text, sys.stderr), file=sys.stderr, flush=True)


def quote(line: str) -> None:
    """Repeats on stderr a line that a program printed."""
    print(line, file=sys.stderr, flush=True)


def warn(text: str) -> None:
    """Warns on stderr of something that may surprise the user later."""
    print(fitted(f"warning: {text}", sys.stderr), file=sys.stderr, flush=True)


def may_ask() -> bool:
    """Whether somebody at a terminal can answer."""
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
    """One step with a title, for example "compiling"; ``advance`` reports progress.

    On a terminal, a step within another one takes over its line and gives it back.
    """

    _shown: Display | None = None

    def __init__(self, title: str, *, unit: str = "", verbose: bool = False) -> None:
        self._title = title
        self._unit = unit
        self._verbose = verbose
        self._started = time.monotonic()
        self._last_line = self._started
        self._display: Display | None = None
        self._owns_display = False

    def __enter__(self) -> Step:
        if self._verbose or not is_animated(sys.stderr):
            note(f"{self._title} ...")
            return self
        if Step._shown is None:
            from torchml_installer.support.progress import Display

            Step._shown = Display(columns(sys.stderr))
            self._owns_display = True
        self._display = Step._shown
        self._display.begin(self._title, self._unit)
        return self

    def advance(self, done: int, total: int, *, label: str = "", unit: str = "") -> None:
        """Reports ``done`` of ``total`` units of work (0: unknown). label: what is done now."""
        unit = unit or self._unit
        if self._display is not None:
            self._display.advance(done, total, label=label, unit=unit)
            return
        now = time.monotonic()
        if self._verbose or now - self._last_line < _PLAIN_INTERVAL:
            return
        self._last_line = now
        counted = f"{done} of {total} {unit}".rstrip() if total else ""
        facts = ", ".join(filter(None, (label, counted, f"{now - self._started:.0f} s")))
        note(f"{self._title}: {facts}")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        seconds = time.monotonic() - self._started
        if self._display is not None:
            self._display.end()
            if self._owns_display:
                self._display.close()
                Step._shown = None
            elif kind is None:
                return  # the outer step says when it is done
        if kind is None:
            note(f"{self._title}: done in {seconds:.1f} s")


@contextmanager
def step(title: str, *, unit: str = "", verbose: bool = False) -> Iterator[Step]:
    """Shows a step while the block runs. unit: of what ``advance`` counts."""
    with Step(title, unit=unit, verbose=verbose) as shown:
        yield shown
