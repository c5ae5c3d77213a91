"""``torchml-install exit-codes``."""

from __future__ import annotations

import click

from torchml_installer.cli.options import json_option, print_json
from torchml_installer.cli.verbs import Verb


@click.command(cls=Verb, short_help="List the exit codes.")
@json_option
def exit_codes(as_json: bool) -> None:
    """List every exit code of torchml-install, and what it means.

    A code never changes its meaning: scripts can rely on it.

    \b
    Example:
      torchml-install exit-codes --json
    """
    from torchml_installer import errors
    from torchml_installer.support import console

    codes = errors.exit_codes()
    if as_json:
        print_json([{"code": code, "meaning": meaning} for code, meaning in codes.items()])
        return
    for code, meaning in codes.items():
        console.result(f"{code:3}  {meaning}")
