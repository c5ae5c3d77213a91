"""``torchml-install model``: pack, compile, install, inspect, verify, bench."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from torchml_installer.cli.options import (
    FILE,
    FOLDER,
    WORD,
    Setting,
    collection_option,
    cxx_option,
    html_option,
    json_option,
    kim_root_option,
    model_options,
    print_json,
    verbose_option,
)
from torchml_installer.cli.verbs import VerbGroup
from torchml_installer.support.names import DEFAULT_DRIVER_NAME

if TYPE_CHECKING:
    from torchml_installer.models.compile import CompiledModel
    from torchml_installer.models.install import InstallOptions
    from torchml_installer.models.pack import PackedModel
    from torchml_installer.models.parameter_file import CallingConvention
    from torchml_installer.support.kim_items import Collection


@click.group(cls=VerbGroup, short_help="Pack, install, check and measure models.")
def model() -> None:
    """Pack TorchScript and compiled models for KIM, install, check and measure them.

    \b
    Example:
      torchml-install model pack SW_Si.pt --elements Si --cutoff 3.77118
      torchml-install model install SW_Si
    """


@model.command("pack", short_help="Pack a model file as a folder that KIM can install.")
@click.argument("file", type=FILE)
@click.option(
    "--from",
    "library",
    type=WORD,
    metavar="LIBRARY",
    help="FILE is a file of this library, or a name.",
)
@click.option(
    "--option",
    "settings",
    type=Setting(),
    multiple=True,
    metavar="KEY=VALUE",
    help="Option of the library's models; repeatable.",
)
@click.option("--compile", "compiles", is_flag=True, help="Compile the library's model.")
@model_options(or_from=True)
@click.option(
    "--returns-edge-gradient", is_flag=True, help="Or energies and their gradient by edges."
)
@click.option(
    "--descriptor",
    type=FOLDER,
    metavar="FILE",
    help="Descriptor file (*.dat), for descriptor models.",
)
@click.option(
    "--precision",
    type=click.Choice(["float64", "float32", "float16", "bfloat16"]),
    metavar="TYPE",
    help="Type of the model's inputs, such as float32 (default: find out).",
)
@click.option("--name", metavar="NAME", help="KIM name of the model (default: the file's).")
@click.option(
    "--driver", "driver_name", metavar="NAME", help="KIM name of the driver that runs it."
)
@click.option(
    "--output",
    type=FOLDER,
    default=Path(),
    metavar="DIR",
    help="Folder to create the model's folder in.",
)
@click.option("--force", is_flag=True, help="Replace the folder if it exists.")
@click.option("--all-edges", is_flag=True, help="Give a graph model all edges; do not test fewer.")
@click.option(
    "--atomic-numbers/--species-codes",
    default=None,
    help="What the model takes as species: atomic numbers, or 0, 1, … (default: test both).",
)
@click.option("--unchecked", is_flag=True, help="Pack the model without checking it.")
@json_option
@click.pass_context
def model_pack(
    context: click.Context,
    file: str,
    library: str | None,
    settings: tuple[tuple[str, str], ...],
    compiles: bool,
    elements: tuple[str, ...] | None,
    cutoff: float | None,
    pattern: CallingConvention,
    layers: int | None,
    descriptor: Path | None,
    returns_forces: bool,
    precision: str | None,
    name: str | None,
    driver_name: str | None,
    output: Path,
    force: bool,
    returns_edge_gradient: bool,
    all_edges: bool,
    atomic_numbers: bool | None,
    unchecked: bool,
    as_json: bool,
) -> None:
    """Pack FILE (TorchScript, compiled or of a library) as a KIM model.

    Evaluates it first, and refuses a model that would give wrong simulations, or others than the
    library's calculator. Save TorchScript with torch.jit.script(model).save(FILE), e3nn models with
    e3nn.util.jit.script.

    \b
    Examples: a file, a model that a library knows by name
      torchml-install model pack SiC.pt --elements Si,C --cutoff 3.77
      torchml-install model pack --from sevennet 7net-0 --name SevenNet_0
    """
    if library is not None:
        _refuse(
            context,
            _OF_FILES,
            "is not for models of a library (--from): the library's model has its own, and is "
            "always compared.",
        )
        _pack_from(
            library,
            file,
            dict(settings),
            name,
            driver_name,
            output,
            compiles=compiles,
            force=force,
            as_json=as_json,
        )
        return
    if settings:
        raise click.UsageError("--option is only for models of a library (--from).")
    if compiles:
        raise click.UsageError(
            "--compile is only for models of a library (--from). Compile others first, with "
            "`torchml-install model compile`."
        )
    assert elements is not None, "click has required it"
    assert cutoff is not None
    from torchml_installer.models.pack import PackOptions, pack

    packed = pack(
        PackOptions(
            file=Path(file),
            elements=elements,
            cutoff=cutoff,
            pattern=pattern,
            n_layers=layers,
            descriptor=descriptor,
            returns_forces=returns_forces,
            returns_edge_gradient=returns_edge_gradient,
            precision=precision,
            name=name,
            driver=DEFAULT_DRIVER_NAME if driver_name is None else driver_name,
            output=output,
            force=force,
            find_graph_settings=not all_edges,
            atomic_numbers=atomic_numbers,
            check=not unchecked,
        )
    )
    if as_json:
        print_json(packed.as_json())
    else:
        _show_packed(packed)


#: Options of `model pack` that a library's model answers by itself.
_OF_FILES = (
    "elements",
    "cutoff",
    "pattern",
    "layers",
    "returns_forces",
    "returns_edge_gradient",
    "descriptor",
    "precision",
    "all_edges",
    "atomic_numbers",
    "unchecked",
)


def _refuse(context: click.Context, names: tuple[str, ...], reason: str) -> None:
    """Raises UsageError if one of these options was given. reason: what follows its name."""
    for parameter in context.command.params:
        given = context.get_parameter_source(str(parameter.name)) is ParameterSource.COMMANDLINE
        if parameter.name in names and given:
            raise click.UsageError(f"{parameter.opts[0]} {reason}")


def _pack_from(
    library: str,
    source: str,
    settings: dict[str, str],
    name: str | None,
    driver: str | None,
    output: Path,
    *,
    compiles: bool,
    force: bool,
    as_json: bool,
) -> None:
    from torchml_installer.models import from_library
    from torchml_installer.support import console

    packed = from_library.pack_from(
        from_library.LibraryOptions(
            library=library,
            source=source,
            settings=settings,
            name=name,
            driver=DEFAULT_DRIVER_NAME if driver is None else driver,
            output=output,
            force=force,
            compiles=compiles,
        )
    )
    if as_json:
        print_json(packed.as_json())
        return
    for line in packed.comparison.lines():
        console.show(line)
    if packed.compiled is not None:
        for line in [*packed.compiled.speed(), *(f"needs: {n}" for n in packed.compiled.needs())]:
            console.show(line)
    _show_packed(packed.model)


def _show_packed(packed: PackedModel) -> None:
    from torchml_installer.support import console

    console.result(f"Packed the model {packed.name} into {packed.folder}")
    if (numbers := packed.parameters.atomic_numbers) is not None:
        console.result(f"  species codes: {'atomic numbers' if numbers else '0, 1, …'}")
    for setting in packed.parameters.graph.lines():
        console.result(f"  same results with less work: {setting}")
    console.result(f"  next: `torchml-install model install {shlex.quote(str(packed.folder))}`")


@model.command("compile", short_help="Compile a Python or TorchScript model to machine code.")
@click.argument("source", type=FILE, metavar="SOURCE")
@model_options(or_from=False)
@click.option(
    "--width", type=int, metavar="N", help="Number of descriptors per atom (descriptor models)."
)
@click.option("--weights", type=FOLDER, metavar="FILE", help="Load this state dict (torch.save).")
@click.option("--arguments", metavar="JSON", help="Constructor arguments: '{\"features\": 64}'.")
@click.option("--atomic-numbers", is_flag=True, help="The model takes atomic numbers.")
@click.option("--fold", is_flag=True, help="Make a model on edges of one on staged graphs.")
@click.option(
    "--device",
    type=click.Choice(["cpu", "cuda"]),
    default="cpu",
    show_default=True,
    help="Device to compile for.",
)
@click.option(
    "--cpu",
    type=click.Choice(["native", "x86-64", "x86-64-v2", "x86-64-v3", "x86-64-v4"]),
    metavar="LEVEL",
    help="Instruction set: native, x86-64, x86-64-v2, x86-64-v3 (no AVX-512) or x86-64-v4 "
    "(default: this CPU's highest level).",
)
@cxx_option
@click.option("--no-energy-only", is_flag=True, help="Omit the fast path for energies alone.")
# For benchmarks/compiled.py, and to rule out the partitioner when something is wrong.
@click.option(
    "--partition", type=click.Choice(["whole", "blocks", "rings"]), default="rings", hidden=True
)
@click.option("--output", type=FOLDER, metavar="FILE.pt2", help="File to write.")
@click.option("--force", is_flag=True, help="Replace the file if it exists.")
@json_option
@click.option("--verbose", is_flag=True, help="Show the output of torch and the compiler.")
@click.pass_context
def model_compile(
    context: click.Context,
    source: str,
    elements: tuple[str, ...] | None,
    cutoff: float | None,
    pattern: CallingConvention,
    layers: int | None,
    width: int | None,
    weights: Path | None,
    arguments: str | None,
    returns_forces: bool,
    atomic_numbers: bool,
    fold: bool,
    device: str,
    cpu: str | None,
    cxx: str | None,
    no_energy_only: bool,
    partition: str,
    output: Path | None,
    force: bool,
    as_json: bool,
    verbose: bool,
) -> None:
    """Compile a model to a package (.pt2). SOURCE is FILE.py:Name, package.module:Name, a FILE.pt2
    written by torch.export.save, a TorchScript FILE.pt, or the folder of a model packed with one.

    Compiles the gradient in, and compares results with the original. The package needs the same
    torch series and kind of CPU or GPU. Compiling needs the driver's Python module.

    \b
    Example:
      torchml-install model compile my_model.py:MyModel --elements Si --cutoff 4.5
    """
    from torchml_installer.models.compile import CompileOptions, compile_model, compiled_name
    from torchml_installer.support import console

    if Path(source).is_dir() or elements is None or cutoff is None:
        _refuse(
            context,
            _OF_SOURCES,
            "is not for the folder of a packed model, which is compiled as it is, in place.",
        )
        from torchml_installer.models.compile_folder import FolderOptions, compile_folder

        folder = compile_folder(
            FolderOptions(Path(source), device, cpu, cxx, partition=partition, verbose=verbose)
        )
        if as_json:
            print_json(folder.as_json())
        else:
            _show_compiled(folder)
            next_step = f"`torchml-install model install {shlex.quote(source)}`"
            console.result(f"  next: {next_step}")
        return
    try:
        given = json.loads(arguments) if arguments is not None else {}
    except ValueError as error:
        raise click.BadParameter(f"this is not JSON: {error}", param_hint="--arguments") from error
    if not isinstance(given, dict):
        raise click.BadParameter("this is not a JSON object, {...}", param_hint="--arguments")
    made = compile_model(
        CompileOptions(
            source=source,
            elements=elements,
            cutoff=cutoff,
            output=compiled_name(source) if output is None else output,
            pattern=pattern,
            n_layers=layers,
            width=width,
            weights=weights,
            arguments=given,
            returns_forces=returns_forces,
            atomic_numbers=atomic_numbers,
            fold=fold,
            device=device,
            cpu=cpu,
            cxx=cxx,
            energy_only=not no_energy_only,
            partition=partition,
            force=force,
            verbose=verbose,
        )
    )
    if as_json:
        print_json(made.as_json())
    else:
        _show_compiled(made)
        for line in made.hints():
            console.result(f"  {line}")
        console.result(f"  next: {made.next_step()}")


#: Options of `model compile` that are for sources other than the folder of a packed model.
_OF_SOURCES = (
    "elements",
    "cutoff",
    "pattern",
    "layers",
    "returns_forces",
    "width",
    "weights",
    "arguments",
    "atomic_numbers",
    "fold",
    "no_energy_only",
    "output",
    "force",
)


def _show_compiled(made: CompiledModel) -> None:
    from torchml_installer.support import console

    console.result(f"Compiled the model into {made.path}")
    console.result(
        f"  largest difference from the original on {made.facts['systems']} systems: "
        f"{made.facts['largest_difference']:.1e} of the largest value"
    )
    for line in made.speed():
        console.result(f"  {line}")
    for line in made.needs():
        console.result(f"  needs: {line}")


@model.command("install", short_help="Install portable models into a KIM collection.")
@click.argument("folders", type=FOLDER, nargs=-1, required=True, metavar="FOLDER...")
@collection_option
@kim_root_option
@cxx_option
@click.option("--force", is_flag=True, help="Replace models that are already installed.")
@json_option
@verbose_option
def model_install(
    folders: tuple[Path, ...],
    collection: Collection,
    kim_root: Path | None,
    cxx: str | None,
    force: bool,
    as_json: bool,
    verbose: bool,
) -> int:
    """Build the portable model in each FOLDER and install it into a KIM collection.

    A model that fails leaves the others installed. The exit code is that of the first failure.

    \b
    Examples: one model, all in a folder
      torchml-install model install SW_Si
      torchml-install model install models/*
    """
    from torchml_installer.detect import Places
    from torchml_installer.models.install import InstallOptions, install_model
    from torchml_installer.support import console

    options = [
        InstallOptions(
            folder,
            collection=collection,
            places=Places(None, kim_root, cxx),
            force=force,
            verbose=verbose,
        )
        for folder in folders
    ]
    if len(options) > 1:
        return _install_several(options, as_json)
    installed = install_model(options[0])
    if as_json:
        print_json(installed.as_json())
    else:
        console.result(f"Installed the model {installed.name} in {installed.folder}")
        console.result(_used_as(installed.name))
    return 0


def _used_as(name: str) -> str:
    return f"  next: in LAMMPS, `kim init {name} metal`; in ASE, `KIM('{name}')`"


def _install_several(options: list[InstallOptions], as_json: bool) -> int:
    """Installs models, then sums up; returns the exit code of the first failure."""
    from torchml_installer.cli.failures import fail
    from torchml_installer.models.install import FailedModel, InstalledModel, install_models
    from torchml_installer.support import console

    results: list[InstalledModel | FailedModel] = []

    def failed(one: FailedModel) -> None:
        results.append(one)
        fail(one.error)

    try:
        install_models(options, results.append, failed)
    finally:  # after Ctrl-C, too
        installed = [one for one in results if isinstance(one, InstalledModel)]
        if results and as_json:
            print_json({"schema": 1, "models": [one.as_json() for one in results]})
        elif results:
            console.result(f"Installed {len(installed)} of {len(options)} models")
            for one in results:
                if isinstance(one, FailedModel):
                    code = one.error.exit_code
                    console.result(f"  not installed: {one.folder} (exit code {code})")
                else:
                    console.result(f"  {one.name} in {one.folder}")
            if installed:
                console.result(_used_as(installed[0].name))
    return next((one.error.exit_code for one in results if isinstance(one, FailedModel)), 0)


@model.command("inspect", short_help="Show what a model file or folder contains.")
@click.argument("path", type=FILE, metavar="PATH|NAME")
@kim_root_option
@json_option
def model_inspect(path: str, kim_root: Path | None, as_json: bool) -> None:
    """Show what a model file, a portable-model folder or an installed model contains.

    Lists forward's arguments, parameters, operators, elements, cutoff, driver, everything that the
    driver would refuse, and the next command. Runs no code of the model.

    \b
    Examples: a file, a folder, the name of an installed model
      torchml-install model inspect SW_Si.pt
      torchml-install model inspect ./My_Model
      torchml-install model inspect My_Model
    """
    from torchml_installer.models import inspection
    from torchml_installer.support import console

    found = inspection.inspect(path, kim_root)
    if as_json:
        print_json(found.as_json())
    else:
        for line in inspection.lines(found):
            console.result(line)
    sys.exit(found.exit_code)


@model.command("verify", short_help="Check a model's physics.")
@click.argument("folder", type=FOLDER)
@html_option
@json_option
def model_verify(folder: Path, html: Path | None, as_json: bool) -> None:
    """Check a portable model's physics: forces against the energy's gradient, the virial against
    the strain derivative, invariance under translation, rotation and permutation, and more.

    --html also plots pairs of atoms and a run at constant energy; with it, --json prints an object
    that has their numbers, too.

    \b
    Example:
      torchml-install model verify My_Model --html report.html
    """
    from torchml_installer.errors import UnphysicalModelError
    from torchml_installer.models.verify import verify
    from torchml_installer.support import console

    verified = verify(folder, html)
    if as_json:
        print_json(verified.as_json())
    else:
        for check in verified.checks:
            found = f"{check.deviation:.1e} {check.unit} (tolerance {check.tolerance:.1e})"
            console.result(f"{check.name:18} {'ok' if check.passed else 'FAILED':7} {found}")
        if html is not None:
            console.result(f"Wrote the report {html}")
    failed = [f"{check.name}: {check.explanation}" for check in verified.checks if not check.passed]
    if failed:
        checks_failed = "a check" if len(failed) == 1 else f"{len(failed)} checks"
        listed = "\n    ".join(failed)
        raise UnphysicalModelError(f"{folder} fails {checks_failed}:\n    {listed}")


@model.command("bench", short_help="Measure a model's time per step.")
@click.argument("folder", type=FOLDER)
@click.option(
    "--atoms",
    type=click.IntRange(min=1),
    multiple=True,
    default=(32, 256, 2048),
    show_default=True,
    metavar="N",
    help="Number of atoms to measure; repeatable.",
)
@click.option(
    "--structure", type=FOLDER, metavar="FILE", help="Measure this structure file instead."
)
@click.option(
    "--seconds", type=float, default=2.0, show_default=True, help="How long to measure each size."
)
@html_option
@json_option
def model_bench(
    folder: Path,
    atoms: tuple[int, ...],
    structure: Path | None,
    seconds: float,
    html: Path | None,
    as_json: bool,
) -> None:
    """Measure the time of a simulation step with a portable model, for several numbers of atoms.

    OMP_NUM_THREADS and KIM_MODEL_EXECUTION_DEVICE have the same effect as in a simulation.
    --html also measures several numbers of threads, and of MPI ranks in LAMMPS.

    \b
    Example:
      torchml-install model bench My_Model --html report.html
    """
    from torchml_installer.models.bench import bench, graph_lines

    measured = bench(folder, atoms, structure, seconds, html)
    if as_json:
        print_json(measured)
        return
    from torchml_installer.support import console

    console.result(f"on {measured['device']}; a step computes energy, forces and virial")
    # A narrow terminal gets the first columns.
    room = console.columns(sys.stdout) or 80
    head = f"{'atoms':>8} {'ms/step':>10} {'µs/atom':>9} {'ns/day at 1 fs':>15} {'MiB':>7}"
    click.echo(head[:29] if room < len(head) else head)
    for size in measured["sizes"]:
        row = (
            f"{size['atoms']:8} {size['milliseconds']:10.2f} {size['microseconds_per_atom']:9.2f}"
            f" {size['nanoseconds_per_day']:15.2f} {size['peak_memory']:7.0f}"
        )
        click.echo(row[:29] if room < len(head) else row)
    for line in graph_lines(measured["sizes"]):
        console.result(line)
    if html is not None:
        console.result(f"Wrote the report {html}")
