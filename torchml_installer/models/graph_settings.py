"""Finds out what a graph model can do without, and writes it into its parameter file.

The Python module of the driver does the work (``torchml_driver.graph_settings``), in a process of
its own: this package never imports torch, and a model that crashes takes only that process along.
"""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from torchml_installer.errors import RunFailedError
from torchml_installer.models import parameter_file
from torchml_installer.models.parameter_file import Parameters
from torchml_installer.support import console, disk
from torchml_installer.support.process import without_frames
from torchml_installer.support.user_python import user_python

MODULE = "torchml_driver"
#: Its exit code where what is wrong is this machine or torch.
_ELSEWHERE = 3


def find(path: Path) -> Parameters:
    """Adds to a parameter file, whose model file lies beside it, the settings that change no
    result, and returns its new contents. A model that only another machine or torch can run keeps
    none.

    Raises RunFailedError if the model cannot be evaluated.
    """
    python = user_python()
    if not python.has(MODULE):
        console.note(
            "Whether the model can do with fewer edges was not tried, which needs the Python "
            "module: `torchml-install driver` installs it."
        )
        return parameter_file.read(path)
    command = [python.executable, "-m", f"{MODULE}.graph_settings", str(path)]
    # Which codes the model gets is its package's word; empty is as good as not set.
    env = {**os.environ, "KIM_MODEL_ELEMENTS_MAP": ""}
    with console.step("finding out what the model can do without"):
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, env=env
        )
    if done.returncode != 0:
        if full := [line for line in done.stderr.splitlines() if disk.says_full(line)]:
            raise disk.full("trying the model failed", said="\n".join(full))
        lines = without_frames(done.stderr.splitlines()) or ["it gave no reason"]
        reason = lines[-1].removeprefix("error: ")
        if done.returncode == -signal.SIGKILL:
            reason = "it was killed, most likely for want of memory"
        elif done.returncode < 0:
            reason = f"it was ended by {signal.Signals(-done.returncode).name}"
        if done.returncode not in (_ELSEWHERE, -signal.SIGKILL):
            raise RunFailedError(
                f"The model cannot be evaluated: {reason}",
                "Nothing was written. Correct the model, or --pattern, --layers, --elements and "
                "--cutoff if they are not the model's.",
            )
        console.warn(
            f"the model runs with all edges, as nothing less could be tried here: {reason}"
        )
        return parameter_file.read(path)
    known = ("edge_receiver_row ", "drop_unused_particles ")
    settings = [line for line in done.stdout.splitlines() if line.startswith(known)]
    text = path.read_text(encoding="utf-8")
    found = parameter_file.parse("\n".join([text, *settings]), path)
    path.write_text(found.as_text(), encoding="utf-8")
    return found
