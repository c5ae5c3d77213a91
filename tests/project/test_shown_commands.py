"""Commands on pages: torchml-install accepts them as they stand, and make has what they name."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

import click
import pytest

from tests.support import ROOT
from tests.support.pages import blocks, pages, prose
from torchml_installer.cli import cli

PROGRAM = "torchml-install"
#: Languages of blocks that a shell runs; none: as older pages have them.
SHELL = ("", "bash", "console", "sh", "shell", "text")
#: What ends a command in a shell.
_ENDS = {"|", "||", "&&", ";", "&", ">", ">>", "<", "2>"}


@dataclass(frozen=True)
class Command:
    """A command line; whole: it stands in a block, with all that it needs."""

    where: str
    line: str
    whole: bool

    def words(self) -> list[str]:
        words: list[str] = []
        for word in shlex.split(self.line, comments=True):
            if word in _ENDS:
                break
            words.append(word.rstrip(";") if self.whole else word)
        return words[words.index(PROGRAM) + 1 :]


def shown() -> Iterator[Command]:
    for page in pages():
        name = str(page.relative_to(ROOT))
        if name == "CHANGELOG.md":
            continue
        for block in blocks(page, *SHELL):
            text = re.sub(r"\\\n\s*", " ", block.text)
            for line in text.splitlines():
                command = line.strip().removeprefix("$ ")
                if re.match(rf"(?:\S+/)?{PROGRAM}\s", command):
                    yield Command(block.where, command.replace(".venv/bin/", ""), True)
        for code in re.findall(r"`([^`]+)`", prose(page)):
            if code.startswith(f"{PROGRAM} "):
                yield Command(name, " ".join(code.split()), False)


def parse(words: list[str], whole: bool) -> None:
    """Raises click.ClickException where the command would refuse the words."""
    command: click.Command = cli
    context = click.Context(cli, info_name=PROGRAM)
    while isinstance(command, click.Group):
        if not words or words[0].startswith("-"):
            cli_options = {option for one in command.params for option in one.opts}
            known = cli_options | {"-h", "--help", "--version"}
            for word in words:
                if word not in known:
                    raise click.NoSuchOption(word)
            return
        name, *words = words
        below = command.get_command(context, name)
        if below is None:
            raise click.UsageError(f"no command {name}")
        command, context = below, click.Context(below, info_name=name, parent=context)
    if words in (["--help"], ["-h"]):
        return
    if whole:
        command.make_context(command.name, list(words), parent=context.parent)
        return
    # What is mentioned in a sentence has no arguments, and an option of it perhaps no value.
    known = {option for one in command.params for option in (*one.opts, *one.secondary_opts)}
    for word in words:
        if word.startswith("-") and word.partition("=")[0] not in known:
            raise click.NoSuchOption(word)


def test_torchml_install_accepts_every_command_that_pages_show() -> None:
    refused = []
    commands = list(shown())
    assert len(commands) > 50
    for command in commands:
        words = command.words()
        if not command.whole and any("…" in word or "..." in word for word in words):
            words = words[: next(n for n, word in enumerate(words) if "…" in word or "..." in word)]
        try:
            parse(words, command.whole)
        except click.exceptions.Exit:
            continue
        except click.ClickException as error:
            refused.append(f"{command.where}: {command.line}: {error.format_message()}")
    assert refused == []


@pytest.mark.parametrize(
    ("line", "whole"),
    [
        ("torchml-install modle pack", False),
        ("torchml-install model pack --cutof 3", False),
        ("torchml-install model pack a.pt --cutoff 3", True),
        ("torchml-install model pack a.pt --elements Si --cutoff x", True),
        ("torchml-install --quick", False),
    ],
)
def test_commands_that_there_are_not_would_be_noticed(line: str, whole: bool) -> None:
    with pytest.raises(click.ClickException):
        parse(Command("here", line, whole).words(), whole)
