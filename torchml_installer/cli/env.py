"""``torchml-install env``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from torchml_installer.cli.options import FILE, places_options
from torchml_installer.cli.verbs import Verb

if TYPE_CHECKING:
    from torchml_installer.detect import Places


@click.command(cls=Verb, short_help="Write env.sh (or fish, csh, Lmod) for your own builds.")
@click.option(
    "-o",
    "--output",
    type=FILE,
    metavar="FILE",
    help="File to write, - for standard output (default: env.sh, env.fish, env.csh, torchml.lua or "
    "env.json).",
)
@click.option(
    "--format",
    "kind",
    type=click.Choice(["sh", "fish", "csh", "lmod", "json"]),
    default="sh",
    show_default=True,
    help="Shell or format to write for.",
)
@click.option("--force", is_flag=True, help="Replace a file that torchml-install did not write.")
@places_options
def env(
    output: str | None,
    kind: str,
    force: bool,
    places: Places,
) -> None:
    """Write a file that sets TORCH_ROOT and similar variables for your own builds.

    Installed drivers and models do not need it.

    \b
    Example:
      torchml-install env && . ./env.sh
    """
    import shlex

    from torchml_installer.environment import writing as environment
    from torchml_installer.environment.formats import FORMATS
    from torchml_installer.support import console

    text, path = environment.write(kind, output, places, force=force)
    if path is None:
        click.echo(text, nl=False)
        return
    language = FORMATS[kind]
    line = f"Wrote {path}."
    if language.use:
        parts = {"path": str(path), "folder": str(path.parent), "stem": path.stem}
        quoted = {key: shlex.quote(value) for key, value in parts.items()}
        use, undo = language.use.format(**quoted), language.undo.format(**quoted)
        line += f" Load it with `{use}`; undo it with `{undo}`."
    console.result(line)
