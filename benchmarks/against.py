"""Compares this build of the driver with another one: the time of a step, in turns.

    python benchmarks/against.py OTHER [--output FILE.md]

OTHER: a folder with another build of torchml_driver, such as the site-packages of an earlier commit
built in a separate worktree. Both run with this Python and its torch, since another copy of torch
alone changes times by some per cent. The system is silicon, with the Stillinger-Weber example in
TorchScript; energy, forces and virial, as simulators request them; one thread. Each measurement is
a separate process. The two builds take turns, and the ratio of each pair counts.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

from measuring import machine, print_table

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "stillinger_weber"
_RUN = """
import runpy, sys, torch
sys.path.insert(0, sys.argv.pop(1))
runpy.run_module("torchml_driver.bench", run_name="__main__", alter_sys=True)
"""
#: A parameter file without settings, which every driver reads.
PARAMETERS = "1\nSi\n\nNone\n\n3.77118\n\nmodel.pt\n\nFalse\n\n5\n\nNone\n"


def step(build: Path, model: Path, atoms: int, seconds: float) -> float:
    """The median time of a process's steps, ms."""
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", _RUN, str(build), str(model), "--atoms", str(atoms)]
    done = subprocess.run(
        [*command, "--seconds", str(seconds), "--json"], env=env, capture_output=True, text=True
    )
    if done.returncode != 0:
        sys.exit(done.stderr)
    (size,) = json.loads(done.stdout)["sizes"]
    return float(size["milliseconds"])


def lines(
    other: Path, label: str, sizes: tuple[int, ...], pairs: int, seconds: float
) -> Iterator[str]:
    own = Path(sysconfig.get_path("platlib"))
    yield "# This build and another"
    yield ""
    yield "A step of the Stillinger-Weber example on one thread: milliseconds (median of runs), and"
    yield "the ratio of each pair of runs, which take turns: median, smallest and largest."
    yield "Written by `python benchmarks/against.py OTHER --output benchmarks/AGAINST.md`."
    yield ""
    yield f"{machine()}; the other build: {label}"
    yield ""
    yield "| atoms | other build, ms | this build, ms | ratio | smallest | largest |"
    yield "|---|---|---|---|---|---|"
    with tempfile.TemporaryDirectory(prefix="torchml-bench-") as place:
        model = Path(place)
        make = [sys.executable, str(EXAMPLE / "make_model.py"), "--output", str(model / "model.pt")]
        subprocess.run(make, check=True, stdout=subprocess.DEVNULL)
        (model / "model.param").write_text(PARAMETERS)
        for atoms in sizes:
            times: dict[Path, list[float]] = {other: [], own: []}
            for pair in range(pairs):
                order = (other, own) if pair % 2 == 0 else (own, other)
                for build in order:
                    times[build].append(step(build, model, atoms, seconds))
            ratios = sorted(b / a for a, b in zip(times[other], times[own], strict=True))
            yield (
                f"| {atoms} | {statistics.median(times[other]):.3f} "
                f"| {statistics.median(times[own]):.3f} | {statistics.median(ratios):.3f} "
                f"| {ratios[0]:.3f} | {ratios[-1]:.3f} |"
            )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("other", type=Path, help="folder with the other build")
    parser.add_argument("--label", default="another build", help="description of the other build")
    parser.add_argument("--output", type=Path, metavar="FILE.md", help="also write the table there")
    parser.add_argument("--atoms", default="64,500", help="sizes of the systems")
    parser.add_argument("--pairs", type=int, default=8, help="pairs of runs for each size")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of each run")
    options = parser.parse_args()
    sizes = tuple(int(word) for word in options.atoms.split(","))
    print_table(
        lines(options.other, options.label, sizes, options.pairs, options.seconds), options.output
    )


if __name__ == "__main__":
    main()
