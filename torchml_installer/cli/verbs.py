"""How the command finds its verbs: each in a module of its own, which is imported when needed."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import click


class Verb(click.Command):
    """One verb; its help ends with where to read on."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        settings["epilog"] = "Exit codes and environment: torchml-install --help"
        super().__init__(*arguments, **settings)


class VerbGroup(click.Group):
    """Verbs that belong together, listed in the order of the code, which is that of use."""

    command_class = Verb

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


class LazyVerbs(VerbGroup):
    """Imports the module of a verb when the verb is used, or its help line is shown.

    verbs: their names. The module of a verb in this package and its function there are called
    alike, with ``_`` for ``-``.
    """

    def __init__(self, *arguments: Any, verbs: Sequence[str], **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._verbs = tuple(verbs)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._verbs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._verbs:
            return None
        name = cmd_name.replace("-", "_")
        verb: click.Command = getattr(importlib.import_module(f"{__package__}.{name}"), name)
        return verb
