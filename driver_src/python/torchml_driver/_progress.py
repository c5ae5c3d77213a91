"""Reports the steps of a request to the process that made it, which draws the progress."""

from __future__ import annotations

import sys

from ._requests import is_request


def report(done: int, total: int, what: str) -> None:
    """Says that ``what`` begins after ``done`` of ``total`` steps (0: nobody knows how many).

    Prints a line on standard error, "torchml-step DONE/TOTAL WHAT", if this process answers a
    request; otherwise nothing.
    """
    if is_request():
        print(f"torchml-step {done}/{total} {what}", file=sys.stderr, flush=True)
