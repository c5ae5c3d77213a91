"""``model compile``: compiles a model to machine code, an AOTInductor package (``.pt2``).

``torchml_driver.compile`` does the work, and checks the result with the driver's own engine.
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
from torchml_installer.support import console
from torchml_installer.support import elements as periodic_table
from torchml_installer.support.paths import cache_folder
from torchml_installer.support.user_python import user_python

#: The oldest torch whose packages the driver runs.
_LEAST_TORCH = (2, 7)
#: Times within this factor count as equal: the same model, measured twice in turns on a busy
#: machine, differed by up to 1.11.
_ABOUT = 1.15
#: The failures of torchml_driver.compile, by its names.
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
    """The options of ``model compile``.

    source: ``FILE.py:Name``, ``package.module:Name``, ``FILE.pt2`` from torch.export.save, or
    TorchScript's ``FILE.pt``.
    arguments: the constructor's.
    elements, cutoff (Å): for the systems on which results are compared.
    width: number of descriptors. fold: turns a model on staged graphs into one on edges. cpu: the
    instruction set, None: this machine decides. energy_only: adds a second entry for energies
    without gradient. partition: "whole", in parts that take "blocks" of rows, or blocks without the
    zero rows of outer "rings". output: the file.
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
    fold: bool = False
    device: str = "cpu"
    cpu: str | None = None
    cxx: str | None = None
    energy_only: bool = True
    partition: str = "rings"
    force: bool = False
    verbose: bool = False


@dataclass(frozen=True)
class CompiledModel:
    """The new package; ``facts``: from the compiling process."""

    path: Path
    facts: Mapping[str, Any]

    @property
    def quicker(self) -> str:
        """``compiled``, ``torchscript`` or ``neither``."""
        ratio = self.facts["speed_up"]
        if ratio is None or ratio > _ABOUT:  # None: TorchScript cannot express this model
            return "compiled"
        return "torchscript" if ratio < 1.0 / _ABOUT else "neither"

    def as_json(self) -> dict[str, Any]:
        """schema 1: what ``model compile --json`` prints."""
        return {"schema": 1, "file": str(self.path), "quicker": self.quicker, **self.facts}

    def needs(self) -> list[str]:
        """What the package needs to run, one line each."""
        series = ".".join(self.facts["torch"].split(".")[:2])
        lines = [f"torch {series} and a driver built for it"]
        if self.facts["capability"]:
            lines.append(f"a GPU of compute capability {self.facts['capability']}")
        chosen = self.facts["cpu"]
        widest = [name for name in ("avx512f", "avx2") if name in self.facts["instructions"]][:1]
        if chosen == "native":
            detail = f", with {widest[0].upper()}" if widest else ""
            lines.append(f"a CPU with this one's instructions{detail}")
        else:
            lines.append(f"a CPU of level {chosen} or higher")
        return lines

    def speed(self) -> list[str]:
        """The speed-up over TorchScript, in words; empty if TorchScript cannot express the
        model."""
        ratio = self.facts["speed_up"]
        if ratio is None:
            return []
        where = "one thread" if self.facts["device"] == "cpu" else "this GPU"
        folded = self.facts.get("folded")
        measured = f"measured with {'a crystal of 64' if folded else '500'} atoms, {where}"
        if folded and self.quicker == "compiled":
            return [f"{ratio:.1f} times as fast as TorchScript on staged graphs ({measured})"]
        if self.quicker == "compiled":
            return [f"{ratio:.1f} times as fast as TorchScript ({measured})"]
        found = (
            "about as fast as TorchScript"
            if self.quicker == "neither"
            else f"TorchScript is {1.0 / ratio:.1f} times as fast"
        )
        return [
            f"note: {found} ({measured}). Prefer TorchScript: it runs with any torch on any machine"
        ]

    def hints(self) -> list[str]:
        """What would make a model on staged graphs faster."""
        if self.facts.get("foldable") and not self.facts.get("folded"):
            return [
                "note: this model also works on edges, without a particle for each periodic image: "
                "compile it with --fold"
            ]
        return []

    def next_step(self) -> str:
        """What to pack: the package if it is faster, else TorchScript, which runs in more
        places."""
        pattern = ""
        if self.facts.get("folded"):
            pattern = f" --pattern edges --layers {self.facts['layers']}"
        command = f"`torchml-install model pack {shlex.quote(str(self.path))}{pattern} ...`"
        if self.quicker == "compiled":
            return command
        script = "`torch.jit.script(model).save('my_model.pt')`"
        return f"run {script} in Python and pack that file; or {command}"


def compiled_name(source: str) -> Path:
    """The default name of the package: the model's, in the current folder."""
    if source.endswith(".pt2"):
        return Path(f"{Path(source).stem}_compiled.pt2")
    if source.endswith(".pt"):
        return Path(f"{Path(source).stem}.pt2")
    return Path(f"{source.rpartition(':')[2]}.pt2")


def compile_model(options: CompileOptions) -> CompiledModel:
    """Compiles a model, compares it with the original, and moves the package into place.

    Raises the errors of FAILURES, OutputExistsError, NotPermittedError, RunFailedError.
    """
    check_elements(options.elements)
    check_cutoff(options.cutoff)
    _check_options(options)
    output = options.output.absolute()
    if output.is_dir():
        raise OutputExistsError(
            f"{output} is a folder.", "Name a file, such as --output my_model.pt2"
        )
    if output.exists() and not options.force:
        raise OutputExistsError(f"The file {output} already exists.")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{output.name}-", dir=output.parent))
    except (PermissionError, NotADirectoryError, FileExistsError) as error:
        raise NotPermittedError(f"Cannot write to {output.parent}: {error.strerror}.") from error
    try:
        facts = _run(options, work)
        if drawn := facts.get("random_weights"):
            others = f" and {len(drawn) - 1} others" if len(drawn) > 1 else ""
            console.warn(
                f"the compiled model has random weights ({drawn[0]}{others}): its class draws new "
                "ones each time. Pass the trained ones with --weights FILE."
            )
        (work / "model.pt2").replace(output)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return CompiledModel(output, facts)


def _check_options(options: CompileOptions) -> None:
    if options.output.absolute() == Path(options.source).absolute():
        raise BadOptionError(
            f"The output {options.output} is the model itself.", "Name another file with --output."
        )
    if options.output.suffix != ".pt2":
        raise BadOptionError(
            f"The output {options.output} must end in .pt2.",
            "Rename it: the driver recognises compiled models by that ending.",
        )
    check_layers(options.pattern, options.n_layers)
    if options.fold and options.pattern is not CallingConvention.GRAPH:
        raise BadOptionError(
            f"--fold is for staged graphs, but --pattern is {options.pattern.value}.",
            "Leave it out, or add --pattern graph --layers N if the model takes staged graphs.",
        )
    descriptor = options.pattern is CallingConvention.DESCRIPTOR
    if descriptor and (options.width is None or options.width < 1):
        raise BadOptionError(
            "A descriptor model needs the number of descriptors per atom.",
            "Add it, for example --width 51",
        )
    if not descriptor and options.width is not None:
        raise BadOptionError("--width is only for descriptor models.", "Leave it out.")
    if descriptor and options.returns_forces:
        raise BadOptionError(
            "A descriptor model cannot return forces.", "Leave out --returns-forces."
        )


def _run(options: CompileOptions, work: Path) -> Mapping[str, Any]:
    """Has the child process make work/model.pt2; returns its facts."""
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
        "fold": options.fold,
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
                without_memory="Compile on fewer cores, each of which compiles a part: "
                "`taskset -c 0 torchml-install model compile ...`. Or use a machine with more "
                "memory.",
            ),
        )
    except engine.NoAnswerError as error:
        message = error.reason
        if error.kind in ("ended", "not_compilable"):
            message += f"\n  log: {log}"
        raise FAILURES.get(error.kind, RunFailedError)(message, error.remedy) from error
    return facts


def _require_torch() -> None:
    """Raises NoTorchError, TorchTooOldError. The driver's Python module imports torch: if torch is
    missing, the user should learn of that first."""
    python = user_python()
    if python.too_old:
        raise NoTorchError(
            f"Cannot compile the model: {python.too_old}",
            "Activate an environment that has a newer Python, and torch.",
        )
    if not python.has("torch"):
        raise NoTorchError(
            f"{python.executable} has no torch, which compiles the model.",
            "Activate the environment with the driver's torch, or install torch with `python -m "
            "pip install torch`.",
        )
    version = version_of("torch").partition("+")[0]
    # pip's records may describe another torch; if the module is installed, it checks torch itself.
    if version and not python.has(engine.PACKAGE) and version_tuple(version) < _LEAST_TORCH:
        raise TorchTooOldError(
            f"torch {version} is too old to compile models for the driver: that takes "
            f"{'.'.join(map(str, _LEAST_TORCH))} or newer.",
            "Install a newer torch, or pack the model as TorchScript.",
        )
