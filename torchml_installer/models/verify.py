"""``model verify``: checks a portable model's physics.

The Python module of the driver does the work (``torchml_driver.verify``), in a process of its own:
this package never imports torch, and a model that crashes takes only that process along.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from torchml_installer import console
from torchml_installer.errors import PythonModuleError, RunFailedError

MODULE = "torchml_driver"


@dataclass(frozen=True)
class Check:
    """One property of a potential; see ``torchml_driver.verify``, which fills it.

    deviation: the largest found; tolerance: what would have passed; both in ``unit``.
    """

    name: str
    passed: bool
    deviation: float
    tolerance: float
    unit: str
    explanation: str


def verify(folder: Path) -> list[Check]:
    """Checks the model in a portable-model folder.

    Raises PythonModuleError if the Python module is not installed, RunFailedError if the model
    cannot be loaded or fails.
    """
    if importlib.util.find_spec(MODULE) is None:
        raise PythonModuleError(
            "The driver's Python module torchml_driver, which runs the model, is not installed.",
            "Install it with `torchml-install driver`.",
        )
    command = [sys.executable, "-m", f"{MODULE}.verify", str(folder), "--json"]
    with console.step("checking the model's physics"):
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
    try:
        return [Check(**check) for check in json.loads(done.stdout)]
    except (ValueError, TypeError) as error:
        lines = done.stderr.strip().splitlines()
        if done.returncode < 0:
            lines.append(f"it was ended by signal {-done.returncode}")
        reason = lines[-1].removeprefix("error: ") if lines else f"exit code {done.returncode}"
        raise RunFailedError(f"The model in {folder} cannot be checked: {reason}") from error
