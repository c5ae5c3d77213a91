"""The Python module torchml_driver in this Python, which all runs of the tests with this Python
share: while one run uses it, no other replaces it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

from tests.support import KEPT, ROOT, torchml_install
from tests.support.keeping import taken_alone

_PLACE = Path(sys.prefix) if os.access(sys.prefix, os.W_OK) else KEPT
_STAMP = _PLACE / "torchml-tests.stamp"
_VARIABLES = ("CC", "CXX", "CXXFLAGS", "LDFLAGS", "TORCH_ROOT", "LIBDESCRIPTOR_ROOT")

#: Held from the first use of the module until this process ends: shared or exclusive.
_lock: IO[str] | None = None


def install_driver(env: Mapping[str, str], work: Path) -> None:
    """Builds and installs the driver into the collection of the environment, and the Python module.

    If the variable TORCHML_PREBUILT names a folder with a wheel, takes the prebuilt ones from it.
    Another run may use the module at the same time if it was installed from the same sources; if
    its sources differ, this run waits until that one ends.
    """
    global _lock
    if _lock is None:
        _PLACE.mkdir(parents=True, exist_ok=True)
        _lock = (_PLACE / "torchml-tests.lock").open("a")
    wheels = os.environ.get("TORCHML_PREBUILT")
    made = ("--prebuilt", "--find-links", wheels) if wheels else ("--build",)
    command = ("driver", "--collection", "environment", *made)
    alone = taken_alone(_lock)
    whole = False
    while True:
        if alone:
            _STAMP.unlink(missing_ok=True)
            torchml_install(*command, env=env, cwd=work)
            _STAMP.write_text(_state())
            whole = True
        fcntl.flock(_lock, fcntl.LOCK_SH)
        if _is_right():
            break
        alone = taken_alone(_lock)
    if not whole:
        torchml_install(*command, "--no-python", env=env, cwd=work)


@contextlib.contextmanager
def replacing() -> Iterator[None]:
    """For a test that itself installs the module from the same sources, while no other run uses it.

    Waits until there is no other run, or only such that wait for the same.
    """
    assert _lock is not None, "the driver is installed first"
    fcntl.flock(_lock, fcntl.LOCK_EX)
    try:
        yield
        _STAMP.write_text(_state())
    finally:
        fcntl.flock(_lock, fcntl.LOCK_SH)


def _is_right() -> bool:
    return _STAMP.is_file() and _STAMP.read_text() == _state()


def _state() -> str:
    """A text that changes with the module's sources and with each installation."""
    digest = hashlib.sha256()
    variables = sorted(name for name in os.environ if name.startswith("TORCHML_"))
    for name in (*_VARIABLES, *variables):
        digest.update(f"{name}={os.environ.get(name)}\n".encode())
    for path in sorted((ROOT / "driver_src").rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(f"{path.relative_to(ROOT)}\n".encode() + path.read_bytes())
    installed = Path(sysconfig.get_path("platlib"), "torchml_driver")
    for path in sorted(installed.glob("*")):
        if path.is_file():
            facts = path.stat()
            digest.update(f"{path} {facts.st_size} {facts.st_mtime_ns}\n".encode())
    return digest.hexdigest()
