"""Runs a module of the driver's Python package on a portable model.

In a process of its own: this package never imports torch, and a model that crashes takes only that
process along.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torchml_installer.errors import PythonModuleError, RunFailedError
from torchml_installer.support import console
from torchml_installer.support.process import without_frames
from torchml_installer.support.user_python import say_which, user_python

PACKAGE = "torchml_driver"


def answer(module: str, folder: Path, options: Sequence[str] = (), *, title: str) -> Any:
    """What ``python -m torchml_driver.MODULE FOLDER --json`` prints.

    Raises PythonModuleError if the Python module is not installed, RunFailedError if the model
    cannot be loaded or fails.
    """
    python = user_python()
    if not python.has(PACKAGE):
        raise PythonModuleError(
            f"The driver's Python module {PACKAGE}, which runs the model, is not installed for "
            f"{python.executable}.",
            "Install it with `torchml-install driver`.",
        )
    say_which()
    command = [python.executable, "-m", f"{PACKAGE}.{module}", str(folder), "--json", *options]
    with console.step(title):
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
    try:
        return json.loads(done.stdout)
    except ValueError as error:
        lines = without_frames(done.stderr.splitlines())
        if done.returncode < 0:
            lines.append(f"it was ended by signal {-done.returncode}")
        reason = lines[-1].removeprefix("error: ") if lines else f"exit code {done.returncode}"
        raise RunFailedError(f"The model in {folder} cannot be run: {reason}") from error
