"""Answers the two requests of ``model pack --from``: make a model, and compare it with its library.

``step``: ``make`` or ``prove``. Both name ``library``, ``source`` and ``options``.

``make`` writes TorchScript to ``output`` and answers ``elements``, ``cutoff`` (Å), ``layers``,
``precision``, ``atomic_numbers``, ``pattern`` (``edges`` or ``graph``), ``title`` and ``version``
of the library, ``notes``, ``facts``.
``prove`` compares ``model``, a portable model made of it, and answers the fields of proof.Proof.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .._requests import serve


def answered(request: Mapping[str, Any]) -> dict[str, Any]:
    from .making import make, prove

    for name in ("KIM_MODEL_ELEMENTS_MAP", "KIM_MODEL_GHOSTS", "KIM_MODEL_EXECUTION_DEVICE"):
        os.environ.pop(name, None)  # the result must not depend on the packer's environment
    asked = (request["library"], request["source"], request["options"])
    if request["step"] == "make":
        return make(*asked, Path(request["output"]))
    return prove(*asked, Path(request["model"]))


if __name__ == "__main__":
    sys.exit(serve(answered))
