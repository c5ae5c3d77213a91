"""``model compile`` of a packed model: compiles the TorchScript in its folder, which then runs the
package instead.

The TorchScript stays in the folder, without being installed: machine code does not travel, and is
made of it again on another machine or for another torch.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from torchml_installer.errors import BadOptionError, ModelFileMissingError, NotAModelFolderError
from torchml_installer.models import compiled, parameter_file
from torchml_installer.models.compile import CompiledModel, CompileOptions, compile_model
from torchml_installer.models.library_record import RECORD
from torchml_installer.models.parameter_file import CallingConvention, Parameters

_SCRIPT = ".pt"


@dataclass(frozen=True)
class FolderOptions:
    """As in CompileOptions. folder: of a packed model."""

    folder: Path
    device: str = "cpu"
    cpu: str | None = None
    cxx: str | None = None
    partition: str = "rings"
    verbose: bool = False


def compile_folder(options: FolderOptions) -> CompiledModel:
    """Compiles the model in a folder, and lets the parameter file and KIM use the result.

    Raises NotAModelFolderError, BadParameterFileError, ModelFileMissingError, BadOptionError, and
    the errors of compile_model().
    """
    folder = options.folder.absolute()
    listing = folder / "CMakeLists.txt"
    files = sorted(folder.glob("*.param"))
    if not folder.is_dir():
        raise NotAModelFolderError(f"There is no folder {folder}.")
    if len(files) != 1 or not listing.is_file():
        raise NotAModelFolderError(f"{folder} is not a model that `model pack` wrote.")
    parameters = parameter_file.read(files[0])
    source = folder / Path(parameters.model_file).with_suffix(_SCRIPT)
    _check(folder, source, parameters)
    made = compile_model(
        CompileOptions(
            source=str(source),
            elements=parameters.elements,
            cutoff=parameters.cutoff,
            output=source.with_suffix(compiled.SUFFIX),
            pattern=parameters.pattern,
            n_layers=parameters.n_layers if parameters.pattern.has_layers else None,
            returns_forces=parameters.returns_forces,
            atomic_numbers=bool(parameters.atomic_numbers),
            device=options.device,
            cpu=options.cpu,
            cxx=options.cxx,
            energy_only=False,
            partition=options.partition,
            force=True,
            verbose=options.verbose,
        )
    )
    for file in (listing, files[0]):
        _name(file, source.name, made.path.name)
    record = folder / RECORD
    if record.is_file():
        known = json.loads(record.read_text(encoding="utf-8"))
        text = json.dumps({**known, "compiled": dict(made.facts)}, indent=2, ensure_ascii=False)
        record.write_text(f"{text}\n", encoding="utf-8")
    return made


def _check(folder: Path, source: Path, parameters: Parameters) -> None:
    if not source.is_file():
        raise ModelFileMissingError(
            f"{folder} has no TorchScript ({source.name}) to compile.",
            "Compile the model's source: `torchml-install model compile FILE.py:Name ...`.",
        )
    if parameters.pattern is CallingConvention.DESCRIPTOR:
        raise BadOptionError(
            f"{folder} is a descriptor model.",
            f"Name its file: `torchml-install model compile {source} ...`.",
        )


def _name(file: Path, script: str, package: str) -> None:
    """Names the package in place of TorchScript."""
    text = file.read_text(encoding="utf-8")
    changed = re.sub(rf"(?<![\w.-]){re.escape(script)}(?![\w.-])", package, text)
    if changed != text:
        new = file.with_name(f".{file.name}")
        new.write_text(changed, encoding="utf-8")
        new.replace(file)
