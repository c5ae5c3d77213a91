"""What the user asks ``driver`` for, by options and variables, and the resulting plan."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from torchml_installer.building.plan import BuildPlan, checked_jobs
from torchml_installer.detect import Places, toolchain
from torchml_installer.support.kim_items import Collection
from torchml_installer.support.names import DEFAULT_DRIVER_NAME, check_item_name
from torchml_installer.support.user_python import say_which


@dataclass(frozen=True)
class DriverOptions:
    """The options of ``driver``.

    python: build the Python module; None: if the user's Python can.
    graph: with staged graphs, unless the environment has KIM_MODEL_DISABLE_GRAPH.
    mpi: ask MPI itself for a process's rank on its node; None: if KIM_MODEL_MPI_AWARE=yes is set.
    roots: of optional libraries: variable of the environment → folder.
    build_dir: None: a folder in the cache, kept for the next run.
    prebuilt: take a prebuilt driver (True) or compile one (False); None: compile if none fits.
    find_links: folders with wheels that contain prebuilt drivers.
    fix: repair known problems (``remedies``); None: ask, if there is a terminal.
    """

    names: tuple[str, ...] = (DEFAULT_DRIVER_NAME,)
    collection: Collection = Collection.USER
    places: Places = field(default_factory=Places)
    jobs: int | None = None
    python: bool | None = None
    graph: bool = True
    mpi: bool | None = None
    roots: Mapping[str, Path] = field(default_factory=dict)
    build_dir: Path | None = None
    prebuilt: bool | None = None
    find_links: tuple[Path, ...] = ()
    verbose: bool = False
    fix: bool | None = None


def planned(options: DriverOptions) -> BuildPlan:
    """The requested build, with the tools of this machine, usable or not.

    Raises BadNameError and BadOptionError.
    """
    for name in options.names:
        check_item_name(name, "driver")
    jobs = checked_jobs(options.jobs)
    say_which()
    return BuildPlan(
        toolchain(options.places),
        options.places,
        # CMake code and the driver itself read these variables.
        environment={name: str(folder) for name, folder in options.roots.items()},
        names=tuple(dict.fromkeys(options.names)),
        collection=options.collection,
        graph=options.graph and not graph_disabled(),
        mpi=mpi_aware() if options.mpi is None else options.mpi,
        python=options.python,
        settings={
            "TORCHML_WERROR": _werror(),
            "TORCHML_SANITIZE": os.environ.get("TORCHML_SANITIZE", ""),
            "TORCHML_UNITY": os.environ.get("TORCHML_UNITY", "ON"),
        },
        roots=options.roots,
        folder=None if options.build_dir is None else options.build_dir.absolute(),
        jobs=jobs,
        verbose=options.verbose,
    )


def graph_disabled() -> bool:
    """Whether the environment disables staged graphs.

    ``driver_src/cmake/EnvironmentSwitches.cmake`` has the same rules, also those of ``mpi_aware``.
    """
    # The second spelling was published; both count, whatever their value.
    names = ("KIM_MODEL_DISABLE_GRAPH", "KIM_MODEL_DISBALE_GRAPH")
    return any(name in os.environ for name in names)


def mpi_aware() -> bool:
    """Whether the environment wants the driver to ask MPI itself for a process's rank."""
    return os.environ.get("KIM_MODEL_MPI_AWARE", "").lower() in ("yes", "on", "true", "1")


def _werror() -> str:
    value = os.environ.get("TORCHML_WERROR", "")
    return "OFF" if value.lower() in ("", "0", "off", "no", "false") else "ON"
