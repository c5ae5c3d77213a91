"""Compares the driver's descriptors with libdescriptor's, in turns in one process.

    torchml-install deps --with libdescriptor     # once; prints LIBDESCRIPTOR_ROOT
    LIBDESCRIPTOR_ROOT=... python benchmarks/descriptors.py [--output FILE.md]

Both run through the same engine: `values` calls libdescriptor's compute_single_atom for each atom,
`vjp` its gradient_single_atom. Neighbour lists are made beforehand and do not count. The comparison
measures CPU time, so other load hardly matters; the table of threads measures elapsed time.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "2"

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk
from measuring import machine, print_table

DATA = Path(__file__).resolve().parent.parent / "tests" / "data" / "descriptors"
LATTICE = 5.431  # angstrom
BACKEND = "KIM_MODEL_DESCRIPTOR_BACKEND"


@dataclass(frozen=True)
class Case:
    """A descriptor of silicon, with its file in tests/data/descriptors."""

    title: str
    name: str


CASES = [
    Case("51 symmetry functions, 5 Å", "set51"),
    Case("bispectrum, 2jmax = 8, 5 Å", "bispectrum8"),
    Case("SOAP, n_max 4, l_max 4, 4 Å", "soap"),
]


def silicon(cells: int) -> Atoms:
    """A crystal at about 300 K."""
    atoms = bulk("Si", a=LATTICE, cubic=True) * (cells, cells, cells)
    atoms.rattle(0.08, seed=7)
    return atoms


class Work:
    """Values and vector-Jacobian products of one backend for one structure."""

    def __init__(self, case: Case, atoms: Atoms, backend: str) -> None:
        from torchml_driver.descriptors import Descriptor

        os.environ[BACKEND] = backend
        descriptor = Descriptor(DATA / f"{case.name}.kliff.dat", ["Si"])
        self._core = descriptor._core
        self._arrays: Any = descriptor._arrays(atoms)
        self._weights = np.random.default_rng(1).normal(size=(len(atoms), descriptor.width))

    def values(self) -> Any:
        return self._core.values(*self._arrays)

    def vjp(self) -> Any:
        return self._core.vjp(*self._arrays, self._weights)


def seconds(call: Callable[[], object], clock: Callable[[], float]) -> float:
    start = clock()
    call()
    return clock() - start


def best(
    calls: list[Callable[[], object]],
    rounds: int,
    clock: Callable[[], float] = time.thread_time,
) -> list[float]:
    """The shortest time of each, s. All take turns, so that other load affects all alike.

    By default, this thread's CPU time, which excludes other processes.
    """
    for call in calls:
        call()
    times = [[seconds(call, clock) for call in calls] for _ in range(rounds)]
    return [min(column) for column in zip(*times, strict=True)]


def against_libdescriptor(rounds: int) -> Iterator[str]:
    many, few = silicon(4), silicon(1)
    yield "## Against libdescriptor 0.2.3, one thread"
    yield ""
    yield (
        f"Microseconds per atom of silicon: the driver with {len(many)} atoms, libdescriptor with "
        f"{len(few)}, which takes\nlong enough. A simulation's step computes values and vjp (the "
        "gradient of the energy).\nDifference: the largest, relative to the largest value "
        "and derivative."
    )
    yield ""
    yield (
        "| descriptor | driver: values | vjp | both | libdescriptor: values | vjp | both "
        "| both, ratio | difference |"
    )
    yield "|---|---|---|---|---|---|---|---|---|"
    torch.set_num_threads(1)
    for case in CASES:
        ours, same = Work(case, many, "native"), Work(case, few, "native")
        theirs = Work(case, few, "libdescriptor")
        times = best([ours.values, ours.vjp, theirs.values, theirs.vjp], rounds)
        a, b = (1e6 * time / len(many) for time in times[:2])
        c, d = (1e6 * time / len(few) for time in times[2:])
        pairs = [(same.values(), theirs.values()), (same.vjp()[0], theirs.vjp()[0])]
        difference = max(np.abs(one - two).max() / np.abs(two).max() for one, two in pairs)
        yield (
            f"| {case.title} | {a:.1f} | {b:.1f} | {a + b:.1f} | {c:.0f} | {d:.0f} | {c + d:.0f} "
            f"| **{(c + d) / (a + b):.0f}** | {difference:.0e} |"
        )


def threads(cells: int, rounds: int) -> Iterator[str]:
    atoms = silicon(cells)
    micro = 1e6 / len(atoms)
    yield ""
    yield f"## Threads, {len(atoms)} atoms of silicon"
    yield ""
    yield "Values and vector-Jacobian products (vjp), microseconds per atom."
    yield ""
    yield "| descriptor | one thread | two | speed-up |"
    yield "|---|---|---|---|"
    for case in CASES:
        work = Work(case, atoms, "native")

        def step(count: int, work: Work = work) -> None:
            torch.set_num_threads(count)
            work.values()
            work.vjp()

        one, two = best([lambda: step(1), lambda: step(2)], rounds, time.perf_counter)
        yield f"| {case.title} | {micro * one:.1f} | {micro * two:.1f} | {one / two:.2f} |"


def sizes(largest: int) -> Iterator[str]:
    yield ""
    yield "## Sizes, one thread"
    yield ""
    yield "51 symmetry functions, values and vjp, microseconds per atom."
    yield ""
    yield "| atoms | µs per atom |"
    yield "|---|---|"
    torch.set_num_threads(1)
    for cells in (5, 11, 23, 50):
        atoms = silicon(cells)
        if len(atoms) > largest:
            break
        work = Work(CASES[0], atoms, "native")
        rounds = max(2, min(30, 100_000 // len(atoms)))
        times = best([work.values, work.vjp], rounds)
        yield f"| {len(atoms)} | {1e6 * sum(times) / len(atoms):.1f} |"
        del work


def lines(largest: int) -> Iterator[str]:
    yield "# Descriptors"
    yield ""
    yield "Written by `python benchmarks/descriptors.py --output benchmarks/DESCRIPTORS.md`."
    yield ""
    yield machine("one used, or two where stated")
    yield ""
    yield from against_libdescriptor(rounds=5)
    yield from threads(cells=8, rounds=7)
    yield from sizes(largest)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--output", type=Path, metavar="FILE.md", help="also write the tables there"
    )
    parser.add_argument(
        "--largest", type=int, default=1_000_000, metavar="ATOMS", help="(default: a million)"
    )
    options = parser.parse_args()
    if "LIBDESCRIPTOR_ROOT" not in os.environ:
        sys.exit(
            "LIBDESCRIPTOR_ROOT is not set. `torchml-install deps --with libdescriptor` installs "
            "the library and prints the folder."
        )
    print_table(lines(options.largest), options.output)


if __name__ == "__main__":
    main()
