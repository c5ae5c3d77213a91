"""Sends one JSON request to the driver's Python package for work that needs torch.

The package answers from a separate process: this one never imports torch, and a model that crashes
ends only that process. ``torchml_driver/_requests.py`` describes request and answer.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torchml_installer.errors import PythonModuleError, RunFailedError
from torchml_installer.support import console
from torchml_installer.support.process import run_logged, show_step, without_frames
from torchml_installer.support.user_python import say_which, user_python

PACKAGE = "torchml_driver"
#: Messages of a package that an older torchml-install installed.
_OLDER = re.compile(
    rf"No module named '?{PACKAGE}\b"
    r"|unrecognized arguments: --request|arguments are required: model"
)


class NoAnswerError(Exception):
    """The request failed.

    reason: why. kind: the module's name for it (``here``: because of this machine or torch;
    ``model``; or others); ``ended`` if the process ended without an answer, ``killed`` if the
    system ended it, usually because memory ran out. said: the whole output of the process.
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
    """Where to keep the output of the process, and whether to show it. without_memory: the remedy
    if memory runs out."""

    path: Path
    verbose: bool
    without_memory: str


def answer(
    module: str, folder: Path, request: Mapping[str, Any] | None = None, *, title: str
) -> Any:
    """The answer of ``torchml_driver.MODULE`` about a portable model (its folder or parameter
    file).

    Raises PythonModuleError if the Python module is not installed, RunFailedError if the model
    cannot be loaded or fails.
    """
    try:
        return ask(module, {**(request or {}), "model": str(folder)}, title=title)
    except NoAnswerError as error:
        raise RunFailedError(f"Cannot run the model in {folder}: {error.reason}") from error


def ask(
    module: str,
    request: Mapping[str, Any],
    *,
    title: str,
    environment: Mapping[str, str] | None = None,
    log: Log | None = None,
) -> Any:
    """The answer of ``torchml_driver.MODULE`` in the user's Python.

    environment: variables for its process, in addition to those of this one.

    Raises PythonModuleError if the Python module is missing or older than this command, and
    NoAnswerError if the request fails. With a log, raises RunFailedError if the process ends
    without an answer, and DiskFullError.
    """
    python = user_python()
    if not python.has(PACKAGE):
        raise PythonModuleError(
            f"{python.executable} does not have the driver's Python module {PACKAGE}, which runs "
            "the model.",
            "Install it with `torchml-install driver`.",
        )
    say_which()
    with tempfile.TemporaryDirectory(prefix="torchml-request-") as name:
        place = Path(name, "answer.json")
        file = Path(name, "request.json")
        file.write_text(json.dumps({**request, "answer": str(place)}), encoding="utf-8")
        command = [python.executable, "-m", f"{PACKAGE}.{module}", "--request", str(file)]
        said: list[str] = []
        check = partial(_require_result, place, said)
        if log is not None:
            said += _run_logged(command, title, environment, log, check)
            ended = NoAnswerError("ended", "the process gave no answer", said=tuple(said))
        else:
            ended = _run(command, title, environment, said, check)
        if not place.exists():
            _require_this_version("\n".join(ended.said))
            raise ended
        return json.loads(place.read_text(encoding="utf-8"))["result"]


def _require_result(place: Path, said: Sequence[str]) -> None:
    """Raises NoAnswerError if the answer is a failure. said: the output of the process."""
    if not place.exists():
        return
    given: dict[str, Any] = json.loads(place.read_text(encoding="utf-8"))
    if (kind := given.get("failure")) is not None:
        raise NoAnswerError(kind, given["message"], given["remedy"], tuple(said))


def _run(
    command: list[str],
    title: str,
    environment: Mapping[str, str] | None,
    lines: list[str],
    check: Callable[[], None],
) -> NoAnswerError:
    """Runs the command; returns the reason to report if it gives no answer.

    lines: gets what the process prints on standard error. check: called at the end.
    """
    with (
        console.step(title) as shown,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env={**os.environ, **(environment or {})},
        ) as done,
    ):
        assert done.stderr is not None
        try:
            for line in done.stderr:
                if not show_step(line.rstrip("\n"), shown):
                    lines.append(line.rstrip("\n"))
            done.wait()
        except BaseException:
            done.kill()
            raise
        check()
    said = tuple(lines)
    if done.returncode == -signal.SIGKILL:
        return NoAnswerError(
            "killed", "the process was killed, most likely because memory ran out", said=said
        )
    if done.returncode < 0:
        name = signal.strsignal(-done.returncode) or "unknown"
        reason = f"the process ended with signal {-done.returncode} ({name})"
        return NoAnswerError("ended", reason, said=said)
    shown_lines = without_frames(said)
    reason = f"exit code {done.returncode}"
    if shown_lines:
        reason = shown_lines[-1].removeprefix("error: ")
    return NoAnswerError("ended", reason, said=said)


def _run_logged(
    command: list[str],
    title: str,
    environment: Mapping[str, str] | None,
    log: Log,
    check: Callable[[], None],
) -> list[str]:
    try:
        said = run_logged(
            command,
            title=title,
            log=log.path,
            environment=environment,
            verbose=log.verbose,
            failure=RunFailedError,
            without_memory=log.without_memory,
            check=check,
        )
    except RunFailedError as error:
        _require_this_version(error.message)
        raise
    return said.splitlines()


def _require_this_version(said: str) -> None:
    if _OLDER.search(said):
        raise PythonModuleError(
            f"The driver's Python module {PACKAGE} of {user_python().executable} is older than "
            "this command.",
            "Update it with `torchml-install driver`.",
        )
