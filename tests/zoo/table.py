"""Writes the table of what runs of libraries' models.

    python -m tests.zoo.table [--only LIBRARY ...] [--output docs/models/libraries/what-runs.md]

Runs tests/zoo/test_what_runs.py, one library after the other, which takes long. Rows of earlier
runs are kept in ~/.cache/torchml-tests; --only replaces those of some libraries, or of none. The
table has the rows that there are.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.support import KEPT, ROOT
from tests.zoo.test_what_runs import CASES

ROWS = KEPT / "zoo-rows"
OUTPUT = ROOT / "docs/models/libraries/what-runs.md"
_HEAD = """\
# What runs

One model of each library, packed by `torchml-install model pack --from` and run on one machine with
torch {torch}. SevenNet's and CHGNet's models, where listed, are published ones; all others are
small, untrained or nearly so, and made by `tests/zoo`. A library without a row was not run when
this page was written; its own page says what its tests compare.

Written by `python -m tests.zoo.table`.

| {columns} |
|{rules}|
"""
_COLUMNS = (
    "library, model",
    "ASE",
    "LAMMPS: fold, 1 rank",
    "stage, 1 and 3 ranks",
    "exchange, 1 to 3 ranks",
    "auto, 1 to 3 ranks",
    "NVE, meV/atom",
    "NPT, meV/atom",
    "`model verify`",
)
_FOOT = """
ASE: the largest relative difference from the library's own calculator that `model pack` found
([what is compared](../from-a-library.md#what-is-compared)). LAMMPS: the largest relative difference
from that calculator, of the energy and of a component of a force (relative to the largest), in a
rattled, oblique crystal of 16 atoms, for each `KIM_MODEL_GHOSTS`
([modes](../edges.md#what-are-the-nodes)). A model with rounding in single precision differs by 1e-7
or more. A dash: the model has no such mode.

NVE, NPT: the largest change of the conserved energy, at 300 K. Salt of 8 atoms, 200 steps of 1 fs,
for published models; the crystal of 16 atoms, 50 steps of 0.25 fs, for the others.
"""


def cell(row: Mapping[str, Any], mode: str) -> str:
    """The largest difference in a mode."""
    found = [difference for name, _, difference in row["lammps"] if name == mode]
    return f"{max(found):.0e}" if found else "-"


def line(row: Mapping[str, Any]) -> str:
    modes = [cell(row, mode) for mode in ("fold", "stage", "exchange", "auto")]
    changes = [f"{1000 * row['changes'][name]:.2g}" for name in ("nve", "npt")]
    verified = f"fails {', '.join(row['failed'])}" if row["failed"] else "passes"
    name, ase = f"{row['title']} {row['version']}, {row['kind']}", f"{row['ase']:.0e}"
    return f"| {' | '.join([name, ase, *modes, *changes, verified])} |"


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    torch = " and ".join(sorted({row["torch"] for row in rows}))
    head = _HEAD.format(
        torch=torch, columns=" | ".join(_COLUMNS), rules="|".join(["---"] * len(_COLUMNS))
    )
    return head + "\n".join(map(line, rows)) + "\n" + _FOOT


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", nargs="*", help="libraries to run again")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()
    ROWS.mkdir(parents=True, exist_ok=True)
    wanted = [case for case in CASES if options.only is None or case.library in options.only]
    for case in wanted:
        (ROWS / f"{case.name}.json").unlink(missing_ok=True)
        test = f"tests/zoo/test_what_runs.py::test_everything_runs[{case.name}]"
        subprocess.run(
            [sys.executable, "-m", "pytest", "-q", test],
            cwd=ROOT,
            env={**os.environ, "TORCHML_ZOO_ROWS": str(ROWS)},
            check=True,
        )
    rows = [row for case in CASES if (row := ROWS / f"{case.name}.json").exists()]
    options.output.write_text(table([json.loads(row.read_text()) for row in rows]))


if __name__ == "__main__":
    main()
