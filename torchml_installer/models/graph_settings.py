"""Finds work that a graph model does not need, and records it in the parameter file;
``torchml_driver.graph_settings`` does the evaluation."""

from __future__ import annotations

from pathlib import Path

from torchml_installer.errors import PythonModuleError, RunFailedError
from torchml_installer.models import engine, parameter_file
from torchml_installer.models.parameter_file import Parameters
from torchml_installer.support import console, disk

#: The package determines the species codes; an empty variable counts as unset.
_ENVIRONMENT = {"KIM_MODEL_ELEMENTS_MAP": ""}


def find(path: Path) -> Parameters:
    """Adds the settings that change no result to a parameter file, whose model file is beside it,
    and returns its new contents. Adds none if this machine or torch cannot run the model.

    Raises RunFailedError if the model cannot be evaluated.
    """
    title = "testing whether the model needs all edges"
    try:
        settings = engine.ask(
            "graph_settings", {"model": str(path)}, title=title, environment=_ENVIRONMENT
        )
    except PythonModuleError:
        console.note(
            "The model gets all edges: testing whether it needs them takes the Python module, "
            "which `torchml-install driver` installs."
        )
        return parameter_file.read(path)
    except engine.NoAnswerError as error:
        lines = [*error.said, *error.reason.splitlines()]
        if full := [line for line in lines if disk.says_full(line)]:
            raise disk.full("Evaluating the model failed", said="\n".join(full)) from error
        if error.kind not in ("here", "killed"):
            raise RunFailedError(
                f"Evaluating the model failed: {error.reason}",
                "Nothing was written. Correct the model, or --pattern, --layers, --elements and "
                "--cutoff if they do not match it.",
            ) from error
        console.warn(
            f"the model gets all edges, since fewer could not be tested here: {error.reason}"
        )
        return parameter_file.read(path)
    text = path.read_text(encoding="utf-8")
    found = parameter_file.parse("\n".join([text, *settings]), path)
    path.write_text(found.as_text(), encoding="utf-8")
    return found
