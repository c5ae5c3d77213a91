"""How the command finds its verbs: each in its own module, imported when needed."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Sequence
from typing import Any

import click

from torchml_installer.support import console


class _HelpFormatter(click.HelpFormatter):
    """Breaks lines of help at spaces only, and not within a command in backquotes."""

    #: What click's wrapping takes for ordinary letters, one for each character that it breaks at.
    _LETTERS = str.maketrans("- ", "\ufff0\ufff1")
    _BACK = str.maketrans("\ufff0\ufff1", "- ")

    def write(self, string: str) -> None:
        super().write(string.translate(self._BACK))

    def write_text(self, text: str) -> None:
        paragraphs = [
            self._narrowed(paragraph) if paragraph.startswith("\b\n") else paragraph
            for paragraph in text.split("\n\n")
        ]
        super().write_text(self._protected("\n\n".join(paragraphs)))

    def _narrowed(self, paragraph: str) -> str:
        """An example, which click does not wrap: each indented line of it is a command."""
        room = self.width - self.current_indent
        lines = []
        for line in paragraph.split("\n"):
            if len(line) <= room or not line.startswith("  "):
                lines.append(console.wrapped(line, room))
                continue
            first, *others = console.broken(line.strip(), room - 6)
            lines += [f"  {first}", *(f"      {other}" for other in others)]
        return "\n".join(lines)

    def write_dl(
        self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2
    ) -> None:
        protected = [(first, self._protected(second)) for first, second in rows]
        super().write_dl(protected, min(col_max, self.width // 3), col_spacing)

    def _protected(self, text: str) -> str:
        text = text.replace("-", "-".translate(self._LETTERS))
        return re.sub(
            "`[^`]+`",
            lambda command: (
                command[0].translate(self._LETTERS)
                if len(command[0]) < self.width - self.current_indent
                else command[0]
            ),
            text,
        )


class _Context(click.Context):
    formatter_class = _HelpFormatter


class Verb(click.Command):
    """One verb; its help ends with a pointer to the main help."""

    context_class = _Context

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        settings["epilog"] = "Exit codes and environment: torchml-install --help"
        super().__init__(*arguments, **settings)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        has_elements = "--elements" in args
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            # LAMMPS separates elements with spaces.
            if has_elements and "extra argument" in error.message:
                hint = ". Separate elements with commas: --elements Si,C"
                raise click.UsageError(f"{error.message}{hint}", ctx=ctx) from error
            raise


class VerbGroup(click.Group):
    """Verbs that belong together, listed in the order of use."""

    command_class = Verb
    context_class = _Context

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


class LazyVerbs(VerbGroup):
    """Imports a verb's module when the verb is used or its help line is shown.

    verbs: their names. A verb's module in this package and its function there have its name, with
    ``_`` for ``-``.
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
