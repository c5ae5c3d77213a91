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


@click.command(cls=Verb, short_help="Remove what this command installed, and nothing else.")
@click.argument("names", nargs=-1, type=WORD, shell_complete=_installed_names)
@click.option("--all", "everything", is_flag=True, help="Remove everything, including the caches.")
@click.option("--dry-run", is_flag=True, help="Show what would be removed.")
@click.option("--force", is_flag=True, help="Also remove files modified since installation.")
@json_option
def uninstall(
    names: tuple[str, ...], everything: bool, dry_run: bool, force: bool, as_json: bool
) -> None:
    """Remove drivers, models, the Python module and libraries that this command installed.

    Without a name, list them.

    \b
    Example:
      torchml-install uninstall My_Model
    """
    from torchml_installer import uninstall as removing
    from torchml_installer.support import console

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
    verb = {"present": "installed:", "planned": "would remove", "removed": "removed"}[state]
    for removal in removals:
        receipt = removal.receipt
        console.result(f"{verb} {receipt.kind} {receipt.name} ({receipt.installed_at})")
        for place in removal.removed:
            console.result(f"  {place}")
        for place, reason in removal.kept:
            console.note(f"  kept {place}: it {reason}")
    for folder in caches:
        console.result(f"{verb} caches in {folder}")
    if not removals and not caches:
        console.result("torchml-install has not installed anything.")
    elif listing:
        console.result(
            "Remove one with `torchml-install uninstall NAME`, all with `torchml-install uninstall "
            "--all`."
        )
