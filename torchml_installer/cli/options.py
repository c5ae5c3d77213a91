"""Options and value types that several verbs share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from torchml_installer.support import streams

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from torchml_installer.models.parameter_file import CallingConvention
    from torchml_installer.support.kim_items import Collection

Command = TypeVar("Command", bound=Callable[..., object])


class _NotEmpty(click.ParamType):  # type: ignore[type-arg]  # only new releases take one
    """Refuses an empty value: it is usually an unset variable in a script, and as a path would mean
    the working folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("the value is empty.", param, ctx)
        return super().convert(value, param, ctx)


class _Path(_NotEmpty, click.Path):
    """A file or folder."""


class _Word(_NotEmpty, click.types.StringParamType):
    """A name."""


class _FileWord(_Word):
    """A file, or a name in its place; shells complete files."""

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return click.Path().shell_complete(ctx, param, incomplete)


class _Elements(click.ParamType):  # type: ignore[type-arg]
    """Symbols separated by commas or spaces, as a tuple."""

    name = "elements"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        return value if isinstance(value, tuple) else tuple(value.replace(",", " ").split())


class _ConventionWord(click.Choice):  # type: ignore[type-arg]
    """A calling convention. Users of LAMMPS and ASE may spell the first one ``neighbors``."""

    def __init__(self) -> None:
        # The values of parameter_file.CallingConvention, without importing it for --help.
        super().__init__(["neighbours", "descriptor", "graph", "edges"])

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> CallingConvention:
        from torchml_installer.models.parameter_file import CallingConvention

        word = "neighbours" if value == "neighbors" else value
        return CallingConvention(super().convert(word, param, ctx))


FOLDER = _Path(path_type=Path)
WORD = _Word()
FILE = _FileWord()


class _CollectionWord(click.Choice):  # type: ignore[type-arg]
    """A KIM collection."""

    def __init__(self) -> None:
        # Likewise, the values of kim_items.Collection.
        super().__init__(["user", "environment", "system"])

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Collection:
        from torchml_installer.support.kim_items import Collection

        return Collection(super().convert(value, param, ctx))


cxx_option = click.option("--cxx", type=FILE, metavar="PATH", help="Use this C++ compiler.")
kim_root_option = click.option(
    "--kim-root", type=FOLDER, metavar="DIR", help="Use the KIM-API under this prefix."
)
collection_option = click.option(
    "--collection",
    type=_CollectionWord(),
    default="user",
    show_default=True,
    help="KIM collection to install into.",
)
jobs_option = click.option(
    "--jobs", type=int, metavar="N", help="Run N compilers at once (default: one per core)."
)
verbose_option = click.option("--verbose", is_flag=True, help="Show the output of cmake and pip.")
fix_option = click.option(
    "--fix/--no-fix", default=None, help="Repair known problems (default: ask, on a terminal)."
)
yes_option = click.option("--yes", is_flag=True, help="Answer yes to every question.")
html_option = click.option(
    "--html", type=FOLDER, metavar="FILE", help="Also write a report with plots (one HTML file)."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


def places_options(command: Command) -> Command:
    """Options for the places of libtorch, the KIM-API and the compiler; the command gets them as
    ``places``, a detect.Places."""

    @functools.wraps(command)
    def with_places(
        torch_root: Path | None, kim_root: Path | None, cxx: str | None, **others: Any
    ) -> object:
        from torchml_installer.detect import Places

        return command(places=Places(torch_root, kim_root, cxx), **others)

    return _together(
        click.option(
            "--torch-root",
            type=FOLDER,
            metavar="DIR",
            help="Use this libtorch (it contains include/ and lib/).",
        ),
        kim_root_option,
        cxx_option,
    )(with_places)  # type: ignore[return-value]  # called by click alone, by names


class _UnlessFrom(click.Option):
    """An option that is required unless --from (``library``) names the library of the model."""

    def process_value(self, ctx: click.Context, value: Any) -> Any:
        found = super().process_value(ctx, value)
        # Options that are given are processed before those that are missing.
        missing = self.value_is_missing(found) and not ctx.resilient_parsing
        if missing and not isinstance(ctx.params.get("library"), str):
            raise click.MissingParameter(ctx=ctx, param=self)
        return found


class _UnlessFolder(click.Option):
    """An option that is required unless SOURCE is the folder of a packed model, which has it."""

    def process_value(self, ctx: click.Context, value: Any) -> Any:
        found = super().process_value(ctx, value)
        missing = self.value_is_missing(found) and not ctx.resilient_parsing
        source = str(ctx.params.get("source", ""))
        is_file = ":" in source or source.endswith((".py", ".pt", ".pt2"))
        if missing and is_file and not Path(source).is_dir():
            raise click.MissingParameter(ctx=ctx, param=self)
        return found


def model_options(*, or_from: bool) -> Callable[[Command], Command]:
    """Options that describe a model, for `model pack` and `model compile`. or_from: whether --from
    makes them unnecessary, or else the folder of a packed model."""
    required: dict[str, Any] = {"cls": _UnlessFrom if or_from else _UnlessFolder}
    return _together(
        click.option(
            "--elements",
            type=_Elements(),
            **required,
            metavar="Si,C",
            help="Element symbols, in the order of the model's species.",
        ),
        click.option("--cutoff", type=float, **required, metavar="Å", help="The model's cutoff."),
        click.option(
            "--pattern",
            type=_ConventionWord(),
            default="neighbours",
            show_default=True,
            metavar="KIND",
            help="What forward takes: neighbours, descriptor, graph or edges.",
        ),
        click.option(
            "--layers",
            type=int,
            metavar="N",
            help="Number of layers (graph and edges).",
        ),
        click.option(
            "--returns-forces", is_flag=True, help="The model returns energies and forces."
        ),
    )


class Setting(click.ParamType):  # type: ignore[type-arg]
    """KEY=VALUE, as a pair."""

    name = "setting"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        key, equals, given = value.partition("=")
        if not (key and equals):
            self.fail(f"'{value}' is not of the form KEY=VALUE.", param, ctx)
        return key, given


def _together(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Several options as one decorator; ``--help`` shows them in this order."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def print_json(value: object) -> None:
    """Prints a result as JSON, on stdout."""
    click.echo(streams.as_json(value))
