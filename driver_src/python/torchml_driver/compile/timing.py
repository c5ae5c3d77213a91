"""Compares the speed of a compiled model with that of the same model as TorchScript."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch

from .systems import Convention, Tensors

#: The time for running the two in turns, s.
_SECONDS = 3.0
_LEAST = 3


def speed_up(
    model: torch.nn.Module,
    called: Convention,
    inputs: Tensors,
    compiled: Callable[..., Any],
    given: Tensors,
    returns_forces: bool,
) -> float | None:
    """The time of a step with TorchScript, as the driver runs it, divided by that of the compiled
    code, both on one thread. None for a model that TorchScript cannot express.

    called, inputs: the model's, for a system of the usual size. compiled: the entry with forces or
    gradient. given: its inputs for the same system; those of a folded model are different.
    """
    try:
        scripted = torch.jit.script(model)
    except Exception:  # without TorchScript, there is nothing to compare with
        return None

    def script() -> None:
        with torch.jit.optimized_execution(False):
            if returns_forces:
                scripted(*inputs)
                return
            variable = inputs[called.differentiable].detach().requires_grad_(True)
            rest = inputs[called.differentiable + 1 :]
            found = scripted(*inputs[: called.differentiable], variable, *rest)
            energies = found[0] if isinstance(found, tuple) else found
            torch.autograd.grad(energies.sum(), variable)

    try:
        slow, fast = _shortest([script, lambda: compiled(*given)], inputs[0].is_cuda)
    except Exception:  # the original fails on so large a system, or has no gradient there
        return None
    return slow / fast


def _shortest(runs: list[Callable[[], None]], on_gpu: bool) -> list[float]:
    """The shortest time of each, s; in turns, so that other load affects all alike."""
    best = [float("inf")] * len(runs)
    begin = time.perf_counter()
    turns = 0
    while turns < _LEAST or time.perf_counter() - begin < _SECONDS:
        for place, run in enumerate(runs):
            best[place] = min(best[place], _time_of(run, on_gpu))
        turns += 1
    return best


def _time_of(run: Callable[[], None], on_gpu: bool) -> float:
    """The thread's CPU time, s; on a GPU, the elapsed time."""
    if not on_gpu:
        start = time.thread_time()
        run()
        return time.thread_time() - start
    torch.cuda.synchronize()
    start = time.perf_counter()
    run()
    torch.cuda.synchronize()
    return time.perf_counter() - start
