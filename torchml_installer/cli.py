"""The command ``torchml-install``: parses options, calls one function, prints the result.

Modules that do the work are imported by the command that needs them, so that ``--help`` is quick.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from torchml_installer import __version__
from torchml_installer.errors import InterruptedByUserError, TorchMLError, UnexpectedError
from torchml_installer.support import streams
from torchml_installer.support.names import DEFAULT_DRIVER_NAME

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from torchml_installer.detect import Places
    from torchml_installer.support.kim_items import Collection

Command = TypeVar("Command", bound=Callable[..., object])


class _NotEmpty(click.ParamType):  # type: ignore[type-arg]  # only new releases take one
    """An empty value is a script's variable that was not set; as a path it would mean the working
    folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("it is empty.", param, ctx)
        return super().convert(value, param, ctx)


class _Path(_NotEmpty, click.Path):
    """A file or folder."""


class _Word(_NotEmpty, click.types.StringParamType):
    """A text that names something."""


class _Verb(click.Command):
    def __init__(self, *arguments: Any, **settings: Any) -> None:
        settings["epilog"] = "Exit codes and environment: torchml-install --help"
        super().__init__(*arguments, **settings)


class _Verbs(click.Group):
    """Lists its verbs in the order of the code, which is that of use."""

    command_class = _Verb
    group_class = type

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


class _FileWord(_Word):
    """A file, or something else that is written in its place; shells offer files."""

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return click.Path().shell_complete(ctx, param, incomplete)


_FOLDER = _Path(path_type=Path)
_WORD = _Word()
_FILE = _FileWord()
_COLLECTIONS = click.Choice(["user", "environment", "system"])

_cxx_option = click.option("--cxx", type=_FILE, metavar="PATH", help="C++ compiler to use.")


def _places_options(command: Command) -> Command:
    """The options that say where libtorch, the KIM-API and the compiler are."""
    command = _cxx_option(command)
    command = click.option(
        "--kim-root", type=_FOLDER, metavar="DIR", help="Prefix of the KIM-API to use."
    )(command)
    return click.option(
        "--torch-root", type=_FOLDER, metavar="DIR", help="libtorch to use (has include/ and lib/)."
    )(command)


def _collection_option(command: Command) -> Command:
    return click.option(
        "--collection",
        type=_COLLECTIONS,
        default="user",
        show_default=True,
        help="KIM collection to install into.",
    )(command)


_verbose_option = click.option("--verbose", is_flag=True, help="Show what cmake and pip print.")
_fix_option = click.option(
    "--fix/--no-fix", default=None, help="Repair known problems (default: ask, on a terminal)."
)
_yes_option = click.option("--yes", is_flag=True, help="Answer every question with yes.")
_json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


def _places(torch_root: Path | None, kim_root: Path | None, cxx: str | None) -> Places:
    from torchml_installer.detect import Places

    return Places(torch_root, kim_root, cxx)


def _collection(word: str) -> Collection:
    from torchml_installer.support.kim_items import Collection

    return Collection(word)


def _print_json(value: object) -> None:
    click.echo(streams.as_json(value))


_EPILOG = """\
Exit codes: 0 done; 2 wrong usage; 3 to 19 something needed is missing or cannot be used; 20 to 29
building or installing failed; 30 to 46 a model is not as it has to be; 70 a fault of this program;
130 interrupted. Each failure has its own, see torchml_installer/errors.py.

Environment: TORCH_ROOT, KIM_API_CMAKE_PREFIX_DIR, CXX, CXXFLAGS and LDFLAGS say what to build with;
TorchScatter_ROOT, TorchSparse_ROOT and LIBDESCRIPTOR_ROOT name optional libraries;
KIM_MODEL_MPI_AWARE and KIM_MODEL_DISABLE_GRAPH are --mpi and --no-graph; XDG_CACHE_HOME,
XDG_DATA_HOME and TMPDIR say where builds, receipts and temporary files go.
"""


@click.group(
    cls=_Verbs,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=_EPILOG,
)
@click.version_option(__version__, prog_name="torchml-install")
def cli() -> None:
    """Runs machine-learned potentials (TorchScript files) in LAMMPS, ASE and every other simulator
    that speaks KIM-API.

    \b
    Example: what is missing here?
      torchml-install doctor
    """


@cli.command(short_help="Show what was found here, and what is missing.")
@click.option("--fix", is_flag=True, help="Repair the known problems that are recognised.")
@click.option("--places", "all_places", is_flag=True, help="Show every place that was looked at.")
@_places_options
@_json_option
@click.option("--markdown", is_flag=True, help="Print a report for a bug tracker, without names.")
@click.option("--schema", is_flag=True, help="Print the JSON Schema of what --json prints.")
def doctor(
    fix: bool,
    all_places: bool,
    torch_root: Path | None,
    kim_root: Path | None,
    cxx: str | None,
    as_json: bool,
    markdown: bool,
    schema: bool,
) -> None:
    """Shows what was found here, and what to do about what is missing.

    Ends with 0 if the driver can be built, otherwise with the code of the first problem.

    \b
    Example:
      torchml-install doctor --torch-root /opt/libtorch
    """
    from torchml_installer.detect import survey
    from torchml_installer.doctor import diagnosis as module

    if as_json and markdown:
        raise click.UsageError("--json and --markdown are two formats: one at a time.")
    if schema:
        click.echo(module.schema(), nl=False)
        return
    places = _places(torch_root, kim_root, cxx)
    facts = survey(places)
    hindered: list[TorchMLError] = []
    if fix:
        hindered = module.apply_remedies(facts)
        facts = survey(places)
    if as_json:
        _print_json(module.as_json(facts))
    elif markdown:
        from torchml_installer.doctor import report

        click.echo(report.markdown(facts), nl=False)
    else:
        module.show(facts, places=all_places)
    for error in hindered:
        _fail(error)
    click.get_current_context().exit(module.exit_code(facts))


def _words_of_deps(
    _context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[str]:
    """Completes the last of the words of ``deps --with``."""
    from torchml_installer import deps as module

    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{word}" for word in module.WORDS if word.startswith(last)]


@cli.command(short_help="Install what is missing, or optional libraries.")
@click.option(
    "--with",
    "words",
    shell_complete=_words_of_deps,
    metavar="NAME[,NAME]",
    help="Only these: lammps, kimpy, ase, openkim-models, mpi, xxd; torch, kim-api, compiler, ...;"
    " and what the driver can use instead of its own: scatter, sparse, libdescriptor.",
)
@click.option(
    "--provider",
    type=click.Choice(["auto", "conda", "apt", "pip"]),
    default="auto",
    show_default=True,
    help="Package manager.",
)
@click.option("--torch-index", type=_WORD, metavar="URL", help="Index that pip takes torch from.")
@click.option(
    "--libtorch", type=_FILE, metavar="FILE|URL", help="A libtorch .zip to unpack, as torch."
)
@click.option("--sha256", metavar="DIGITS", help="That the libtorch must have.")
@click.option(
    "--prefix",
    type=_FOLDER,
    metavar="DIR",
    help="Where to install what is no package (default: your own).",
)
@click.option("--sources", type=_FOLDER, metavar="DIR", help="Folder with downloaded archives.")
@_places_options
@click.option("--jobs", type=int, metavar="N", help="Compilers at once (default: all cores).")
@click.option("--force", is_flag=True, help="Build or install again what is there already.")
@click.option("--dry-run", is_flag=True, help="Print the commands, run nothing.")
@_json_option
@_verbose_option
def deps(
    words: str | None,
    provider: str,
    torch_index: str | None,
    libtorch: str | None,
    sha256: str | None,
    prefix: Path | None,
    sources: Path | None,
    torch_root: Path | None,
    kim_root: Path | None,
    cxx: str | None,
    jobs: int | None,
    force: bool,
    dry_run: bool,
    as_json: bool,
    verbose: bool,
) -> None:
    """Installs what the driver's build misses; with --with, what you name.

    Packages go into the active conda environment; without one, pip's into the active Python, and
    apt's through root or sudo. Nothing is asked.

    \b
    Examples: what the driver needs; the original operators of torch_scatter
      torchml-install deps --dry-run
      torchml-install deps --with scatter
    """
    from torchml_installer import deps as module
    from torchml_installer.deps.record import DepsOptions
    from torchml_installer.deps.show import show

    names = (words or "").replace(",", " ").split()
    unknown = [name for name in names if name not in module.WORDS]
    if unknown or (words is not None and not names):
        known = ", ".join(module.WORDS)
        raise click.BadParameter(
            f"'{' '.join(unknown)}' is not one of {known}.", param_hint="--with"
        )
    if sha256 is not None and libtorch is None:
        raise click.BadParameter("is for --libtorch.", param_hint="--sha256")
    options = DepsOptions(
        prefix=prefix,
        sources=sources,
        provider=provider,
        torch_index=torch_index,
        places=_places(torch_root, kim_root, cxx),
        jobs=jobs,
        force=force,
        dry_run=dry_run,
        verbose=verbose,
    )
    result = module.provide(names, options, archive=libtorch, sha256=sha256)
    if as_json:
        _print_json(result.as_json())
    else:
        show(result)


@cli.command(short_help="Build and install the driver and its Python module.")
@click.option(
    "--name",
    "names",
    multiple=True,
    metavar="NAME",
    help=f"KIM name; repeatable (default: {DEFAULT_DRIVER_NAME}).",
)
@_collection_option
@_places_options
@click.option("--jobs", type=int, metavar="N", help="Compilers at once (default: all cores).")
@click.option("--python/--no-python", default=None, help="With the Python module torchml_driver.")
@click.option("--no-graph", is_flag=True, help="Without staged graphs (message-passing models).")
@click.option(
    "--mpi/--no-mpi", default=None, help="Ask MPI which of a node's GPUs is a rank's own."
)
@click.option(
    "--scatter-root", type=_FOLDER, metavar="DIR", help="torch_scatter for C++ to build for."
)
@click.option(
    "--sparse-root", type=_FOLDER, metavar="DIR", help="torch_sparse for C++ to build for."
)
@click.option("--libdescriptor-root", type=_FOLDER, metavar="DIR", help="libdescriptor to use.")
@click.option("--build-dir", type=_FOLDER, metavar="DIR", help="Folder to build in, and to keep.")
@_fix_option
@_yes_option
@_json_option
@_verbose_option
def driver(
    names: tuple[str, ...],
    collection: str,
    torch_root: Path | None,
    kim_root: Path | None,
    cxx: str | None,
    jobs: int | None,
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
    """Builds and installs the KIM model driver and its Python module.

    \b
    Example:
      torchml-install driver --name TorchML__MD_173118614730_000
    """
    from torchml_installer.detect.known_extensions import EXTENSIONS
    from torchml_installer.detect.known_libdescriptor import VARIABLE
    from torchml_installer.driver.build import DriverOptions, install_driver

    given = {
        EXTENSIONS["scatter"].variable: scatter_root,
        EXTENSIONS["sparse"].variable: sparse_root,
        VARIABLE: libdescriptor_root,
    }
    installed = install_driver(
        DriverOptions(
            names=names or (DEFAULT_DRIVER_NAME,),
            roots={name: folder.absolute() for name, folder in given.items() if folder},
            collection=_collection(collection),
            places=_places(torch_root, kim_root, cxx),
            jobs=jobs,
            python=python,
            graph=not no_graph,
            mpi=mpi,
            build_dir=build_dir,
            verbose=verbose,
            fix=True if yes and fix is None else fix,
        )
    )
    if as_json:
        _print_json(installed.as_json())
        return
    for folder in installed.folders:
        click.echo(f"Installed the driver {folder.name} in {folder}")
    if installed.python_module:
        click.echo(f"Installed the Python module torchml_driver for {installed.python}")
    click.echo("  next: torchml-install quickstart, or model pack with a model of yours")


@cli.group(short_help="Pack, install, check and measure models.")
def model() -> None:
    """Portable models: pack a TorchScript file or a compiled model, install it for KIM.

    \b
    Example:
      torchml-install model pack SW_Si.pt --elements Si --cutoff 3.77118 --name SW_Si
      torchml-install model install SW_Si
    """


@model.command("pack", short_help="Make a folder that KIM installs.")
@click.argument("file", type=_FOLDER)
@click.option("--elements", required=True, metavar="Si,C", help="In the model's species order.")
@click.option("--cutoff", type=float, required=True, metavar="Å", help="Cutoff of the model.")
@click.option(
    "--pattern",
    type=click.Choice(["neighbours", "descriptor", "graph"]),
    default="neighbours",
    show_default=True,
    help="What the model's forward takes.",
)
@click.option("--layers", type=int, metavar="N", help="Message-passing layers of a graph model.")
@click.option("--descriptor", type=_FOLDER, metavar="FILE", help="Descriptor file (*.dat).")
@click.option("--returns-forces", is_flag=True, help="The model returns (energies, forces).")
@click.option(
    "--precision",
    type=click.Choice(["float64", "float32", "float16", "bfloat16"]),
    metavar="TYPE",
    help="Type of the model's inputs: float64, …",
)
@click.option("--name", metavar="NAME", help="KIM name of the model (default: the file's name).")
@click.option("--driver", "driver_name", metavar="NAME", help="KIM name of the driver.")
@click.option(
    "--output", type=_FOLDER, default=Path(), metavar="DIR", help="Where to make the folder."
)
@click.option("--force", is_flag=True, help="Replace the folder if it is there already.")
@click.option(
    "--all-edges", is_flag=True, help="Do not try whether a graph model can do with fewer edges."
)
@click.option(
    "--atomic-numbers/--species-codes",
    default=None,
    help="Species are atomic numbers, or 0, 1, … (default: find out).",
)
@click.option("--unchecked", is_flag=True, help="Pack it without evaluating it first.")
@_json_option
def model_pack(
    file: Path,
    elements: str,
    cutoff: float,
    pattern: str,
    layers: int | None,
    descriptor: Path | None,
    returns_forces: bool,
    precision: str | None,
    name: str | None,
    driver_name: str | None,
    output: Path,
    force: bool,
    all_edges: bool,
    atomic_numbers: bool | None,
    unchecked: bool,
    as_json: bool,
) -> None:
    """Makes a folder that KIM installs from a TorchScript FILE (.pt) or a compiled one (.pt2).

    Evaluates the model on a few atoms, and refuses it where a simulation would be wrong.

    torch.jit.script(model).save(FILE) writes TorchScript; a model built on e3nn (MACE, NequIP,
    SevenNet) needs e3nn.util.jit.script(model).save(FILE).

    \b
    Example:
      torchml-install model pack SiC.pt --elements Si,C --cutoff 3.77 --name SiC_demo
    """
    from torchml_installer.models.pack import PackOptions, pack
    from torchml_installer.models.parameter_file import Pattern

    packed = pack(
        PackOptions(
            file=file,
            elements=tuple(elements.replace(",", " ").split()),
            cutoff=cutoff,
            pattern=Pattern(pattern),
            n_layers=layers,
            descriptor=descriptor,
            returns_forces=returns_forces,
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
        _print_json(packed.as_json())
    else:
        import shlex

        click.echo(f"Packed the model {packed.name} into {packed.folder}")
        if (numbers := packed.parameters.atomic_numbers) is not None:
            click.echo(f"  species codes: {'atomic numbers' if numbers else '0, 1, …'}")
        for setting in packed.parameters.graph.lines():
            click.echo(f"  same results, less work: {setting}")
        click.echo(f"  next: torchml-install model install {shlex.quote(str(packed.folder))}")


@model.command("compile", short_help="Make machine code of a Python model.")
@click.argument("source", type=_FILE, metavar="SOURCE")
@click.option("--elements", required=True, metavar="Si,C", help="In the model's species order.")
@click.option("--cutoff", type=float, required=True, metavar="Å", help="Cutoff of the model.")
@click.option(
    "--pattern",
    type=click.Choice(["neighbours", "descriptor", "graph"]),
    default="neighbours",
    show_default=True,
    help="What the model's forward takes.",
)
@click.option("--layers", type=int, metavar="N", help="Message-passing layers of a graph model.")
@click.option("--width", type=int, metavar="N", help="Descriptors of an atom, for that pattern.")
@click.option("--weights", type=_FOLDER, metavar="FILE", help="State dict, from torch.save.")
@click.option("--arguments", metavar="JSON", help="Of the constructor: '{\"features\": 64}'.")
@click.option("--returns-forces", is_flag=True, help="The model returns (energies, forces).")
@click.option("--atomic-numbers", is_flag=True, help="Species codes are atomic numbers.")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
@click.option(
    "--cpu",
    type=click.Choice(["native", "x86-64", "x86-64-v2", "x86-64-v3", "x86-64-v4"]),
    help="Instruction set (default: the highest level that this CPU has, else native); "
    "x86-64-v3 also for machines without AVX-512.",
)
@_cxx_option
@click.option("--no-energy-only", is_flag=True, help="Smaller file; energies cost a gradient.")
@click.option("--output", type=_FOLDER, metavar="FILE.pt2", help="File to write.")
@click.option("--force", is_flag=True, help="Replace the file if it is there already.")
@_json_option
@click.option("--verbose", is_flag=True, help="Show what torch and the compiler print.")
def model_compile(
    source: str,
    elements: str,
    cutoff: float,
    pattern: str,
    layers: int | None,
    width: int | None,
    weights: Path | None,
    arguments: str | None,
    returns_forces: bool,
    atomic_numbers: bool,
    device: str,
    cpu: str | None,
    cxx: str | None,
    no_energy_only: bool,
    output: Path | None,
    force: bool,
    as_json: bool,
    verbose: bool,
) -> None:
    """Compiles a Python model for the driver: SOURCE = FILE.py:Name, package.module:Name, or a
    FILE.pt2 that torch.export.save wrote.

    The gradient is compiled in. Before the package (.pt2) is written, its results are compared with
    those of the original. It runs with the torch and on the kind of CPU or GPU it was made on.

    \b
    Example:
      torchml-install model compile my_model.py:MyModel --weights w.pt --elements Si --cutoff 4.5
    """
    from torchml_installer.models.compile import CompileOptions, compile_model, compiled_name
    from torchml_installer.models.parameter_file import Pattern

    try:
        given = json.loads(arguments) if arguments is not None else {}
    except ValueError as error:
        raise click.BadParameter(f"not JSON: {error}", param_hint="--arguments") from error
    if not isinstance(given, dict):
        raise click.BadParameter("not a JSON object, {...}", param_hint="--arguments")
    made = compile_model(
        CompileOptions(
            source=source,
            elements=tuple(elements.replace(",", " ").split()),
            cutoff=cutoff,
            output=compiled_name(source) if output is None else output,
            pattern=Pattern(pattern),
            n_layers=layers,
            width=width,
            weights=weights,
            arguments=given,
            returns_forces=returns_forces,
            atomic_numbers=atomic_numbers,
            device=device,
            cpu=cpu,
            cxx=cxx,
            energy_only=not no_energy_only,
            force=force,
            verbose=verbose,
        )
    )
    if as_json:
        _print_json(made.as_json())
    else:
        click.echo(f"Compiled the model into {made.path}")
        click.echo(
            f"  largest difference from the original on {made.facts['systems']} systems: "
            f"{made.facts['largest_difference']:.1e} of the largest value"
        )
        for line in made.speed():
            click.echo(f"  {line}")
        for line in made.needs():
            click.echo(f"  needs: {line}")
        click.echo(f"  next: {made.next_step()}")


@model.command("install", short_help="Build one, into a KIM collection.")
@click.argument("folder", type=_FOLDER)
@_collection_option
@click.option("--kim-root", type=_FOLDER, metavar="DIR", help="Prefix of the KIM-API to use.")
@_cxx_option
@click.option("--force", is_flag=True, help="Replace the model if it is installed already.")
@_json_option
@_verbose_option
def model_install(
    folder: Path,
    collection: str,
    kim_root: Path | None,
    cxx: str | None,
    force: bool,
    as_json: bool,
    verbose: bool,
) -> None:
    """Builds a portable-model FOLDER and puts it into a KIM collection.

    \b
    Example:
      torchml-install model install SW_Si --collection user
    """
    from torchml_installer.models.install import InstallOptions, install_model

    installed = install_model(
        InstallOptions(
            folder,
            collection=_collection(collection),
            places=_places(None, kim_root, cxx),
            force=force,
            verbose=verbose,
        )
    )
    if as_json:
        _print_json(installed.as_json())
    else:
        click.echo(f"Installed the model {installed.name} in {installed.folder}")


@model.command("inspect", short_help="Say what it is.")
@click.argument("path", type=_FILE, metavar="PATH|NAME")
@click.option("--kim-root", type=_FOLDER, metavar="DIR", help="Prefix of the KIM-API to use.")
@_json_option
def model_inspect(path: str, kim_root: Path | None, as_json: bool) -> None:
    """Says what a model file, a portable-model folder or an installed model is.

    Shows how forward is called, its numbers and operators, elements, cutoff and driver, all that
    the driver would refuse, and the next command. Nothing of the model is run.

    \b
    Examples: a file, a folder, the name of an installed model
      torchml-install model inspect SW_Si.pt
      torchml-install model inspect ./My_Model
      torchml-install model inspect My_Model
    """
    from torchml_installer.models import inspection

    found = inspection.inspect(path, kim_root)
    if as_json:
        _print_json(found.as_json())
    else:
        for line in inspection.lines(found):
            click.echo(line)
    sys.exit(found.exit_code)


@model.command("verify", short_help="Check its physics.")
@click.argument("folder", type=_FOLDER)
@_json_option
def model_verify(folder: Path, as_json: bool) -> None:
    """Checks a portable model's physics: forces are the energy's gradient, the virial its strain
    derivative, and nothing depends on place, rotation, order or spelt-out images.

    \b
    Example:
      torchml-install model verify My_Model
    """
    from torchml_installer.errors import UnphysicalModelError
    from torchml_installer.models.verify import verify

    checks = verify(folder)
    if as_json:
        _print_json([vars(check) for check in checks])
    else:
        for check in checks:
            found = f"{check.deviation:.1e} {check.unit} (up to {check.tolerance:.1e})"
            click.echo(f"{check.name:18} {'ok' if check.passed else 'FAILED':7} {found}")
    failed = [f"{check.name}: {check.explanation}" for check in checks if not check.passed]
    if failed:
        raise UnphysicalModelError(f"{folder} fails {len(failed)} checks: {'; '.join(failed)}.")


@model.command("bench", short_help="Measure the time of a step.")
@click.argument("folder", type=_FOLDER)
@click.option(
    "--atoms",
    type=click.IntRange(min=1),
    multiple=True,
    default=(32, 256, 2048),
    show_default=True,
    metavar="N",
    help="Size of a crystal to measure; repeatable.",
)
@click.option("--structure", type=_FOLDER, metavar="FILE", help="Structure to measure instead.")
@click.option("--seconds", type=float, default=2.0, show_default=True, help="For each size.")
@_json_option
def model_bench(
    folder: Path, atoms: tuple[int, ...], structure: Path | None, seconds: float, as_json: bool
) -> None:
    """Measures a portable model: the time of a simulation's step, by the number of atoms.

    OMP_NUM_THREADS and KIM_MODEL_EXECUTION_DEVICE count as in a simulation.

    \b
    Example:
      torchml-install model bench My_Model --structure melt.extxyz
    """
    from torchml_installer.models.bench import bench

    measured = bench(folder, atoms, structure, seconds)
    if as_json:
        _print_json(measured)
        return
    click.echo(f"on {measured['device']}, a step is energy, forces and virial")
    click.echo(f"{'atoms':>8} {'ms/step':>10} {'µs/atom':>9} {'ns/day at 1 fs':>15} {'MiB':>7}")
    for size in measured["sizes"]:
        click.echo(
            f"{size['atoms']:8} {size['milliseconds']:10.2f} {size['microseconds_per_atom']:9.2f}"
            f" {size['nanoseconds_per_day']:15.2f} {size['peak_memory']:7.0f}"
        )


@cli.command(short_help="Install everything, and run a first model.")
@_collection_option
@_places_options
@click.option("--jobs", type=int, metavar="N", help="Compilers at once (default: all cores).")
@_fix_option
@_yes_option
@_verbose_option
def quickstart(
    collection: str,
    torch_root: Path | None,
    kim_root: Path | None,
    cxx: str | None,
    jobs: int | None,
    fix: bool | None,
    yes: bool,
    verbose: bool,
) -> None:
    """Installs the driver and an example model, and runs it in LAMMPS and ASE.

    What is missing for that is installed with --yes, or after a question on a terminal. Energies
    and forces are printed beside those of KIM's own Stillinger-Weber potential.

    \b
    Example:
      torchml-install quickstart
    """
    from torchml_installer.quickstart import QuickstartOptions
    from torchml_installer.quickstart import quickstart as run

    options = QuickstartOptions(
        collection=_collection(collection),
        places=_places(torch_root, kim_root, cxx),
        jobs=jobs,
        verbose=verbose,
        yes=yes,
        fix=True if yes and fix is None else fix,
    )
    run(options)
    click.echo("\n  next, a model of yours: torchml-install model pack --help")


@cli.command(short_help="Write env.sh (or for fish, csh, Lmod), for builds of your own.")
@click.option(
    "-o",
    "--output",
    type=_FILE,
    metavar="FILE",
    help="File to write (default: env.sh, env.fish, env.csh, torchml.lua or env.json);"
    " - is standard output.",
)
@click.option(
    "--format",
    "kind",
    type=click.Choice(["sh", "fish", "csh", "lmod", "json"]),
    default="sh",
    show_default=True,
    help="Kind of shell.",
)
@click.option("--force", is_flag=True, help="Replace a file that is from somebody else.")
@_places_options
def env(
    output: str | None,
    kind: str,
    force: bool,
    torch_root: Path | None,
    kim_root: Path | None,
    cxx: str | None,
) -> None:
    """Writes env.sh, which sets TORCH_ROOT and its like for builds of your own.

    Installed drivers and models do not need it.

    \b
    Example:
      torchml-install env && . ./env.sh
    """
    import shlex

    from torchml_installer.environment import writing as environment
    from torchml_installer.environment.formats import FORMATS

    places = _places(torch_root, kim_root, cxx)
    text, path = environment.write(kind, output, places, force=force)
    if path is None:
        click.echo(text, nl=False)
        return
    language = FORMATS[kind]
    line = f"Wrote {path}."
    if language.use:
        parts = {"path": str(path), "folder": str(path.parent), "stem": path.stem}
        quoted = {key: shlex.quote(value) for key, value in parts.items()}
        use, undo = language.use.format(**quoted), language.undo.format(**quoted)
        line += f" Use it with `{use}`, undo it with `{undo}`."
    click.echo(line)


def _installed_names(
    _context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[str]:
    """Completes the name of a driver, model or library that was installed."""
    from torchml_installer import uninstall as removing

    names = {receipt.name for receipt in removing.in_place(removing.installed())}
    return sorted(name for name in names if name.startswith(incomplete))


@cli.command(short_help="Remove what was installed, and nothing else.")
@click.argument("names", nargs=-1, type=_WORD, shell_complete=_installed_names)
@click.option("--all", "everything", is_flag=True, help="All that was installed, and the caches.")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@click.option("--force", is_flag=True, help="Also files that were changed since.")
@_json_option
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
        _print_json([removal.as_json(state) for removal in removals])
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


@cli.command(short_help="Print a script that makes a shell complete this command.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Prints a script that makes a shell complete this command's words, options and files.

    \b
    Example, for this shell; in ~/.bashrc, for all:
      eval "$(torchml-install completion bash)"
      eval "$(torchml-install completion zsh)"
      torchml-install completion fish | source
    """
    from click.shell_completion import get_completion_class

    writer = get_completion_class(shell)
    assert writer is not None
    # Without a program click would run bash to learn its version; old ones fail by themselves.
    instance = writer(cli, {}, "torchml-install", "_TORCHML_INSTALL_COMPLETE")
    click.echo(instance.source_template % instance.source_vars())


def main() -> NoReturn:
    """Runs the command; every failure becomes a message, a remedy and an exit code."""
    streams.prepare()
    _end_in_order()
    sys.exit(streams.finish(_run()))


def _run() -> int:
    try:
        width = _narrow_width()
        code = cli.main(prog_name="torchml-install", standalone_mode=False, terminal_width=width)
    except (click.Abort, KeyboardInterrupt):
        return _fail(InterruptedByUserError("Interrupted."))
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except BrokenPipeError:
        return 141
    except TorchMLError as error:
        return _fail(error)
    except Exception as error:
        if isinstance(error, OSError) and (failed := streams.finish(0)):
            return failed  # it was the output that could not be written
        from torchml_installer.support.system_errors import known

        return _fail(known(error) or _unexpected(error))
    return code if isinstance(code, int) else 0


def _narrow_width() -> int | None:
    """Of a terminal with fewer columns than click's help takes at least; None for others."""
    from torchml_installer.support.console import columns

    width = columns(sys.stdout)
    return width if 0 < width < 52 else None


def _end_in_order() -> None:
    """Lets what asks this program to end have it clean up as after Ctrl-C, and only once.

    SIGTERM comes from batch systems and `timeout`, SIGHUP from a terminal or connection that is
    gone; whoever ignores one of them (`nohup`) wants that to stay so.
    """

    def end(_signal: int, _frame: object) -> NoReturn:
        # An impatient second Ctrl-C would stop the cleaning up, and leave programs running.
        for wish in wishes:
            signal.signal(wish, signal.SIG_IGN)
        raise KeyboardInterrupt

    candidates = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    wishes = [wish for wish in candidates if signal.getsignal(wish) != signal.SIG_IGN]
    for wish in wishes:
        signal.signal(wish, end)


def _fail(error: TorchMLError) -> int:
    from torchml_installer.support.console import fitted

    click.echo(fitted(f"error: {error.message}", sys.stderr), err=True)
    if error.remedy:
        click.echo(fitted(f"  what to do: {error.remedy}", sys.stderr), err=True)
    return error.exit_code


def _unexpected(error: Exception) -> TorchMLError:
    import tempfile
    import traceback

    text = "".join(traceback.format_exception(error))
    where = "could not be saved"
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="torchml-install-", suffix=".txt", delete=False, encoding="utf-8"
        ) as stream:
            stream.write(f"torchml-install {__version__}\n{' '.join(sys.argv)}\n\n{text}")
            where = stream.name
    except OSError:
        pass
    return UnexpectedError(
        f"This is a fault of torchml-install: {type(error).__name__}: {error}",
        f"Please report it with the file {where} and the output of "
        "`torchml-install doctor --markdown`.",
    )
