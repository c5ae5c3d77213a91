"""Runs a program on a terminal of a given width, and shows what a person sees there."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def on_terminal(
    command: Sequence[str | Path], width: int, environment: Mapping[str, str], folder: Path
) -> tuple[int, str]:
    """The exit code, and everything that the program wrote, with its escapes."""

    def start(terminal: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [str(word) for word in command],
            cwd=folder,
            env={"TERM": "xterm", **environment},
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
        )

    return shown_on_terminal(start, rows=40, columns=width)


def shown_on_terminal(
    start: Callable[[int], subprocess.Popen[bytes]], rows: int, columns: int
) -> tuple[int, str]:
    """Starts a program with a terminal's file descriptor, and reads all that it writes there."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    process = start(theirs)
    os.close(theirs)
    shown = b""
    # Reading fails when the last program that has the terminal ends.
    with contextlib.suppress(OSError):
        while block := os.read(ours, 1 << 16):
            shown += block
    os.close(ours)
    return process.wait(timeout=60), shown.decode().replace("\r\n", "\n")


def plain(shown: str) -> str:
    """Without escapes; lines that were drawn over one another, below one another."""
    return _ESCAPE.sub("", shown).replace("\r", "\n")


def widest(shown: str) -> int:
    """The number of columns of the widest line."""
    return max(map(len, plain(shown).splitlines()), default=0)
