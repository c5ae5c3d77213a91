"""``torchml-install completion``."""

from __future__ import annotations

import click

from torchml_installer.cli.verbs import Verb


@click.command(cls=Verb, short_help="Print a shell completion script.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Prints a script that enables completion of this command in a shell.

    \b
    Examples (bash and zsh: add the line to ~/.bashrc or ~/.zshrc to keep it):
      eval "$(torchml-install completion bash)"
      eval "$(torchml-install completion zsh)"
      torchml-install completion fish | source
    """
    from click.shell_completion import get_completion_class

    writer = get_completion_class(shell)
    assert writer is not None
    # Without a program click would run bash to learn its version; old ones fail by themselves.
    command = click.get_current_context().find_root().command
    instance = writer(command, {}, "torchml-install", "_TORCHML_INSTALL_COMPLETE")
    click.echo(instance.source_template % instance.source_vars())
