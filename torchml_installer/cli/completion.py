"""``torchml-install completion``."""

from __future__ import annotations

import click

from torchml_installer.cli.verbs import Verb


@click.command(cls=Verb, short_help="Print a shell completion script.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print a script that makes a shell complete this command.

    To keep it, add the line to ~/.bashrc, ~/.zshrc or ~/.config/fish/config.fish.

    \b
    Examples: bash, zsh, fish
      eval "$(torchml-install completion bash)"
      eval "$(torchml-install completion zsh)"
      torchml-install completion fish | source
    """
    from click.shell_completion import get_completion_class

    writer = get_completion_class(shell)
    assert writer is not None
    # source() would run bash to check its version; an old bash reports the problem itself.
    command = click.get_current_context().find_root().command
    instance = writer(command, {}, "torchml-install", "_TORCHML_INSTALL_COMPLETE")
    click.echo(instance.source_template % instance.source_vars())
