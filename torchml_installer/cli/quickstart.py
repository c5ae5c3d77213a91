"""``torchml-install quickstart``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from torchml_installer.cli.options import (
    collection_option,
    fix_option,
    jobs_option,
    places_options,
    verbose_option,
    yes_option,
)
from torchml_installer.cli.verbs import Verb

if TYPE_CHECKING:
    from torchml_installer.detect import Places
    from torchml_installer.support.kim_items import Collection


@click.command(cls=Verb, short_help="Install everything, and run a first model.")
@collection_option
@places_options
@jobs_option
@fix_option
@yes_option
@verbose_option
def quickstart(
    collection: Collection,
    places: Places,
    jobs: int | None,
    fix: bool | None,
    yes: bool,
    verbose: bool,
) -> None:
    """Install the driver and an example model, and run the model in LAMMPS and ASE.

    Installs what is missing after asking, or without asking with --yes. Prints energies and forces
    beside those of KIM's own Stillinger-Weber potential.

    \b
    Example:
      torchml-install quickstart --yes
    """
    from torchml_installer.quickstart import QuickstartOptions
    from torchml_installer.quickstart import quickstart as run
    from torchml_installer.support import console

    options = QuickstartOptions(
        collection=collection,
        places=places,
        jobs=jobs,
        verbose=verbose,
        yes=yes,
        fix=True if yes and fix is None else fix,
    )
    run(options)
    console.result("\n  next: pack your own model, see `torchml-install model pack --help`")
