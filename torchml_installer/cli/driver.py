"""``torchml-install driver``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from torchml_installer.cli.options import (
    FOLDER,
    collection_option,
    fix_option,
    jobs_option,
    json_option,
    places_options,
    print_json,
    verbose_option,
    yes_option,
)
from torchml_installer.cli.verbs import Verb
from torchml_installer.support.names import DEFAULT_DRIVER_NAME

if TYPE_CHECKING:
    from torchml_installer.detect import Places
    from torchml_installer.support.kim_items import Collection


@click.command(cls=Verb, short_help="Install the driver and its Python module.")
@click.option(
    "--name",
    "names",
    multiple=True,
    metavar="NAME",
    help=f"KIM name of the driver; repeatable (default: {DEFAULT_DRIVER_NAME}).",
)
@collection_option
@places_options
@jobs_option
@click.option(
    "--prebuilt/--build",
    default=None,
    help="Take a prebuilt driver, or compile one (default: compile if none fits).",
)
@click.option(
    "--find-links",
    type=FOLDER,
    multiple=True,
    metavar="DIR",
    help="Folder with wheels that contain prebuilt drivers; repeatable.",
)
@click.option(
    "--python/--no-python",
    default=None,
    help="With the Python module torchml_driver (default: if this Python can).",
)
@click.option("--no-graph", is_flag=True, help="Leave out support for message-passing models.")
@click.option("--mpi/--no-mpi", default=None, help="Link MPI, to share a node's GPUs among ranks.")
@click.option(
    "--scatter-root", type=FOLDER, metavar="DIR", help="Use this C++ installation of torch_scatter."
)
@click.option(
    "--sparse-root", type=FOLDER, metavar="DIR", help="Use this C++ installation of torch_sparse."
)
@click.option("--libdescriptor-root", type=FOLDER, metavar="DIR", help="Use this libdescriptor.")
@click.option("--build-dir", type=FOLDER, metavar="DIR", help="Build in this folder, and keep it.")
@fix_option
@yes_option
@json_option
@verbose_option
def driver(
    names: tuple[str, ...],
    collection: Collection,
    places: Places,
    jobs: int | None,
    prebuilt: bool | None,
    find_links: tuple[Path, ...],
    python: bool | None,
    no_graph: bool,
    mpi: bool | None,
    scatter_root: Path | None,
    sparse_root: Path | None,
    libdescriptor_root: Path | None,
    build_dir: Path | None,
    fix: bool | None,
    yes: bool,
    as_json: bool,
    verbose: bool,
) -> None:
    """Install the KIM model driver and its Python module, after a test: prebuilt if they fit this
    machine, or else built here.

    \b
    Example: install it under the name that KLIFF's models use
      torchml-install driver --name TorchML__MD_173118614730_000
    """
    from torchml_installer.detect.known_extensions import EXTENSIONS
    from torchml_installer.detect.known_libdescriptor import VARIABLE
    from torchml_installer.driver.build import DriverOptions, install_driver
    from torchml_installer.support import console

    given = {
        EXTENSIONS["scatter"].variable: scatter_root,
        EXTENSIONS["sparse"].variable: sparse_root,
        VARIABLE: libdescriptor_root,
    }
    installed = install_driver(
        DriverOptions(
            names=names or (DEFAULT_DRIVER_NAME,),
            roots={name: folder.absolute() for name, folder in given.items() if folder},
            collection=collection,
            places=places,
            jobs=jobs,
            python=python,
            graph=not no_graph,
            mpi=mpi,
            build_dir=build_dir,
            prebuilt=prebuilt,
            find_links=find_links,
            verbose=verbose,
            fix=True if yes and fix is None else fix,
        )
    )
    if as_json:
        print_json(installed.as_json())
        return
    for folder in installed.folders:
        console.result(f"Installed the driver {folder.name} in {folder}")
    if installed.python_module:
        console.result(f"Installed the Python module torchml_driver for {installed.python}")
    console.result(
        "  next: run a first model with `torchml-install quickstart`, or pack your own with "
        "`torchml-install model pack`"
    )
