"""Code that the benchmarks share: a bare model's step, median times, the machine's description."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import torch


def milliseconds(step: Callable[[], object], repeats: int, uncounted: int = 10) -> float:
    """The median time of `repeats` calls, ms, after some warm-up calls for TorchScript."""
    for _ in range(uncounted):
        step()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times)


def bare_step(model: torch.jit.ScriptModule, inputs: list[torch.Tensor]) -> Callable[[], object]:
    """A step that computes energy and gradient, as the driver does. inputs: species, coordinates,
    …"""

    def step() -> torch.Tensor:
        coordinates = inputs[1].detach().requires_grad_()
        energies = model(inputs[0], coordinates, *inputs[2:])
        (gradient,) = torch.autograd.grad(energies.sum(), coordinates)
        return gradient

    return step


def machine(used: str = "one used") -> str:
    cores = len(os.sched_getaffinity(0))
    name = platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            name = line.partition(":")[2].strip()
            break
    python = platform.python_version()
    return f"{name}, {cores} cores ({used}), Python {python}, torch {torch.__version__}"


def print_table(lines: Iterable[str], output: Path | None) -> None:
    """Prints lines as they come, and also writes them to a file, if given."""
    text = []
    for line in lines:
        text.append(line)
        print(line, flush=True)
    if output is not None:
        output.write_text("\n".join(text) + "\n", encoding="utf-8")
