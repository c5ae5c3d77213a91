"""Finds out what a graph model can do without, and writes it into its parameter file;
``torchml_driver.graph_settings`` does the work."""

from __future__ import annotations

from pathlib import Path

from torchml_installer.errors import PythonModuleError, RunFailedError
from torchml_installer.models import engine, parameter_file
from torchml_installer.models.parameter_file import Parameters
from torchml_installer.support import console, disk

#: Which codes the model gets is its package's word; empty is as good as not set.
_ENVIRONMENT = {"KIM_MODEL_ELEMENTS_MAP": ""}


def find(path: Path) -> Parameters:
    """Adds to a parameter file, whose model file lies beside it, the settings that change no
    result, and returns its new contents. A model that only another machine or torch can run keeps
    none.

    Raises RunFailedError if the model cannot be evaluated.
    """
    title = "finding out what the model can do without"
    try:
        settings = engine.ask(
            "graph_settings", {"model": str(path)}, title=title, environment=_ENVIRONMENT
        )
    except PythonModuleError:
        console.note(
            "Whether the model can do with fewer edges was not tried, which needs the Python "
            "module: `torchml-install driver` installs it."
        )
        return parameter_file.read(path)
    except engine.NoAnswerError as error:
        lines = [*error.said, *error.reason.splitlines()]
        if full := [line for line in lines if disk.says_full(line)]:
            raise disk.full("trying the model failed", said="\n".join(full)) from error
        if error.kind not in ("here", "killed"):
            raise RunFailedError(
                f"The model cannot be evaluated: {error.reason}",
                "Nothing was written. Correct the model, or --pattern, --layers, --elements and "
                "--cutoff if they are not the model's.",
            ) from error
        console.warn(
            f"the model runs with all edges, as nothing less could be tried here: {error.reason}"
        )
        return parameter_file.read(path)
    text = path.read_text(encoding="utf-8")
    found = parameter_file.parse("\n".join([text, *settings]), path)
    path.write_text(found.as_text(), encoding="utf-8")
    return found
