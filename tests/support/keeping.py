"""What the tests keep between their runs, and share with the runs beside them.

Several runs may go on at once, in this checkout and in others, and each may be killed at any
moment. So what is kept is there whole or not at all; one run makes it while the others wait; and
what a killed run has left behind is nobody's, and goes when the same thing is made again.
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

#: Locks that are held until this process ends.
_HELD: dict[Path, IO[str]] = {}


def lock_of(place: Path) -> Path:
    return place.with_name(f"{place.name}.lock")


@contextlib.contextmanager
def locked(place: Path) -> Iterator[None]:
    """Holds ``place`` for this process; waits for one that has it.

    A lock goes with its process, however that ends.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    with lock_of(place).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def kept(place: Path, make: Callable[[Path], None]) -> Path:
    """The file or folder ``place``, which ``make`` makes where it is told if it is not there yet.

    ``make`` gets a path of the same name, in an empty folder beside ``place``.
    """
    if place.exists():
        return place
    with locked(place):
        partial = f".partial-{place.name}-"
        for left in place.parent.glob(f"{glob.escape(partial)}*"):
            shutil.rmtree(left, ignore_errors=True)  # a run that was killed
        if not place.exists():
            with tempfile.TemporaryDirectory(prefix=partial, dir=place.parent) as work:
                made = Path(work, place.name)
                make(made)
                made.rename(place)
    return place


def kept_in_place(folder: Path, make: Callable[[], None], complete: str = "complete") -> Path:
    """A folder that cannot be moved once it is made, such as a virtual environment.

    complete: the file in it that says so; ``make`` starts without the folder.
    """
    marker = folder / complete
    if marker.exists():
        return folder
    with locked(folder):
        if not marker.exists():
            shutil.rmtree(folder, ignore_errors=True)
            make()
            marker.touch()
    return folder


def in_use(place: Path, is_right: Callable[[], bool], make: Callable[[], None]) -> None:
    """For what changes with the sources: makes ``place`` right unless it is, and keeps it so.

    Until this process ends, no other one makes it anew; who wants it otherwise waits.
    """
    if place in _HELD:
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    lock = _HELD[place] = lock_of(place).open("a")
    while True:
        fcntl.flock(lock, fcntl.LOCK_SH)
        if is_right():
            return
        if taken_alone(lock):
            make()  # another process may come in before it is shared


def taken_alone(lock: IO[str]) -> bool:
    """Whether this process has a lock for itself now; if not, it has let go of it, for a moment.

    Waiting for it would never end where those who have it meanwhile made what this one needs, and
    keep it.
    """
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        fcntl.flock(lock, fcntl.LOCK_UN)
        time.sleep(0.1)
        return False
    return True


def alone_until_the_end(place: Path) -> None:
    """Holds ``place`` until this process ends; waits for one that has it."""
    if place in _HELD:
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    lock = _HELD[place] = lock_of(place).open("a")
    fcntl.flock(lock, fcntl.LOCK_EX)
