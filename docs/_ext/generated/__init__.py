"""Markdown that is made from the code while the site is built; neither torch nor Sphinx is needed.

A page asks for it by name: a block ``{generated} exit-codes``.
"""

from __future__ import annotations

from collections.abc import Callable

from . import command_line, doctor_json, exit_codes, python_api, troubleshooting

GENERATORS: dict[str, Callable[[], str]] = {
    "command-line": command_line.markdown,
    "doctor-json": doctor_json.markdown,
    "driver-messages": troubleshooting.of_the_driver,
    "exit-codes": exit_codes.markdown,
    "failures": troubleshooting.failures,
    "known-problems": troubleshooting.known_problems,
    "python-api": python_api.markdown,
}
