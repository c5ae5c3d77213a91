"""``model pack --from``: packs another library's model; ``torchml_driver.adapters`` does the work.

The driver's Python module makes TorchScript of the library's model, compiles it if that was asked
for, and after packing compares it with the library's own ASE calculator. The comparison and the
model's origin are kept in the model's folder, in ``library.json``, which KIM does not install, and
as comments in the parameter file, which it does.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torchml_installer.errors import (
    BadOptionError,
    CompiledModelDiffersError,
    LibraryDiffersError,
    LibraryMissingError,
    LibraryVersionError,
    ModelFileMissingError,
    NotCompilableError,
    OtherLibraryError,
    RunFailedError,
    TorchMLError,
    UnsoundModelError,
    UnsupportedModelError,
)
from torchml_installer.models import compiled as compiled_model
from torchml_installer.models import engine
from torchml_installer.models.compile import CompiledModel, CompileOptions, compile_model
from torchml_installer.models.library_record import RECORD
from torchml_installer.models.pack import PackedModel, PackOptions, check_output, pack
from torchml_installer.models.parameter_file import CallingConvention
from torchml_installer.support import console
from torchml_installer.support.names import DEFAULT_DRIVER_NAME, check_item_name, legal_name

#: The failures of torchml_driver.adapters, by its names.
FAILURES: Mapping[str, type[TorchMLError]] = {
    "no_library": LibraryMissingError,
    "library_version": LibraryVersionError,
    "other_library": OtherLibraryError,
    "source": ModelFileMissingError,
    "option": BadOptionError,
    "unsupported": UnsupportedModelError,
    "model": UnsoundModelError,
}
_PATTERNS = {"edges": CallingConvention.EDGES, "graph": CallingConvention.GRAPH}


@dataclass(frozen=True)
class LibraryOptions:
    """The options of ``model pack --from``.

    library: the adapter's name. source: a file of the library, or a name that it knows. settings:
    the options of the library's models. compiles: pack machine code. The others as in PackOptions.
    """

    library: str
    source: str
    settings: Mapping[str, str] = field(default_factory=dict)
    name: str | None = None
    driver: str = DEFAULT_DRIVER_NAME
    output: Path = Path()
    force: bool = False
    compiles: bool = False


@dataclass(frozen=True)
class Comparison:
    """The packed model's results and those of the library's own calculator.

    title, version: of the library. rows: the fields of torchml_driver.adapters.proof.Row, one for
    each system. tolerance: the largest relative difference that counts as rounding. passed: whether
    all differences are at most that.
    """

    title: str
    version: str
    rows: tuple[Mapping[str, Any], ...]
    tolerance: float
    passed: bool

    @property
    def largest(self) -> float:
        """The largest relative difference; nan if there is none."""
        found = [row["relative"] for row in self.rows if row["relative"] is not None]
        return max(found, default=float("nan"))

    def lines(self) -> list[str]:
        """A table of the largest differences."""
        width = max(len(row["system"]) for row in self.rows)
        lines = [
            f"Largest differences from {self.title} {self.version}'s own ASE calculator "
            f"(relative: up to {self.tolerance:.0e} is rounding):",
            f"  {'system':{width}} {'atoms':>5} {'eV/atom':>9} {'eV/Å':>9} {'stress':>9} relative",
        ]
        for row in self.rows:
            begin = f"  {row['system']:{width}} {row['atoms']:5}"
            if row["problem"] is not None:
                lines.append(f"{begin} {self.title} fails: {row['problem']}")
                continue
            stress = "-" if row["stress"] is None else f"{row['stress']:.1e}"
            lines.append(
                f"{begin} {row['energy']:9.1e} {row['forces']:9.1e} {stress:>9} "
                f"{row['relative']:8.1e}{self._explained(row)}"
            )
        return lines

    def _explained(self, row: Mapping[str, Any]) -> str:
        """What the library's own rounding explains, where that is more than the tolerance."""
        if row["rounding"] is None:
            return ""
        return (
            f" ({self.title}'s own change with order and place of the atoms: {row['rounding']:.1e})"
        )


@dataclass(frozen=True)
class PackedFromLibrary:
    """The new folder. record: what its library.json holds. compiled: with the facts of compiling,
    if the model was compiled."""

    model: PackedModel
    comparison: Comparison
    record: Mapping[str, Any]
    compiled: CompiledModel | None = None

    def as_json(self) -> dict[str, Any]:
        """schema 1: what ``model pack --from ... --json`` prints: that of ``model pack``, and
        ``library``, the contents of library.json."""
        return {**self.model.as_json(), "library": dict(self.record)}


def pack_from(options: LibraryOptions) -> PackedFromLibrary:
    """Makes the model, packs it, compares it with the library, then writes the folder in one step.

    Raises the errors of FAILURES, LibraryDiffersError, PythonModuleError, RunFailedError, and those
    of pack().
    """
    name = options.name if options.name is not None else legal_name(Path(options.source).stem)
    check_item_name(name, "model")
    check_item_name(options.driver, "driver")
    check_output(options.output.absolute() / name, options.force)
    source = Path(options.source)
    request = {
        "library": options.library,
        "source": str(source.absolute()) if source.exists() else options.source,
        "options": dict(options.settings),
    }
    with tempfile.TemporaryDirectory(prefix="torchml-library-") as place:
        file = Path(place, f"{name}.pt")
        title = f"reading the model of {options.library}"
        made = _asked({**request, "step": "make", "output": str(file)}, title)
        for text in made["notes"]:
            console.note(text)
        compiled = _compiled(options, made, file) if options.compiles else None
        found: list[tuple[Comparison, dict[str, Any]]] = []

        def compare(folder: Path) -> None:
            if compiled is not None:  # compiled again on other machines
                shutil.copyfile(file, folder / file.name)
            comparison = _compared(request, folder, made)
            record = _record(options, made, comparison)
            if compiled is not None:
                record["compiled"] = dict(compiled.facts)
            _keep(record, comparison, folder, name)
            found.append((comparison, record))

        packed = pack(
            PackOptions(
                file=file if compiled is None else compiled.path,
                elements=tuple(made["elements"]),
                cutoff=made["cutoff"],
                pattern=_PATTERNS[made["pattern"]],
                n_layers=made["layers"],
                precision=made["precision"],
                name=name,
                driver=options.driver,
                output=options.output,
                force=options.force,
                atomic_numbers=made["atomic_numbers"],
                codes_known=True,
                # The adapter's module takes all edges, and the trial cannot know why.
                find_graph_settings=False,
            ),
            last=compare,
        )
    return PackedFromLibrary(packed, *found[0], compiled)


def _compiled(options: LibraryOptions, made: Mapping[str, Any], file: Path) -> CompiledModel:
    """Compiles the library's model in TorchScript, into a file beside it.

    Raises NotCompilableError, CompiledModelDiffersError, and the others of compile_model().
    """
    try:
        return compile_model(
            CompileOptions(
                source=str(file),
                elements=tuple(made["elements"]),
                cutoff=made["cutoff"],
                output=file.with_suffix(compiled_model.SUFFIX),
                pattern=_PATTERNS[made["pattern"]],
                n_layers=made["layers"],
                atomic_numbers=made["atomic_numbers"],
                energy_only=False,
            )
        )
    except (NotCompilableError, CompiledModelDiffersError) as error:
        raise type(error)(
            f"{options.source} of {made['title']} {made['version']} cannot be compiled: "
            f"{error.message}",
            "Pack it without --compile: as TorchScript, it also runs with any torch, on any "
            "machine.",
        ) from error


def _asked(request: Mapping[str, Any], title: str) -> dict[str, Any]:
    """The answer of torchml_driver.adapters."""
    try:
        answer: dict[str, Any] = engine.ask("adapters", request, title=title)
    except engine.NoAnswerError as error:
        raise FAILURES.get(error.kind, RunFailedError)(error.reason, error.remedy) from error
    return answer


def _compared(request: Mapping[str, Any], folder: Path, made: Mapping[str, Any]) -> Comparison:
    """Raises LibraryDiffersError if the differences are more than rounding."""
    title = f"comparing with {made['title']}"
    answer = _asked({**request, "step": "prove", "model": str(folder)}, title)
    comparison = Comparison(
        made["title"],
        made["version"],
        tuple(answer["rows"]),
        answer["tolerance"],
        answer["passed"],
    )
    if not comparison.passed:
        table = "\n    ".join(comparison.lines())
        raise LibraryDiffersError(
            f"The model's results differ from those of {made['title']} {made['version']} by more "
            f"than rounding. The adapter was tried with {', '.join(made['tried_with'])}.\n"
            f"    {table}"
        )
    return comparison


def _record(
    options: LibraryOptions, made: Mapping[str, Any], comparison: Comparison
) -> dict[str, Any]:
    return {
        "schema": 1,
        "library": options.library,
        "title": made["title"],
        "distribution": made["distribution"],
        "version": made["version"],
        "torch": made["torch"],
        "source": options.source,
        "options": dict(options.settings),
        "notes": list(made["notes"]),
        "facts": dict(made["facts"]),
        "tolerance": comparison.tolerance,
        "largest_difference": comparison.largest,
        "comparison": [dict(row) for row in comparison.rows],
    }


def _keep(record: Mapping[str, Any], comparison: Comparison, folder: Path, name: str) -> None:
    text = json.dumps(record, indent=2, ensure_ascii=False)
    (folder / RECORD).write_text(f"{text}\n", encoding="utf-8")
    with (folder / f"{name}.param").open("a", encoding="utf-8") as file:
        settings = "".join(f", {key}={value}" for key, value in record["options"].items())
        origin = f"{json.dumps(record['source'], ensure_ascii=False)}{settings}"
        file.write(
            f"\n# Made of {origin} with {comparison.title} {comparison.version}\n"
            f"# Largest relative difference from its own calculator: {comparison.largest:.1e} "
            f"(up to {comparison.tolerance:.0e} is rounding)\n"
        )
