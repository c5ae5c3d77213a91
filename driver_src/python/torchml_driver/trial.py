"""Tests a model that is being packed: which species codes it was made for, and whether it has the
properties that every simulator relies on.

    python -m torchml_driver.trial MODEL

Prints one JSON object. It holds ``not_loaded``, the reason why the model cannot be loaded or
evaluated here (for example, because it was compiled for another machine), ``refused``, the reason
why it cannot be loaded anywhere (for example, a mistake in its descriptor file), or ``failed``, how
it fails on an ordinary system. Otherwise it holds ``species``, the fields of
``species_codes.Finding``, and ``checks``, those of ``verify.verify_quickly`` with the species codes
that the portable model records or that were found; without checks if these are unknown or
contradict each other.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ._core import Error, ErrorHere
from ._requests import is_request, serve
from .potential import Potential
from .species_codes import Finding, find, stdout_for_answers
from .verify import verify_quickly


def trial(model: Path, *, codes_known: bool = False) -> dict[str, Any]:
    """Tests a model; see the module's docstring for the result.

    codes_known: whether the species codes that the portable model records are right. Otherwise
    the model is evaluated with both kinds.
    """
    # The result must not depend on the packer's environment.
    os.environ.pop("KIM_MODEL_ELEMENTS_MAP", None)
    os.environ.pop("KIM_MODEL_GHOSTS", None)  # checks have ghosts that are no images
    try:
        potential = _loaded(model)
    except Error as error:
        # The same on every machine, unlike a model file, which another torch may be able to load.
        of_descriptor = str(error).startswith("descriptor file ")
        return {"refused" if of_descriptor else "not_loaded": str(error)}
    try:
        found = Finding("none") if codes_known else find(potential)
        answer: dict[str, Any] = {"species": asdict(found), "checks": []}
        recorded = potential._core.recorded_atomic_numbers
        kinds = {"codes": False, "atomic_numbers": True}
        unclear = recorded is None and found.outcome == "unknown"
        if unclear or (recorded is not None and kinds.get(found.outcome, recorded) != recorded):
            return answer  # the user must decide first
        if recorded is None and found.outcome == "atomic_numbers":
            potential = _loaded(model, atomic_numbers=True)
        answer["checks"] = [asdict(check) for check in verify_quickly(potential)]
    except ErrorHere as error:
        return {"not_loaded": str(error)}
    except Error as error:
        return {"failed": str(error)}
    return answer


def _loaded(model: Path, *, atomic_numbers: bool | None = None) -> Potential:
    """The model on the CPU, which survives a model's mistakes, unless it was made for a GPU."""
    try:
        return Potential(model, atomic_numbers=atomic_numbers, device="cpu")
    except Error as error:
        try:
            return Potential(model, atomic_numbers=atomic_numbers, device="cuda")
        except Error:
            raise error from None


def answered(request: Mapping[str, Any]) -> dict[str, Any]:
    """Answers a request (see _requests): the trial of ``model``, a portable model; ``codes_known``
    as in ``trial``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return trial(Path(request["model"]), codes_known=request.get("codes_known", False))


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m torchml_driver.trial", description=__doc__.split("\n\n", 1)[0]
    )
    parser.add_argument("model", type=Path, help="portable-model folder or its *.param file")
    model = parser.parse_args().model
    with warnings.catch_warnings(), stdout_for_answers() as answers:
        warnings.simplefilter("ignore")
        print(json.dumps(trial(model)), file=answers)
    return 0


if __name__ == "__main__":
    sys.exit(serve(answered) if is_request() else main())
