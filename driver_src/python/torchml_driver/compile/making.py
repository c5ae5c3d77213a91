"""Turns a request into a checked package: the steps of `model compile`, in order.

a module (source) -> perhaps another one, on edges (fold), with the same results (both_ways) ->
functions of a model's inputs (trace) -> programs, or parts of them with a plan (blocks) -> machine
code (inductor) -> a package (package) -> the same results (checks)
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from .._progress import report
from . import (
    blocks,
    both_ways,
    checks,
    cpu,
    exchanging,
    fold,
    inductor,
    machine,
    package,
    source,
    systems,
    timing,
    trace,
)
from .failure import ModelError
from .plan import Plan
from .request import Request
from .scripted import Scripted

#: An entry that is rarely requested.
_RARE = "energies"
#: So few rows at a time that each part handles the test systems in several blocks.
_SMALL_BLOCKS = 7


@dataclass(frozen=True)
class _Model:
    """A model, its calling convention, and what its package's entries must compute.

    original: the model as it was given, which a folded one is called unlike. expected: the results,
    by entry. difference: between a folded model and the original. foldable: whether a model on
    staged graphs can be folded.
    """

    module: torch.nn.Module
    original: torch.nn.Module
    returns_forces: bool
    called: systems.Convention
    maker: systems.SystemMaker
    functions: Mapping[str, trace.Function]
    expected: Mapping[str, checks.Results]
    difference: float = 0.0
    foldable: bool = False


@dataclass(frozen=True)
class _Made:
    """A package. programs: the names of everything compiled; plans: of entries in parts."""

    path: Path
    target: package.Target
    programs: frozenset[str]
    plans: Mapping[str, Plan]


def make(request: Request, work: Path) -> dict[str, Any]:
    """Writes request.output; returns the facts about it. work: a folder for intermediate files.

    Raises ModelError, and Error if the engine refuses the package.
    """
    torch.set_num_threads(1)  # processes forked off later cannot use this one's threads
    capability = machine.require_device(request.device)
    compiler = machine.require_compiler()
    level = request.cpu or cpu.default_level()
    report(0, 0, "evaluating the original")
    model = _model(request)
    settings = {**inductor.general_settings(), **cpu.inductor_settings(level)}
    with torch._inductor.config.patch(settings):
        instructions = tuple(cpu.needed_instructions(compiler, level))
    target = package.Target(request.device, instructions, capability)
    try:
        made = _package(request, model, target, settings, work)
        difference = _check(request, model, made)
    except ModelError as error:
        if error.kind != "differ":
            raise
        # Torch 2.13's scheduler can put a sum over edges after the loop that needs it, if it has
        # fused other loops into that one. Without fusion the code is correct, and slightly slower.
        print(f"{error.message} Compiling again without fusing loops.", flush=True)
        made = _package(request, model, target, {**settings, "max_fusion_size": 1}, work)
        difference = _check(request, model, made)
    quickest = _quickest(request, model, made)
    report(0, 0, "measuring the speed-up")
    shutil.copyfile(made.path, request.output)
    return {
        "torch": target.torch_version,
        "device": request.device,
        "cpu": level,
        "instructions": list(target.instructions),
        "capability": capability,
        "scalar_type": str(model.maker.scalar).removeprefix("torch."),
        "arguments": list(model.called.arguments),
        "entries": list(model.functions),
        "systems": len(next(iter(model.expected.values()))),
        "largest_difference": max(difference, model.difference),
        "speed_up": _speed_up(request, model, quickest),
        "layers": request.layers,
        "folded": request.fold,
        "foldable": model.foldable,
        "exchanges": any(plan.exchanges() for plan in made.plans.values()),
        "bytes": request.output.stat().st_size,
        "random_weights": getattr(model.module, "torchml_random_weights", []),
    }


def _model(request: Request) -> _Model:
    """Makes and evaluates the original. Raises ModelError."""
    with trace.as_driver_runs_scripts():
        module = source.make_model(
            request.source, request.arguments, request.weights, request.device
        )
    original = module.original() if isinstance(module, Scripted) else module
    scalar = source.scalar_type(module)
    called = systems.convention(request.pattern, request.layers, request.width, scalar)
    source.check_forward(module, called.arguments)
    source.require_free_sizes(module, called)
    maker = _maker(request, request.pattern, scalar)
    forces = request.returns_forces
    if request.fold:
        return _folded(request, module, original, called, maker)
    functions = trace.functions(module, called, forces)
    originals = trace.functions(original, called, forces)
    if not request.energy_only:
        del functions["energies"]
    expected = {name: checks.evaluate(originals[name], maker) for name in functions}
    foldable = request.pattern == "graph" and _is_foldable(module, called, maker, forces)
    return _Model(module, original, forces, called, maker, functions, expected, foldable=foldable)


def _maker(request: Request, pattern: str, scalar: torch.dtype) -> systems.SystemMaker:
    return systems.SystemMaker(
        pattern,
        request.layers,
        request.width,
        request.cutoff,
        request.codes,
        scalar,
        request.device,
    )


def _folded(
    request: Request,
    module: torch.nn.Module,
    original: torch.nn.Module,
    called: systems.Convention,
    maker: systems.SystemMaker,
) -> _Model:
    """The model as one on edges. called, maker: of the model on staged graphs."""
    report(0, 0, "folding the graphs")
    made = fold.folded(module, called, maker.example(), request.returns_forces)
    originals = trace.functions(original, called, request.returns_forces)
    checks.evaluate(originals[max(originals)], maker)  # raises if the original itself fails
    difference = both_ways.compare(originals[max(originals)], made, maker, request.returns_forces)
    called = systems.convention("edges", request.layers, request.width, maker.scalar)
    maker = _maker(request, "edges", maker.scalar)
    functions = trace.functions(made, called, False)
    if not request.energy_only:
        del functions["energies"]
    expected = {name: checks.evaluate(one, maker) for name, one in functions.items()}
    return _Model(
        made, original, False, called, maker, functions, expected, difference, foldable=True
    )


def _is_foldable(
    module: torch.nn.Module,
    called: systems.Convention,
    maker: systems.SystemMaker,
    returns_forces: bool,
) -> bool:
    """For a hint to users: nothing depends on it."""
    report(0, 0, "looking whether the graphs can be folded")
    try:
        fold.folded(module, called, maker.example(), returns_forces)
    except Exception:
        return False
    return True


def _speed_up(request: Request, model: _Model, quickest: package.Run) -> float | None:
    """The time of a step with the original as TorchScript, divided by that of the package."""
    if not request.fold:
        inputs = model.maker.usual()
        return timing.speed_up(
            model.original, model.called, inputs, quickest, inputs, model.returns_forces
        )
    atoms = both_ways.usual(request.cutoff, request.codes)
    maker = _maker(request, "graph", model.maker.scalar)
    called = systems.convention("graph", request.layers, request.width, maker.scalar)
    images, _, _ = both_ways.staged(atoms, maker)
    images = both_ways.least_edges(images, model.module.torchml_receiver_row)
    edges = both_ways.on_edges(atoms, model.maker)
    return timing.speed_up(model.original, called, images, quickest, edges, request.returns_forces)


def _package(
    request: Request,
    model: _Model,
    target: package.Target,
    settings: Mapping[str, Any],
    work: Path,
) -> _Made:
    """Compiles a model and writes its package. Raises ModelError."""
    whole = dict(settings)
    serial = {**whole, **inductor.ONE_THREAD}
    jobs: dict[str, inductor.Job] = {}
    plans: dict[str, Plan] = {}
    on_cpu = request.device == "cpu"  # plans run there only
    exported = _exported(request, model, exchanges=on_cpu) or _exported(
        request, model, exchanges=False
    )
    assert exported is not None
    for name, (program, divided) in exported.items():
        if divided is not None:
            plans[name] = divided.plan
            for part, code in blocks.exported(divided, model.called, model.maker.example()):
                jobs[part.name] = inductor.Job(code, serial if part.block else whole)
            continue
        jobs[name] = inductor.Job(program, whole)
        if on_cpu and name != _RARE:
            jobs[name + package.ON_ONE_THREAD] = inductor.Job(program, serial)
    made = _Made(work / "model.pt2", target, frozenset(jobs), plans)
    package.write(
        made.path,
        inductor.compiled(jobs),
        model.called,
        target,
        model.returns_forces,
        request.atomic_numbers,
        plans,
    )
    return made


def _exported(
    request: Request, model: _Model, *, exchanges: bool
) -> dict[str, tuple[Any, blocks.Blocks | None]] | None:
    """The program of each entry, and its parts if it has any.

    exchanges: whether to keep the model's exchanges between ranks; None is returned if it has some
    and an entry cannot be divided there.
    """
    found: dict[str, tuple[Any, blocks.Blocks | None]] = {}
    for name, function in model.functions.items():
        report(0, 0, f"exporting {name}")
        example = model.maker.example()
        program = trace.export(function, model.called, example, exchanges=exchanges)
        # On a GPU, blocks would be too small.
        by_rows = request.device == "cpu" and request.partition != "whole" and name != _RARE
        exchanged = exchanging.any_in(program.graph_module)
        divided = None
        if by_rows or exchanged:
            rings = request.partition == "rings"
            divided = blocks.divided(program, model.called, name, by_rows=by_rows, rings=rings)
        if divided is None and exchanged:
            print(
                "The code cannot be divided where ranks exchange features. Compiling it without "
                "exchanges: on several ranks, the model is staged.",
                flush=True,
            )
            return None
        found[name] = (program, divided)
    return found


def _check(request: Request, model: _Model, made: _Made) -> float:
    """The largest relative difference between the package, as the engine runs it, and the original.

    Raises ModelError if that is more than rounding.
    """
    report(0, 0, "comparing with the original")
    difference = 0.0
    for name in sorted(model.functions):  # energies, energies_and_...
        expected = model.expected[name]
        variants = [
            one
            for one in (name + package.ON_ONE_THREAD, name)
            if one in {*made.programs, *made.plans}
        ]
        sizes = (package.WHOLE, _SMALL_BLOCKS) if name in made.plans else (package.WHOLE,)
        for variant in variants:
            for largest in sizes:
                run = package.load(made.path, variant, request.device, len(expected[0][1]), largest)
                difference = max(difference, checks.compare(name, run, model.maker, expected))
    return difference


def _quickest(request: Request, model: _Model, made: _Made) -> package.Run:
    """The code that the driver runs on one thread for energies and forces, or the gradient."""
    name = max(model.functions)  # energies_and_...
    alone = name + package.ON_ONE_THREAD
    variant = alone if alone in made.programs else name
    return package.load(made.path, variant, request.device, len(model.expected[name][0][1]))
