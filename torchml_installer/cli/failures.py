"""How the command reports a failure: a message, what to do, and an exit code."""

from __future__ import annotations

import sys

import click

from torchml_installer import __version__
from torchml_installer.errors import REPORT, TorchMLError, UnexpectedError


def fail(error: TorchMLError) -> int:
    """Prints an error and its remedy on stderr; returns its exit code."""
    from torchml_installer.support.console import fitted, styled

    text = fitted(f"error: {error.message}", sys.stderr)
    label, colon, rest = text.partition(":")
    click.echo(styled(f"{label}{colon}", "bad", sys.stderr) + rest, err=True)
    if error.remedy:
        click.echo(fitted(f"  what to do: {error.remedy}", sys.stderr), err=True)
    return error.exit_code


def unexpected(error: Exception) -> TorchMLError:
    """The failure to show for a bug in this program; saves the traceback in a file."""
    import tempfile
    import traceback

    text = "".join(traceback.format_exception(error))
    saved = "the traceback (which could not be saved)"
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
        f"Please {REPORT} Attach {saved} as well.",
    )
