"""How `torchml-install` asks this package for what needs torch: a JSON request, a JSON answer.

    python -m torchml_driver.MODULE --request FILE

FILE holds an object. Its ``answer`` names the file that the answer goes to; the rest is what MODULE
wants to know. The answer is ``{"result": ...}``, or, where what was asked for cannot be done,
``{"failure": KIND, "message": TEXT, "remedy": TEXT or null}``. Files, since models and torch's
compiler print what they like. A process that ends without an answer says why on standard error.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ._core import Error, ErrorHere

_OPTION = "--request"


class RefusedError(Exception):
    """What was asked for cannot be done.

    kind: what went wrong, for programs: ``here`` if it is this machine or this torch, ``model`` if
    it is the model, or what a module adds to these.
    """

    def __init__(self, kind: str, message: str, remedy: str | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.remedy = remedy


def is_request() -> bool:
    """Whether this process was started as above, and not by a person."""
    return len(sys.argv) == 3 and sys.argv[1] == _OPTION


def serve(answered: Callable[[Mapping[str, Any]], Any]) -> int:
    """Answers the request with what a function makes of it; 0, be the answer a failure or not."""
    request = json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
    answer: dict[str, Any]
    try:
        answer = {"result": answered(request)}
    except RefusedError as error:
        answer = _failure(error.kind, error.message, error.remedy)
    except ErrorHere as error:
        answer = _failure("here", str(error))
    except Error as error:
        answer = _failure("model", str(error))
    Path(request["answer"]).write_text(json.dumps(answer), encoding="utf-8")
    return 0


def _failure(kind: str, message: str, remedy: str | None = None) -> dict[str, Any]:
    return {"failure": kind, "message": message, "remedy": remedy}
