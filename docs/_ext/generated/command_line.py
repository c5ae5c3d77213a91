"""Every verb of ``torchml-install`` with its options, from click."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import click

from torchml_installer.cli import cli

from .text import escaped, table

PROGRAM = "torchml-install"


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, with the words that start it."""
    yield from _below(cli, PROGRAM)


def _below(group: click.Group, words: str) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group, info_name=words)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None, name
        if isinstance(command, click.Group):
            yield from _below(command, f"{words} {name}")
        else:
            yield f"{words} {name}", command


def markdown() -> str:
    parts = []
    rows = []
    for words, command in commands():
        if command.hidden:
            continue
        anchor = words.removeprefix(f"{PROGRAM} ").replace(" ", "-")
        rows.append((f"[`{words}`](#{anchor})", escaped(command.get_short_help_str(200))))
        parts.append(_section(words, anchor, command))
    environment = escaped(inspect.cleandoc(cli.epilog or "").partition("\n\n")[2])
    environment = environment.replace("Environment:", "Environment variables:")
    return "\n".join([table(("command", "what it does"), rows), environment, "", *parts])


def _section(words: str, anchor: str, command: click.Command) -> str:
    context = click.Context(command, info_name=words)
    usage = " ".join(command.collect_usage_pieces(context))
    text, _, example = inspect.cleandoc(command.help or "").partition("\b\n")
    lines = [
        f"({anchor})=",
        f"## {words.removeprefix(PROGRAM + ' ')}",
        "",
        "```text",
        f"{words} {usage}",
        "```",
        "",
        escaped(text.strip()),
        "",
    ]
    if example:
        lines += ["```console"]
        lines += [f"$ {line.strip()}" for line in _examples(example)]
        lines += ["```", ""]
    rows = [
        _row(option, context)
        for option in command.get_params(context)
        if isinstance(option, click.Option) and "--help" not in option.opts
    ]
    hidden = [
        option.opts[0]
        for option in command.get_params(context)
        if isinstance(option, click.Option) and option.hidden
    ]
    if rows:
        lines += [table(("option", "meaning"), rows)]
    if hidden:
        words = "options that" if len(hidden) > 1 else "an option that"
        named = ", ".join(f"`{name}`" for name in hidden)
        lines += [f"For comparisons there is {words} `--help` leaves out: {named}.", ""]
    return "\n".join(lines)


def _examples(text: str) -> list[str]:
    joined = re.sub(r"\\\n\s*", "", text)
    return [line for line in joined.splitlines() if line.strip().startswith(PROGRAM)]


def _row(option: click.Option, context: click.Context) -> tuple[str, str]:
    spelt = ", ".join(option.opts)
    if option.secondary_opts:
        spelt += " / " + ", ".join(option.secondary_opts)
    if not option.is_flag and not option.count:
        # With ctx since click 8.2.
        try:
            spelt += " " + option.make_metavar(context)
        except TypeError:
            spelt += " " + option.make_metavar()  # type: ignore[call-arg]
    meaning = escaped(option.help or "")
    notes = []
    if option.required:
        notes.append("required")
    if option.multiple and "repeatable" not in meaning.lower():
        notes.append("repeatable")
    if option.show_default and option.default is not None:
        notes.append(f"default: `{option.default}`")
    return f"`{spelt}`", f"{meaning} {f'({chr(59).join(notes)})' if notes else ''}".strip()
