"""The .pt2 file: compiled entries, and a text that describes them.

The driver's src/runtime/compiled/package.hpp defines the text. The driver refuses packages without
it, since compiled code does not check its inputs.
"""

from __future__ import annotations

import platform
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from .. import _core
from ..inputs import from_engine, to_engine
from .plan import Plan
from .systems import Convention

_RECORD = "extra/torchml.txt"
_CODE = "data/aotinductor/"
#: The record with the archive's format, which torch's reader requires.
_VERSION = ".data/version"
#: The ending of the names of variants for processes with one thread.
ON_ONE_THREAD = ".one_thread"
#: As many rows at a time as a part chooses.
WHOLE = 1 << 30
#: A function that runs an entry, or a part of one: inputs to outputs.
Run = Callable[..., tuple[torch.Tensor, ...]]
#: The compiler's sources and notes, which the driver does not need.
_NOT_KEPT = (".cpp", ".kernel_metadata.json", ".wrapper.json")


@dataclass(frozen=True)
class Target:
    """The machine that a package is for. capability: of a CUDA device, such as "9.0"; else ""."""

    device: str
    instructions: tuple[str, ...]
    capability: str = ""

    @property
    def torch_version(self) -> str:
        """The version of torch, without the part that names a build, such as +cpu."""
        return str(torch.__version__).partition("+")[0]


def write(
    path: Path,
    models: Mapping[str, Any],
    called: Convention,
    target: Target,
    returns_forces: bool,
    atomic_numbers: bool,
    plans: Mapping[str, Plan],
) -> None:
    """Packs the files that torch._inductor.aot_compile returned.

    models: by name; those of entries, and of the parts of ``plans``, which are entries, too.
    atomic_numbers: whether the user said that species codes are atomic numbers.
    """
    from torch._inductor.package import package_aoti

    raw = path.with_name("raw.pt2")
    package_aoti(str(raw), dict(models))
    parts = {part.name for plan in plans.values() for part in plan.parts()}
    facts = _facts(called, target, returns_forces, [*sorted(set(models) - parts), *plans])
    if atomic_numbers:
        facts.append("species atomic_numbers")
    for entry, plan in plans.items():
        facts[0] = "torchml-package 3"
        facts += plan.lines(entry)
    with zipfile.ZipFile(raw) as source, zipfile.ZipFile(path, "w") as archive:
        # Torch 2.7 puts no folder around everything; the driver's reader expects one.
        first = next(name for name in source.namelist() if _CODE in name)
        outer, top = first[: first.index(_CODE)], path.stem
        for info in source.infolist():
            name = info.filename.removeprefix(outer)
            if name.startswith(_CODE):
                if name.endswith(_NOT_KEPT[0]):
                    continue
                facts.append(f"file {name} {info.file_size} {info.CRC:08x}")
            # Compressed, since installing a model in KIM costs time and memory for each byte.
            archive.writestr(f"{top}/{name}", source.read(info), zipfile.ZIP_DEFLATED)
        if f"{outer}{_VERSION}" not in source.namelist():  # torch 2.7 names it differently
            archive.writestr(f"{top}/{_VERSION}", "3\n")
        archive.writestr(f"{top}/{_RECORD}", "\n".join(facts) + "\n", zipfile.ZIP_DEFLATED)
    raw.unlink()


def load(path: Path, entry: str, device: str, n_outputs: int, check_blocks: int = 0) -> Run:
    """An entry of a package, or a variant of one, as the engine runs it.

    check_blocks: the most rows at a time for parts, which also makes the engine strict; 0: as the
    driver runs it.

    Raises Error if the engine refuses the package.
    """
    place = device if device == "cpu" else f"{device}:{torch.cuda.current_device()}"
    run = _core.load_entry(path, entry, place, check_blocks)

    def entry_of_engine(*inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return from_engine(run(to_engine(inputs), n_outputs))

    return entry_of_engine


def run_plan(
    plan: Plan,
    code: Mapping[str, Run],
    called: Convention,
    inputs: Sequence[torch.Tensor],
    largest_block: int = WHOLE,
) -> tuple[torch.Tensor, ...]:
    """Lets the engine run a plan; ``code``: its parts by name, compiled or not."""
    entry = "energies_and_gradient"
    lines = ["torchml-package 3", "device cpu", *_argument_lines(called), f"entry {entry}"]
    lines += [f"gradient {called.arguments[called.differentiable]}", *plan.lines(entry)]

    def part(name: str, taken: Sequence[Any]) -> list[Any]:
        return to_engine(code[name](*from_engine(taken)))

    made = _core.run_plan("\n".join(lines), entry, to_engine(inputs), part, largest_block)
    return from_engine(made)


def _argument_lines(called: Convention) -> list[str]:
    lines = []
    for name, kind, sizes in zip(called.arguments, called.types, called.sizes, strict=True):
        shown = ["*" if isinstance(size, str) else str(size) for size in sizes]
        lines.append(f"argument {name} {str(kind).removeprefix('torch.')} {' '.join(shown)}")
    return lines


def _facts(
    called: Convention, target: Target, returns_forces: bool, entries: Sequence[str]
) -> list[str]:
    facts = [
        "torchml-package 1",
        f"torch {target.torch_version}",
        f"device {target.device}",
        f"machine {platform.machine()}",
        f"instructions {' '.join(target.instructions)}".rstrip(),
    ]
    if target.capability:
        facts.append(f"capability {target.capability}")
    facts += _argument_lines(called)
    facts.append(
        "forces" if returns_forces else f"gradient {called.arguments[called.differentiable]}"
    )
    return [*facts, *(f"entry {entry}" for entry in entries)]
