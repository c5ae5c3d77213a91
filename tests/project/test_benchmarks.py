"""Benchmarks: `make bench` runs each of them, and each writes the table with its name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.project.test_tools import make
from tests.support import ROOT

FOLDER = ROOT / "benchmarks"
#: plots.py measures nothing, and writes pictures.
SCRIPTS = sorted(
    path.stem
    for path in FOLDER.glob("*.py")
    if "__main__" in path.read_text(encoding="utf-8") and path.stem != "plots"
)


def table(name: str) -> Path:
    return FOLDER / f"{name.upper()}.md"


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_benchmark_s_table_is_named_after_it(name: str) -> None:
    text = table(name).read_text(encoding="utf-8")
    written = re.search(
        r"^Written by `python benchmarks/(\w+)\.py .*benchmarks/(\w+)\.md`", text, re.M
    )
    assert written is not None
    assert written.groups() == (name, name.upper())


def test_every_table_has_a_benchmark() -> None:
    tables = {path.stem.lower() for path in FOLDER.glob("*.md")} - {"readme"}
    assert tables == set(SCRIPTS)


def test_the_ghosts_on_paper_are_those_that_lammps_counts() -> None:
    """To 5 % in small systems and 1 % in large ones, where atoms are at random places."""
    text = table("halo").read_text(encoding="utf-8").partition("## Compared with LAMMPS")[2]
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in text.splitlines()]
    compared = [row for row in rows if row and row[0].isdigit()]
    assert len({row[1] for row in compared}) == 4  # 1, 2, 4, 8 ranks
    for atoms, _ranks, grid, lammps_grid, _halo, ghosts, counted, _crystal in compared:
        assert grid == lammps_grid
        error = 0.01 if int(atoms) > 10_000 else 0.05
        assert float(ghosts) == pytest.approx(float(counted), rel=error)


def test_make_bench_runs_every_benchmark_and_the_page_lists_it() -> None:
    commands = make("--dry-run", "bench", "OTHER=there")
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    for name in SCRIPTS:
        written = f"--output benchmarks/{name.upper()}.md"
        assert re.search(rf"benchmarks/{name}\.py .*{written}", commands), name
        assert f"| `{name}.py` | [{name.upper()}.md]({name.upper()}.md) |" in page
