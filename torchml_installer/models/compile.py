"""``model compile``: a Python module becomes machine code, an AOTInductor package (``.pt2``).

``torchml_driver.compile`` does the work, and checks what it made by the driver's own engine.
"""

from __future__ import annotations

import shlex
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torchml_installer.detect.python_packages import version_of
from torchml_installer.detect.record import version_tuple
from torchml_installer.errors import (
    BadOptionError,
    CompiledModelDiffersError,
    ModelFileMissingError,
    NoCompilerError,
    NoDeviceError,
    NotCompilableError,
    NoTorchError,
    NotPermittedError,
    OutputExistsError,
    PythonModuleError,
    RunFailedError,
    TorchMLError,
    TorchTooOldError,
    WrongForwardError,
)
from torchml_installer.models import engine
from torchml_installer.models.pack import check_cutoff, check_elements, check_layers
from torchml_installer.models.parameter_file import CallingConvention
from torchml_installer.support import elements as periodic_table
from torchml_installer.support.paths import cache_folder
from torchml_installer.support.user_python import user_python

#: The first torch whose packages the driver runs.
_LEAST_TORCH = (2, 7)
#: Two times that are less apart than this factor are the same: that of one model, measured twice in
#: turns on a busy machine, was up to 1.11 times the other.
_ABOUT = 1.15
#: What torchml_driver.compile calls its failures.
FAILURES: Mapping[str, type[TorchMLError]] = {
    "no_torch": NoTorchError,
    "other_torch": PythonModuleError,
    "torch_too_old": TorchTooOldError,
    "no_device": NoDeviceError,
    "no_compiler": NoCompilerError,
    "compiler": NoCompilerError,
    "option": BadOptionError,
    "source": ModelFileMissingError,
    "weights": BadOptionError,
    "forward": WrongForwardError,
    "not_compilable": NotCompilableError,
    "differ": CompiledModelDiffersError,
}


@dataclass(frozen=True)
class CompileOptions:
    """What ``model compile`` was asked for.

    source: ``FILE.py:Name``, ``package.module:Name``, or ``FILE.pt2`` of torch.export.save.
    arguments: of the constructor.
    elements, cutoff (Å): the systems on which results are compared are made of them.
    width: of a descriptor. cpu: the instruction set, None: chosen by this machine.
    energy_only: with a second entry for energies without gradient. partition: "whole", in parts
    that take "blocks" of rows, or that without the zero rows of outer "rings". output: the file.
    """

    source: str
    elements: tuple[str, ...]
    cutoff: float
    output: Path
    pattern: CallingConvention = CallingConvention.NEIGHBOURS
    n_layers: int | None = None
    width: int | None = None
    weights: Path | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    returns_forces: bool = False
    atomic_numbers: bool = False
    device: str = "cpu"
    cpu: str | None = None
    cxx: str | None = None
    energy_only: bool = True
    partition: str = "rings"
    force: bool = False
    verbose: bool = False


@dataclass(frozen=True)
class CompiledModel:
    """The package that was made; ``facts``: what the compiling process says of it."""

    path: Path
    facts: Mapping[str, Any]

    @property
    def quicker(self) -> str:
        """``compiled``, ``torchscript`` or ``neither``."""
        ratio = self.facts["speed_up"]
        if ratio is None or ratio > _ABOUT:  # None: TorchScript cannot express the model
            return "compiled"
        return "torchscript" if ratio < 1.0 / _ABOUT else "neither"

    def as_json(self) -> dict[str, Any]:
        """schema 1: what ``model compile --json`` prints."""
        return {"schema": 1, "file": str(self.path), "quicker": self.quicker, **self.facts}

    def needs(self) -> list[str]:
        """What the package runs on, a line each."""
        series = ".".join(self.facts["torch"].split(".")[:2])
        lines = [f"torch {series}, and a driver built for it"]
        if self.facts["capability"]:
            lines.append(f"a GPU of compute capability {self.facts['capability']}")
        chosen = self.facts["cpu"]
        widest = [name for name in ("avx512f", "avx2") if name in self.facts["instructions"]][:1]
        if chosen == "native":
            detail = f", with {widest[0].upper()}" if widest else ""
            lines.append(f"a CPU with the instructions of this one{detail}")
        else:
            lines.append(f"a CPU of the level {chosen}, or a better one")
        return lines

    def speed(self) -> list[str]:
        """How it compares with TorchScript, in words; none for a model that TorchScript lacks."""
        ratio = self.facts["speed_up"]
        if ratio is None:
            return []
        where = "one thread" if self.facts["device"] == "cpu" else "this GPU"
        measured = f"measured with 500 atoms, {where}"
        if self.quicker == "compiled":
            return [f"{ratio:.1f} times as fast as TorchScript ({measured})"]
        found = (
            f"about as fast as TorchScript ({measured}), which"
            if self.quicker == "neither"
            else f"TorchScript is quicker, {1.0 / ratio:.1f} times as fast ({measured}), and"
        )
        return [f"note: {found} runs with any torch and on any machine: better pack that"]

    def next_step(self) -> str:
        """What to pack: the package where it is quicker, and else TorchScript, which runs in more
        places."""
        command = f"torchml-install model pack {shlex.quote(str(self.path))} ..."
        if self.quicker == "compiled":
            return command
        return f"torch.jit.script(model).save('my_model.pt') in Python, and pack that; or {command}"


def compiled_name(source: str) -> Path:
    """The package of a model, if the user names none: in the current folder, after the model."""
    if source.endswith(".pt2"):
        return Path(f"{Path(source).stem}_compiled.pt2")
    return Path(f"{source.rpartition(':')[2]}.pt2")


def compile_model(options: CompileOptions) -> CompiledModel:
    """Compiles a model, compares it with the original, and puts the package into its place.

    Raises the errors of FAILURES, OutputExistsError, NotPermittedError, RunFailedError.
    """
    check_elements(options.elements)
    check_cutoff(options.cutoff)
    _check_options(options)
    output = options.output.absolute()
    if output.is_dir():
        raise OutputExistsError(f"{output} is a folder.", "Name a file: --output my_model.pt2")
    if output.exists() and not options.force:
        raise OutputExistsError(f"The file {output} exists already.")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{output.name}-", dir=output.parent))
    except (PermissionError, NotADirectoryError, FileExistsError) as error:
        raise NotPermittedError(f"Cannot write to {output.parent}: {error.strerror}.") from error
    try:
        facts = _run(options, work)
        (work / "model.pt2").replace(output)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return CompiledModel(output, facts)


def _check_options(options: CompileOptions) -> None:
    if options.output.absolute() == Path(options.source).absolute():
        raise BadOptionError(
            f"The output {options.output} is the model itself.", "Name another file: --output FILE"
        )
    if options.output.suffix != ".pt2":
        raise BadOptionError(
            f"The output {options.output} has to end in .pt2.",
            "The driver tells compiled models from others by that.",
        )
    check_layers(options.pattern, options.n_layers)
    descriptor = options.pattern is CallingConvention.DESCRIPTOR
    if descriptor and (options.width is None or options.width < 1):
        raise BadOptionError(
            "A model on descriptors needs the number of descriptors of an atom.",
            "Add it, for example --width 51",
        )
    if not descriptor and options.width is not None:
        raise BadOptionError("--width is only for models on descriptors.", "Leave it out.")
    if descriptor and options.returns_forces:
        raise BadOptionError(
            "A model on descriptors cannot return forces.", "Leave out --returns-forces."
        )


def _run(options: CompileOptions, work: Path) -> Mapping[str, Any]:
    """Lets the child process make work/model.pt2; what it says of it."""
    numbers = [periodic_table.SYMBOLS.index(symbol) + 1 for symbol in options.elements]
    request = {
        "source": options.source,
        "arguments": dict(options.arguments),
        "weights": None if options.weights is None else str(options.weights),
        "pattern": options.pattern.value,
        "layers": options.n_layers or 1,
        "width": options.width or 1,
        "cutoff": options.cutoff,
        "codes": numbers if options.atomic_numbers else list(range(len(numbers))),
        "atomic_numbers": options.atomic_numbers,
        "device": options.device,
        "cpu": options.cpu,
        "returns_forces": options.returns_forces,
        "energy_only": options.energy_only,
        "partition": options.partition,
        "output": str(work / "model.pt2"),
    }
    _require_torch()
    log = cache_folder() / "logs" / "model-compile.log"
    log.unlink(missing_ok=True)
    try:
        facts: Mapping[str, Any] = engine.ask(
            "compile",
            request,
            title="compiling the model",
            environment={} if options.cxx is None else {"CXX": options.cxx},
            log=engine.Log(
                log,
                options.verbose,
                without_memory="Compile on fewer cores, which compile a part each: `taskset -c 0 "
                "torchml-install model compile ...`; or on a machine with more memory.",
            ),
        )
    except engine.NoAnswerError as error:
        message = error.reason
        if error.kind in ("ended", "not_compilable"):
            message += f"\n  log: {log}"
        raise FAILURES.get(error.kind, RunFailedError)(message, error.remedy) from error
    return facts


def _require_torch() -> None:
    """Raises NoTorchError, TorchTooOldError. The driver's Python module needs torch to be imported:
    where there is none, that is what the user has to hear of first."""
    python = user_python()
    if python.too_old:
        raise NoTorchError(
            f"The model cannot be compiled: {python.too_old}",
            "Activate an environment with a newer Python and with torch.",
        )
    if not python.has("torch"):
        raise NoTorchError(
            f"There is no torch for {python.executable}.",
            "Compile with the Python that has the torch which the driver is linked to: "
            "`python -m pip install torch`.",
        )
    version = version_of("torch").partition("+")[0]
    # What pip notes may be another torch than is found; with the module, that is asked itself.
    if version and not python.has(engine.PACKAGE) and version_tuple(version) < _LEAST_TORCH:
        raise TorchTooOldError(
            f"torch {version} cannot compile models for the driver; "
            f"{'.'.join(map(str, _LEAST_TORCH))} or newer can.",
            "Install a newer one, or pack the model as TorchScript.",
        )
