"""``torchml-install uninstall``."""

from __future__ import annotations

from pathlib import Path

import click

from torchml_installer.cli.options import WORD, json_option, print_json
from torchml_installer.cli.verbs import Verb


def _installed_names(
    _context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[str]:
    """Completes the name of an installed driver, model or library."""
    from torchml_installer import uninstall as removing

    names = {receipt.name for receipt in removing.in_place(removing.installed())}
    return sorted(name for name in names if name.startswith(incomplete))


@click.command(cls=Verb, short_help="Remove what was installed, and nothing else.")
@click.argument("names", nargs=-1, type=WORD, shell_complete=_installed_names)
@click.option("--all", "everything", is_flag=True, help="Remove everything, and the caches.")
@click.option("--dry-run", is_flag=True, help="Show what would be removed.")
@click.option("--force", is_flag=True, help="Also remove files modified since installation.")
@json_option
def uninstall(
    names: tuple[str, ...], everything: bool, dry_run: bool, force: bool, as_json: bool
) -> None:
    """Removes drivers, models, the Python module and libraries that this command installed.

    \b
    Without a name it lists them. Example:
      torchml-install uninstall My_Model
    """
    from torchml_installer import uninstall as removing

    chosen = removing.installed(names)
    listing = not names and not everything
    if listing:
        chosen = removing.in_place(chosen)
    removals = removing.uninstall(chosen, force=force, dry_run=dry_run or listing)
    caches: list[Path] = []
    if everything:
        caches = removing.caches() if dry_run else removing.remove_caches()
    state = "present" if listing else "planned" if dry_run else "removed"
    if as_json:
        print_json([removal.as_json(state) for removal in removals])
        return
    verb = {"present": "has installed", "planned": "would remove", "removed": "removed"}[state]
    for removal in removals:
        receipt = removal.receipt
        click.echo(f"{verb} the {receipt.kind} {receipt.name} ({receipt.installed_at})")
        for place in removal.removed:
            click.echo(f"  {place}")
        for place, reason in removal.kept:
            click.echo(f"  {place} stays: it {reason}", err=True)
    for folder in caches:
        click.echo(f"{verb} the caches in {folder}")
    if not removals and not caches:
        click.echo("Nothing was installed.")
    elif listing:
        click.echo("`torchml-install uninstall NAME` removes one of them, `--all` all of them.")
