"""Finds out what a graph model can do without, and writes it into its parameter file.

The Python module of the driver does the work (``torchml_driver.graph_settings``), in a process of
its own: this package never imports torch, and a model that crashes takes only that process along.
"""

from __future__ import annotations

from pathlib import Path

from torchml_installer import console
from torchml_installer.errors import RunFailedError
from torchml_installer.models import parameter_file
from torchml_installer.models.parameter_file import Parameters
from torchml_installer.paths import cache_folder
from torchml_installer.process import run_logged
from torchml_installer.user_python import user_python

MODULE = "torchml_driver"


def find(path: Path) -> Parameters:
    """Adds to a parameter file, whose model file lies beside it, the settings that change no
    result, and returns its new contents. A model whose settings cannot be tried keeps none."""
    python = user_python()
    if not python.has(MODULE):
        console.note(
            "Whether the model can do with fewer edges was not tried, which needs the Python "
            "module: `torchml-install driver` installs it."
        )
        return parameter_file.read(path)
    try:
        output = run_logged(
            [python.executable, "-m", f"{MODULE}.graph_settings", path],
            title="finding out what the model can do without",
            log=cache_folder() / "logs" / "graph-settings.log",
            # Which codes the model gets is its package's word; empty is as good as not set.
            environment={"KIM_MODEL_ELEMENTS_MAP": ""},
            failure=RunFailedError,
        )
    except RunFailedError as error:
        console.warn(f"the model runs with all edges, as nothing less could be tried: {error}")
        return parameter_file.read(path)
    known = ("edge_receiver_row ", "drop_unused_particles ")
    settings = [line for line in output.splitlines() if line.startswith(known)]
    text = path.read_text(encoding="utf-8")
    found = parameter_file.parse("\n".join([text, *settings]), path)
    path.write_text(found.as_text(), encoding="utf-8")
    return found
