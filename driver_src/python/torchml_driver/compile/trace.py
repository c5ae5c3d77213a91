"""Turns a module into graphs with dynamic sizes that include the gradient's operations."""

from __future__ import annotations

import inspect
import re
import sys
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from . import exchanging
from .failure import ModelError, one_line, place_in, place_in_model, sentence
from .systems import Convention, Tensors

Function = Callable[..., Tensors]

#: How torch prints places: `file.py:12` or `File "file.py", line 12`.
_PLACE = re.compile(r'([^\s"(]+\.py)(?::|", line )(\d+)')


def evaluated(output: Any, returns_forces: bool) -> Tensors:
    """(energies,) or (energies, forces), from a model's output."""
    if isinstance(output, torch.Tensor) and not returns_forces:
        return (output,)
    wanted = 2 if returns_forces else 1
    if isinstance(output, (tuple, list)) and len(output) >= wanted:
        tensors = tuple(output[:wanted])
        if all(isinstance(tensor, torch.Tensor) for tensor in tensors):
            return tensors
    raise ModelError(
        "forward",
        f"forward returned {type(output).__name__}; expected "
        + ("(energies, forces)." if returns_forces else "energies, or (energies, forces)."),
        None if returns_forces else "Add --returns-forces if the model returns its forces.",
    )


def as_driver_runs_scripts() -> AbstractContextManager[None]:
    """A context in which scripted functions, which e3nn's models contain, run without
    specialisation.

    Otherwise torch specialises them for the first tensors that they get: it records the sizes of an
    example, and later compares sizes with the record. Either makes traced sizes constant. A
    specialised function stays so; therefore make, evaluate and trace the model in this context.
    """
    setting: AbstractContextManager[None] = torch.jit.optimized_execution(False)
    return setting


def functions(
    model: torch.nn.Module, called: Convention, returns_forces: bool
) -> dict[str, Function]:
    """The functions that the package's entries compute, by name."""

    def energies(*inputs: torch.Tensor) -> Tensors:
        if returns_forces:  # such a model may need autograd even for its energies
            return (evaluated(model(*inputs), True)[0].detach(),)
        with torch.no_grad():
            return evaluated(model(*inputs), False)

    def energies_and_forces(*inputs: torch.Tensor) -> Tensors:
        return tuple(tensor.detach() for tensor in evaluated(model(*inputs), True))

    def energies_and_gradient(*inputs: torch.Tensor) -> Tensors:
        variable = inputs[called.differentiable].detach().requires_grad_(True)
        rest = inputs[called.differentiable + 1 :]
        with torch.enable_grad():
            (found,) = evaluated(model(*inputs[: called.differentiable], variable, *rest), False)
            if not found.requires_grad:
                raise ModelError(
                    "forward",
                    "The energy does not depend on "
                    f"{called.arguments[called.differentiable]} as far as autograd can see.",
                    "Remove detach() and torch.no_grad(); or make forward return "
                    "(energies, forces), and add --returns-forces.",
                )
            (gradient,) = torch.autograd.grad(found.sum(), variable)
        return found.detach(), gradient

    if returns_forces:
        found: dict[str, Function] = {
            "energies": energies,
            "energies_and_forces": energies_and_forces,
        }
    else:
        found = {"energies": energies, "energies_and_gradient": energies_and_gradient}
    return {name: _as_driver(function) for name, function in found.items()}


def _as_driver(function: Function) -> Function:
    def run(*inputs: torch.Tensor) -> Tensors:
        with as_driver_runs_scripts():
            return function(*inputs)

    return run


def export(
    function: Function, called: Convention, example: Tensors, *, exchanges: bool = False
) -> Any:
    """A torch.export.ExportedProgram of a function, for inputs of any size.

    exchanges: whether the model's exchanges between ranks become operations of the program, which
    only a plan can run (blocks.divided); otherwise they are left out.

    make_fx unrolls autograd first, so that torch.export sees forward code only.
    """
    recorded = exchanging.recorded() if exchanges else nullcontext()
    with model_errors(), as_driver_runs_scripts(), ConstantSizes() as constant, recorded:
        graph = make_fx(function, tracing_mode="symbolic", _allow_non_fake_inputs=True)(*example)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    require_dynamic(graph, called, constant)
    dynamic = tuple(
        {axis: torch.export.Dim.DYNAMIC for axis, size in enumerate(sizes) if isinstance(size, str)}
        for sizes in called.sizes
    )
    with model_errors():
        return torch.export.export(graph, example, dynamic_shapes=dynamic)


def module_of(program: Any) -> torch.fx.GraphModule:
    """The code of an exported program, without conditions on sizes.

    What torch concludes about sizes from the example need not hold for other systems; comparing
    results covers that.
    """
    # Older torches never check.
    checks = "check_guards" in inspect.signature(program.module).parameters
    module: torch.fx.GraphModule = program.module(**({"check_guards": False} if checks else {}))
    return module


class model_errors:  # noqa: N801  (a context manager, called like one)
    """Turns torch's errors into ModelErrors that say what to change in the model, and where."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if error is None or isinstance(error, ModelError) or not isinstance(error, Exception):
            return
        place = place_in_model(error)
        where = f"\n    {place}" if place else ""
        name = type(error).__name__
        if "DataDependent" in name or "data-dependent" in str(error).lower():
            raise ModelError(
                "not_compilable",
                "The model does something that depends on the values of tensors"
                + (f":{where}" if where else "."),
                "Compiled code has one path for all values: instead of an `if`, `.item()`, "
                "`.tolist()` or a boolean mask, use torch.where, or multiply by the mask.",
            ) from error
        raise ModelError(
            "not_compilable",
            f"The model cannot be traced: {name}: {sentence(one_line(error))}{where}",
        ) from error


def require_dynamic(
    graph: torch.fx.GraphModule, called: Convention, constant: ConstantSizes
) -> None:
    """Raises ModelError if tracing has made a size constant."""
    inputs = [node for node in graph.graph.nodes if node.op == "placeholder"]
    by_name: dict[str, tuple[str, Any]] = {}
    for node, sizes, argument in zip(inputs, called.sizes, called.arguments, strict=True):
        value = node.meta["val"]
        for axis, name in enumerate(sizes):
            if isinstance(name, int):
                continue
            size = value.size(axis)
            known = f"{argument}.size({axis})"
            if isinstance(size, int) or size.node.maybe_as_int() is not None:
                _fixed(known, int(size), value, constant)
            by_name.setdefault(name, (known, size))
    names = list(by_name)
    for index, name in enumerate(names):
        for other in names[:index]:
            (known, size), (known_too, size_too) = by_name[name], by_name[other]
            if size.node.expr == size_too.node.expr:
                raise ModelError(
                    "not_compilable",
                    f"The model requires {known} and {known_too} to be equal, which they are not "
                    "in general.",
                )


def _whole_path(shortened: str) -> str:
    """The full path of a file that torch has shortened to its last parts."""
    files = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    return next((file for file in files if file and file.endswith(shortened)), shortened)


class ConstantSizes:
    """Records where sizes become constant within its context. Torch's own records lack the place if
    one of torch's functions is in between (torch.tensor([n]) and others).

    frames: (file, line) from outermost to innermost, by the number that a size became.
    """

    def __init__(self) -> None:
        self.frames: dict[int, list[tuple[str, int]]] = {}
        self._original = getattr(ShapeEnv, "_set_replacement", None)

    def __enter__(self) -> ConstantSizes:
        original = self._original
        if original is None:
            return self

        def set_replacement(environment: ShapeEnv, *arguments: Any, **named: Any) -> Any:
            if len(arguments) > 1 and getattr(arguments[1], "is_Integer", False):
                stack = traceback.extract_stack()
                frames = [(frame.filename, frame.lineno or 0) for frame in stack]
                self.frames.setdefault(int(arguments[1]), frames)
            return original(environment, *arguments, **named)

        ShapeEnv._set_replacement = set_replacement
        return self

    def __exit__(self, *_: object) -> None:
        if self._original is not None:
            ShapeEnv._set_replacement = self._original


def _frames_of(guard: Any) -> list[tuple[str, int]]:
    """Where a condition on sizes was made, as (file, line), from outermost to innermost."""
    made: Any = getattr(guard, "sloc", None)
    frames = []
    # The caller's place first; either may be a frame, text that names files and lines, or nothing.
    for part in ("maybe_user_loc", "framework_loc"):
        where: Any = getattr(made, part, None)
        if isinstance(where, traceback.FrameSummary):
            frames.append((where.filename, where.lineno or 0))
        else:
            found = _PLACE.findall(str(where))
            frames += [(_whole_path(file), int(line)) for file, line in found]
    if frames:
        return frames
    named = _PLACE.findall(f"{made if made is not None else getattr(guard, 'stack', '')}")
    return [(_whole_path(file), int(line)) for file, line in named]


def _fixed(known: str, number: int, value: torch.Tensor, constant: ConstantSizes) -> None:
    place = place_in(constant.frames.get(number, []))
    mode = getattr(value, "fake_mode", None)
    shapes = getattr(mode, "shape_env", None)
    for guard in getattr(shapes, "guards", ()):
        if place or str(number) not in str(guard.expr):
            continue
        place = place_in(_frames_of(guard))
        if place:
            break
    raise ModelError(
        "not_compilable",
        f"The model works for one size only: {known} was fixed to {number}"
        + (f" in\n    {place}" if place else "."),
        "Use operations on whole tensors, and x.size(0) for a size. Do not use len(), int(), "
        "range() or Python loops, nor torch.tensor() of sizes.",
    )
