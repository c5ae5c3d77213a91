"""Asks the driver's Python package for what needs torch: one JSON request, one JSON answer.

In a process of its own: this package never imports torch, and a model that crashes takes only that
process along. ``torchml_driver/_requests.py`` describes the request and the answer.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torchml_installer.errors import PythonModuleError, RunFailedError
from torchml_installer.support import console
from torchml_installer.support.process import run_logged, without_frames
from torchml_installer.support.user_python import say_which, user_python

PACKAGE = "torchml_driver"
#: What a package says that was installed by an older torchml-install.
_OLDER = re.compile(
    rf"No module named '?{PACKAGE}\b"
    r"|unrecognized arguments: --request|arguments are required: model"
)


class NoAnswerError(Exception):
    """What was asked for cannot be done.

    reason: why. kind: what the module calls it (``here``: it is this machine or this torch;
    ``model``; others of its own); ``ended`` if its process ended without an answer, ``killed`` if
    the system ended it, for want of memory. said: all that the process printed.
    """

    def __init__(
        self, kind: str, reason: str, remedy: str | None = None, said: tuple[str, ...] = ()
    ) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason
        self.remedy = remedy
        self.said = said


@dataclass(frozen=True)
class Log:
    """Where what the process prints is kept, and whether the user sees it, too. without_memory:
    what helps where memory runs out."""

    path: Path
    verbose: bool
    without_memory: str


def answer(
    module: str, folder: Path, request: Mapping[str, Any] | None = None, *, title: str
) -> Any:
    """What ``torchml_driver.MODULE`` answers about a portable model: its folder, or the parameter
    file in it.

    Raises PythonModuleError if the Python module is not installed, RunFailedError if the model
    cannot be loaded or fails.
    """
    try:
        return ask(module, {**(request or {}), "model": str(folder)}, title=title)
    except NoAnswerError as error:
        raise RunFailedError(f"The model in {folder} cannot be run: {error.reason}") from error


def ask(
    module: str,
    request: Mapping[str, Any],
    *,
    title: str,
    environment: Mapping[str, str] | None = None,
    log: Log | None = None,
) -> Any:
    """What ``torchml_driver.MODULE`` answers, in the user's Python. environment: variables that its
    process has besides this one's.

    Raises PythonModuleError if the Python module is not installed or older than this command,
    NoAnswerError where what is asked for cannot be done; with a log, RunFailedError where the
    process ends without an answer, and DiskFullError.
    """
    python = user_python()
    if not python.has(PACKAGE):
        raise PythonModuleError(
            f"The driver's Python module {PACKAGE}, which runs the model, is not installed for "
            f"{python.executable}.",
            "Install it with `torchml-install driver`.",
        )
    say_which()
    with tempfile.TemporaryDirectory(prefix="torchml-request-") as name:
        place = Path(name, "answer.json")
        file = Path(name, "request.json")
        file.write_text(json.dumps({**request, "answer": str(place)}), encoding="utf-8")
        command = [python.executable, "-m", f"{PACKAGE}.{module}", "--request", str(file)]
        if log is not None:
            said = _run_logged(command, title, environment, log)
            ended = NoAnswerError("ended", "it gave no answer", said=said)
        else:
            ended = _run(command, title, environment)
        if not place.exists():
            _require_this_version("\n".join(ended.said))
            raise ended
        given: dict[str, Any] = json.loads(place.read_text(encoding="utf-8"))
    if (kind := given.get("failure")) is not None:
        raise NoAnswerError(kind, given["message"], given["remedy"], ended.said)
    return given["result"]


def _run(command: list[str], title: str, environment: Mapping[str, str] | None) -> NoAnswerError:
    """Why there is no answer, if there is none."""
    with console.step(title):
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            env={**os.environ, **(environment or {})},
        )
    said = tuple(done.stderr.splitlines())
    if done.returncode == -signal.SIGKILL:
        return NoAnswerError("killed", "it was killed, most likely for want of memory", said=said)
    if done.returncode < 0:
        name = signal.strsignal(-done.returncode) or "no name"
        reason = f"it was ended by signal {-done.returncode} ({name})"
        return NoAnswerError("ended", reason, said=said)
    lines = without_frames(said)
    reason = lines[-1].removeprefix("error: ") if lines else f"exit code {done.returncode}"
    return NoAnswerError("ended", reason, said=said)


def _run_logged(
    command: list[str], title: str, environment: Mapping[str, str] | None, log: Log
) -> tuple[str, ...]:
    try:
        said = run_logged(
            command,
            title=title,
            log=log.path,
            environment=environment,
            verbose=log.verbose,
            failure=RunFailedError,
            without_memory=log.without_memory,
        )
    except RunFailedError as error:
        _require_this_version(error.message)
        raise
    return tuple(said.splitlines())


def _require_this_version(said: str) -> None:
    if _OLDER.search(said):
        raise PythonModuleError(
            f"The driver's Python module {PACKAGE} of {user_python().executable} is older than "
            "this command.",
            "`torchml-install driver` installs the one that belongs to it.",
        )
