"""How the command tells of a failure: a message, what to do, and an exit code."""

from __future__ import annotations

import sys

import click

from torchml_installer import __version__
from torchml_installer.errors import TorchMLError, UnexpectedError


def fail(error: TorchMLError) -> int:
    """Prints an error and its remedy on stderr; returns its exit code."""
    from torchml_installer.support.console import fitted

    click.echo(fitted(f"error: {error.message}", sys.stderr), err=True)
    if error.remedy:
        click.echo(fitted(f"  what to do: {error.remedy}", sys.stderr), err=True)
    return error.exit_code


def unexpected(error: Exception) -> TorchMLError:
    """What to tell of a fault of this program; saves the traceback in a file."""
    import tempfile
    import traceback

    text = "".join(traceback.format_exception(error))
    saved = "the traceback (it could not be saved)"
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="torchml-install-", suffix=".txt", delete=False, encoding="utf-8"
        ) as stream:
            stream.write(f"torchml-install {__version__}\n{' '.join(sys.argv)}\n\n{text}")
            saved = f"the file {stream.name}"
    except OSError:
        pass
    return UnexpectedError(
        f"This is a bug in torchml-install: {type(error).__name__}: {error}",
        f"A bug report needs the output of `torchml-install doctor --markdown` and {saved}.",
    )
