"""Finds the floating-point type of a model's inputs, and records it in the parameter file.

``torchml_driver.precision`` does so by evaluating the model. That is unnecessary if all weights
have the same type.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from torchml_installer.errors import BadOptionError, PythonModuleError, RunFailedError
from torchml_installer.models import compiled, engine, parameter_file, torchscript
from torchml_installer.models.parameter_file import PRECISIONS, Parameters
from torchml_installer.support import console


def of_package(package: compiled.Package, wanted: str | None) -> str | None:
    """The type that a package was compiled for; None if not recorded.

    Raises BadOptionError if the user wants another one.
    """
    known = next((item.dtype for item in package.signature if item.dtype in PRECISIONS), None)
    if wanted is not None and known is not None and wanted != known:
        raise BadOptionError(
            f"{package.path} was compiled for inputs of type {known}, not {wanted}.",
            "Leave out --precision, or compile the model with weights of that type.",
        )
    return known


def of_weights(model: torchscript.TorchScriptFile) -> str | None:
    """The type of the model's weights, if all have the same."""
    if model.contents is None:
        return None
    types = {*model.contents.parameters, *model.contents.buffers}.intersection(PRECISIONS)
    return types.pop() if len(types) == 1 else None


def record(path: Path, wanted: str | None) -> Parameters:
    """Adds the type to a parameter file, whose model file is beside it, and returns its new
    contents.

    wanted: the type that the user names.

    Raises BadOptionError if the model takes only another type.
    """
    parameters = parameter_file.read(path)
    precision = _found(path, wanted)
    if precision is None:
        return parameters
    parameters = dataclasses.replace(parameters, precision=precision)
    path.write_text(parameters.as_text(), encoding="utf-8")
    return parameters


def _found(path: Path, wanted: str | None) -> str | None:
    title = "finding the type of the model's inputs"
    try:
        found: dict[str, Any] = engine.answer(
            "precision", path.parent, {"first": wanted}, title=title
        )
    except PythonModuleError:
        if wanted is None:
            console.note(
                "The type of the model's inputs is not recorded: finding it takes the Python "
                "module, which `torchml-install driver` installs. Or name the type with "
                "--precision."
            )
        return wanted
    except RunFailedError as error:
        if wanted is None:
            console.warn(f"the type of the model's inputs is not recorded: {error}")
        return wanted
    precision: str | None = found["precision"]
    failed = {trial["inputs"]: trial["problem"] for trial in found["trials"] if trial["problem"]}
    if precision is None:
        problem = failed[wanted] if wanted is not None else next(iter(failed.values()))
        console.warn(f"the model fails with every floating-point type of inputs: {problem}")
        if len(types := found["weights"]) > 1:
            console.warn(
                f"the model's weights have several types ({', '.join(types)}). If that is not "
                "intended, convert the whole module before you save it, with model.double() or "
                "model.float()."
            )
        return wanted
    if wanted is not None and precision != wanted:
        raise BadOptionError(
            f"The model fails with inputs of type {wanted}: {failed[wanted]}",
            f"Leave out --precision: the model works with {precision}.",
        )
    if wanted is None:
        working = [trial["inputs"] for trial in found["trials"] if not trial["problem"]]
        console.note(
            f"The model's inputs are recorded as {precision}, the most precise of the types that "
            f"it works with ({', '.join(working)})."
        )
    return precision
