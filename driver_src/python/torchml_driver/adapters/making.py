"""The steps of ``model pack --from``."""

from __future__ import annotations

import platform
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from .._progress import report
from . import finding
from .base import Adapted, AdapterError, NoLibraryError, UnsupportedError


def make(library: str, source: str, options: Mapping[str, str], output: Path) -> dict[str, Any]:
    """Writes a library's model as TorchScript. Returns what the parameter file needs, and what the
    user should know.

    Raises:
        AdapterError: if the library, the model or an option is not usable.
    """
    one = finding.adapter(library)
    report(0, 0, f"importing {one.title}")
    version = finding.require_installed(one)
    finding.check_options(one, options)
    report(0, 0, "loading the model")
    adapted = load(library, source, options)
    report(0, 0, "writing the model")
    _save(adapted, output)
    untried = finding.untried(one, version)
    return {
        "elements": list(adapted.elements),
        "cutoff": adapted.cutoff,
        "layers": adapted.n_layers,
        "precision": str(adapted.dtype).removeprefix("torch."),
        "atomic_numbers": adapted.atomic_numbers,
        "pattern": adapted.pattern,
        "title": one.title,
        "distribution": one.distribution,
        "version": version,
        "tried_with": list(one.tried_with),
        "torch": str(torch.__version__),
        "notes": [*([untried] if untried else []), *adapted.notes],
        "facts": dict(adapted.facts),
    }


def prove(library: str, source: str, options: Mapping[str, str], model: Path) -> dict[str, Any]:
    """Compares a portable model with its library's calculator; the fields of proof.Proof.

    Raises:
        AdapterError: as before; or if ASE is missing.
        Error: if the driver cannot run the model.
    """
    try:
        from . import proof
    except ImportError as error:
        raise NoLibraryError(
            f"ASE, which the comparison needs, cannot be imported: {error}",
            "Install it with `python -m pip install ase`.",
        ) from error
    adapted = load(library, source, options)
    report(0, 0, "comparing with the library")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return proof.prove(adapted, model).as_json()


def load(library: str, source: str, options: Mapping[str, str]) -> Adapted:
    """The model, checked.

    Raises:
        AdapterError: whatever the library raises.
    """
    one = finding.adapter(library)
    default = torch.get_default_dtype()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return one.load(source, options)
    except AdapterError:
        raise
    except Exception as error:
        raise UnsupportedError(
            f"{one.title} {one.version()} cannot load {source}: {type(error).__name__}: "
            f"{' '.join(str(error).split())}",
            f"Load it with {one.title} itself to see why. The adapter was tried with version "
            f"{', '.join(one.tried_with)}.",
        ) from error
    finally:
        torch.set_default_dtype(default)  # some libraries change it


def _save(adapted: Adapted, output: Path) -> None:
    if adapted.script is None:
        raise UnsupportedError(
            "The model cannot be saved as TorchScript, which --from needs.",
            "Export it with torch.export.save; `torchml-install model compile` compiles that.",
        )
    default = torch.get_default_dtype()
    torch.set_default_dtype(adapted.dtype)  # constants in the library's code get this type
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scripted = adapted.script(adapted.module)
            scripted.save(str(output), _extra_files=_carried(adapted.libraries))
    except Exception as error:
        first = next((line for line in str(error).splitlines() if line.strip()), "")
        raise UnsupportedError(
            f"The model cannot be saved as TorchScript: {type(error).__name__}: {first.strip()}"
        ) from error
    finally:
        torch.set_default_dtype(default)


def _carried(libraries: Sequence[Path]) -> dict[str, bytes | str]:
    """Files in the model's archive: its libraries, and the list that the driver reads."""
    if not libraries:
        return {}
    lines = ["torchml-libraries 1", f"torch {torch.__version__.partition('+')[0]}"]
    lines += [f"machine {platform.machine()}", *(f"library {path.name}" for path in libraries)]
    files: dict[str, bytes | str] = {"torchml/libraries.txt": "\n".join(lines) + "\n"}
    files.update({f"torchml/{path.name}": path.read_bytes() for path in libraries})
    return files
