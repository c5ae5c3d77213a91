"""``torchml-install doctor``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from torchml_installer.cli.failures import fail
from torchml_installer.cli.options import json_option, places_options, print_json
from torchml_installer.cli.verbs import Verb

if TYPE_CHECKING:
    from torchml_installer.detect import Places
    from torchml_installer.errors import TorchMLError


@click.command(cls=Verb, short_help="Show what is installed, and what is missing.")
@click.option("--fix", is_flag=True, help="Repair known problems first.")
@click.option("--places", "all_places", is_flag=True, help="Show every place that was searched.")
@places_options
@json_option
@click.option(
    "--markdown", is_flag=True, help="Print an anonymised report to attach to a bug report."
)
@click.option("--schema", is_flag=True, help="Print the JSON Schema of the --json output.")
def doctor(
    fix: bool,
    all_places: bool,
    places: Places,
    as_json: bool,
    markdown: bool,
    schema: bool,
) -> None:
    """Show what is installed, what is missing, and what to do about it.

    Exits with 0 if the driver can be built or a prebuilt one fits, otherwise with the exit code of
    the first problem.

    \b
    Example: check with another libtorch
      torchml-install doctor --torch-root /opt/libtorch
    """
    from torchml_installer.detect import survey
    from torchml_installer.doctor import diagnosis as module

    if as_json and markdown:
        raise click.UsageError("Use either --json or --markdown, not both.")
    if schema:
        click.echo(module.schema(), nl=False)
        return
    facts = survey(places)
    hindered: list[TorchMLError] = []
    if fix:
        hindered = module.apply_remedies(facts)
        facts = survey(places)
    if as_json:
        print_json(module.as_json(facts))
    elif markdown:
        from torchml_installer.doctor import report

        click.echo(report.markdown(facts), nl=False)
    else:
        module.show(facts, places=all_places)
    for error in hindered:
        fail(error)
    click.get_current_context().exit(module.exit_code(facts))
