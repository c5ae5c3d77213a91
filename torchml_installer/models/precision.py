"""Finds out of which floating-point type a model's inputs are, and writes it into its parameter
file.

The Python module of the driver does the work (``torchml_driver.precision``) by evaluating the
model; where all its weights have one type, nobody needs to.
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
    """The type that a package was compiled for; None if it does not say it.

    Raises BadOptionError if another one is wanted.
    """
    known = next((item.dtype for item in package.signature if item.dtype in PRECISIONS), None)
    if wanted is not None and known is not None and wanted != known:
        raise BadOptionError(
            f"{package.path} was compiled for inputs of type {known}, not {wanted}.",
            "Leave out --precision; or compile the model with weights of that type.",
        )
    return known


def of_weights(model: torchscript.TorchScriptFile) -> str | None:
    """The type of the model's weights, if they have one and the same."""
    if model.contents is None:
        return None
    types = {*model.contents.parameters, *model.contents.buffers}.intersection(PRECISIONS)
    return types.pop() if len(types) == 1 else None


def record(path: Path, wanted: str | None) -> Parameters:
    """Adds the type to a parameter file, whose model file lies beside it, and returns its new
    contents. wanted: the type that the user says it is.

    Raises BadOptionError if the model takes another type only.
    """
    parameters = parameter_file.read(path)
    precision = _found(path, wanted)
    if precision is None:
        return parameters
    parameters = dataclasses.replace(parameters, precision=precision)
    path.write_text(parameters.as_text(), encoding="utf-8")
    return parameters


def _found(path: Path, wanted: str | None) -> str | None:
    title = "finding out the type of the model's inputs"
    try:
        found: dict[str, Any] = engine.answer(
            "precision", path.parent, {"first": wanted}, title=title
        )
    except PythonModuleError:
        if wanted is None:
            console.note(
                "Of which floating-point type the model's inputs are was not tried, which needs "
                "the Python module (`torchml-install driver` installs it); --precision says it."
            )
        return wanted
    except RunFailedError as error:
        if wanted is None:
            console.warn(f"the type of the model's inputs was not found: {error}")
        return wanted
    precision: str | None = found["precision"]
    failed = {trial["inputs"]: trial["problem"] for trial in found["trials"] if trial["problem"]}
    if precision is None:
        problem = failed[wanted] if wanted is not None else next(iter(failed.values()))
        console.warn(f"the model works with inputs of no floating-point type: {problem}")
        return wanted
    if wanted is not None and precision != wanted:
        raise BadOptionError(
            f"The model does not work with inputs of type {wanted}: {failed[wanted]}",
            f"Leave out --precision: it works with {precision}.",
        )
    if wanted is None:
        working = [trial["inputs"] for trial in found["trials"] if not trial["problem"]]
        console.note(
            f"The model's inputs are recorded as {precision}: of the types that it works with "
            f"({', '.join(working)}), that gives the most exact results."
        )
    return precision
