"""Answers a request to compile a model; see the package's docstring."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from .._requests import serve


def answered(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Compiles, checks and writes a package. Returns the facts about it, for people and
    programs."""
    from . import machine
    from .request import Request

    request = Request.of(asked)
    with machine.work_folder() as work:
        machine.require_torch()
        from .making import make  # needs torch

        return make(request, work)


if __name__ == "__main__":
    sys.exit(serve(answered))
