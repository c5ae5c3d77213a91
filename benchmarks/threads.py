"""Measures the time of a step with one thread, with several, and as the driver chooses, on an idle
machine and on one whose cores are busy.

Silicon, TorchScript, energy, forces and virial by the driver, as simulators request them. Each
number of threads runs in a separate process; on the busy machine, another process per core spins.
The driver's Python module must be installed (torchml-install driver).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from compiled import CASES, Case, command, made
from measuring import machine, print_table

_LOOP = "import os, time\nwhile os.getppid() != 1: sum(range(10_000))"
_PROFILE = re.compile(r"(\d+) threads?, (\S+) MB of tensors")


@contextlib.contextmanager
def busy(processes: int) -> Iterator[None]:
    """Keeps cores busy with the given number of other processes."""
    running = [subprocess.Popen([sys.executable, "-c", _LOOP]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def step(model: Path, atoms: int, threads: int | None, seconds: float) -> tuple[float, int, float]:
    """The median time of a step, ms; the last step's number of threads; and MB of its tensors."""
    env = {**os.environ, "KIM_MODEL_PROFILE": "1"}
    for name in ("OMP_NUM_THREADS", "KIM_MODEL_NUM_THREADS"):
        env.pop(name, None)
    if threads is not None:
        env["KIM_MODEL_NUM_THREADS"] = str(threads)
    command = [sys.executable, "-m", "torchml_driver.bench", str(model), "--atoms", str(atoms)]
    done = subprocess.run(
        [*command, "--seconds", str(seconds), "--json"], env=env, capture_output=True, text=True
    )
    profile = _PROFILE.search(done.stderr)
    if done.returncode != 0 or profile is None:
        sys.exit(done.stderr)
    (size,) = json.loads(done.stdout)["sizes"]
    return size["milliseconds"], int(profile[1]), float(profile[2])


def packed(case: Case, folder: Path) -> Path:
    """A portable-model folder with a TorchScript file."""
    torch.jit.script(made(case)).save(str(folder / "model.pt"))
    kind = ["--elements", "Si", "--cutoff", str(case.cutoff), *case.options]
    command(folder, "pack", "model.pt", *kind, "--name", "Model")
    return folder / "Model"


def lines(seconds: float, sizes: tuple[int, ...]) -> Iterator[str]:
    cores = len(os.sched_getaffinity(0))
    yield "# One thread or several"
    yield ""
    yield "Milliseconds per step (median) of silicon: with one thread, with one for each core, and"
    yield "as the driver chooses, on an idle machine and beside one busy process per core."
    yield "Written by `python benchmarks/threads.py --output benchmarks/THREADS.md`."
    yield ""
    yield machine(f"{cores} used")
    yield ""
    yield (
        f"| model | atoms | MB of tensors | 1 thread | {cores} threads | chosen | "
        f"busy: 1 thread | busy: {cores} threads | busy: chosen |"
    )
    yield "|---|---|---|---|---|---|---|---|---|"
    for case in CASES:
        with tempfile.TemporaryDirectory(prefix="torchml-bench-") as folder:
            model = packed(case, Path(folder))
            for atoms in sizes:
                cells = []
                for others in (0, cores):
                    with busy(others):
                        for threads in (1, cores, None):
                            time, used, megabytes = step(model, atoms, threads, seconds)
                            chosen = f" ({used})" if threads is None else ""
                            cells.append(f"{time:.2f}{chosen}")
                yield f"| {case.label} | {atoms} | {megabytes:.1f} | " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--output", type=Path, metavar="FILE.md", help="also write the table there")
    parser.add_argument("--seconds", type=float, default=1.5, help="time for each measurement")
    parser.add_argument("--atoms", default="4,32,108,256,864", help="sizes of the systems")
    options = parser.parse_args()
    sizes = tuple(int(word) for word in options.atoms.split(","))
    print_table(lines(options.seconds, sizes), options.output)


if __name__ == "__main__":
    main()
