"""Files that the tests keep between runs, and share with simultaneous runs.

Several runs may use them at once, in this checkout and in others, and each may be killed at any
moment. So a kept file is either complete or missing; one run makes it while the others wait; and a
killed run's remains are removed when the same file is made again.
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
    """Locks ``place`` for this process; waits while another process holds it.

    A lock ends with its process, however that ends.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    with lock_of(place).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def kept(place: Path, make: Callable[[Path], None]) -> Path:
    """The file or folder ``place``; ``make`` makes it at the given path if it does not exist.

    ``make`` gets a path of the same name, in an empty folder next to ``place``.
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
    """A folder that cannot be moved once it exists, such as a virtual environment.

    complete: the file in it that marks it as complete; ``make`` starts without the folder.
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
    """For files that depend on the sources: makes ``place`` current unless it is, and keeps it so.

    Until this process ends, no other remakes it; one that needs another state waits.
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
            make()  # another process may get the lock before it is shared


def taken_alone(lock: IO[str]) -> bool:
    """Whether this process now holds a lock exclusively; if not, it has released it for a moment.

    Waiting would never end if other holders meanwhile made what this process needs, and keep it.
    """
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        fcntl.flock(lock, fcntl.LOCK_UN)
        time.sleep(0.1)
        return False
    return True


def alone_until_the_end(place: Path) -> None:
    """Locks ``place`` until this process ends; waits while another process holds it."""
    if place in _HELD:
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    lock = _HELD[place] = lock_of(place).open("a")
    fcntl.flock(lock, fcntl.LOCK_EX)
