"""How `torchml-install` delegates work that needs torch: one JSON request, one JSON answer.

    python -m torchml_driver.MODULE --request FILE

FILE holds a JSON object. Its ``answer`` names the file to write the answer to; MODULE defines the
rest. The answer is ``{"result": ...}`` or, if the request cannot be met, ``{"failure": KIND,
"message": TEXT, "remedy": TEXT or null}``. Requests and answers are files because models and
torch's compiler may print anything. A process that ends without an answer gives the reason on
standard error.
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
    """The request cannot be met.

    kind: what is at fault, for programs: ``here`` for this machine or its torch, ``model`` for the
    model; modules define further kinds.
    """

    def __init__(self, kind: str, message: str, remedy: str | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.remedy = remedy


def is_request() -> bool:
    """Whether this process was started with a request, and not by a person."""
    return len(sys.argv) == 3 and sys.argv[1] == _OPTION


def serve(answered: Callable[[Mapping[str, Any]], Any]) -> int:
    """Calls a function with the request and writes its answer. Returns 0, also for a failure."""
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
