"""Plots of the tables in ``benchmarks/``, drawn while the site is built."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from docs._ext.svg import FRAME, Colour, Drawing

ROOT = Path(__file__).resolve().parents[2]

SERIES = (
    Colour("bar", "#2a78b8"),
    Colour("bar-two", "#d9822b"),
    Colour("bar-three", "#5f9e6e"),
    Colour("bar-four", "#9a6fb0"),
)
_WIDTH, _LEFT, _RIGHT, _BAR, _GAP = 900, 250, 90, 15, 14


@dataclass(frozen=True)
class Table:
    """A table of a Markdown file, and the heading that it stands under."""

    heading: str
    columns: list[str]
    rows: list[list[str]]

    def of(self, row: Sequence[str], column: str) -> str:
        return row[self.columns.index(column)]


def tables(name: str) -> list[Table]:
    """Those of ``benchmarks/NAME.md``, in order."""
    found: list[Table] = []
    heading = ""
    for line in (ROOT / f"benchmarks/{name}.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
            follows = False
        elif line.startswith("|"):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if not follows:
                found.append(Table(heading, cells, []))
            elif not re.fullmatch(r"[-: ]+", cells[0]):
                found[-1].rows.append(cells)
            follows = True
        else:
            follows = False
    return found


def table(name: str, heading: str) -> Table:
    return next(one for one in tables(name) if one.heading.startswith(heading))


def bars(
    title: str,
    series: Sequence[str],
    rows: Sequence[tuple[str, Sequence[float]]],
    *,
    logarithmic: bool = False,
) -> str:
    """Horizontal bars: for each row one of each series, with its number beside it."""
    group = _BAR * len(series) + _GAP
    drawing = Drawing(_WIDTH, 66 + group * len(rows), title)
    drawing.text(20, 22, title, "name")
    x = float(_LEFT)
    for name, colour in zip(series, SERIES, strict=False):
        drawing.parts.append(f'<rect x="{x:g}" y="34" width="12" height="12" {colour("fill")}/>')
        drawing.text(x + 18, 44, name)
        x += 40 + 6.6 * len(name)
    numbers = [value for _, values in rows for value in values]
    most, least = max(numbers), min(numbers)
    space = _WIDTH - _LEFT - _RIGHT

    def length(value: float) -> float:
        if not logarithmic:
            return space * value / most
        bottom = math.floor(math.log10(least))
        return space * (math.log10(value) - bottom) / (math.log10(most) - bottom)

    for number, (label, values) in enumerate(rows):
        y = 58.0 + group * number
        drawing.text(_LEFT - 10, y + _BAR * len(series) / 2 + 4, label, "text", "end")
        for value, colour in zip(values, SERIES, strict=False):
            drawing.parts.append(
                f'<rect x="{_LEFT}" y="{y:g}" width="{length(value):.1f}" height="{_BAR - 2}" '
                f"{colour('fill')}/>"
            )
            drawing.text(_LEFT + length(value) + 6, y + 10.5, f"{value:g}")
            y += _BAR
    drawing.parts.append(
        f'<line x1="{_LEFT}" x2="{_LEFT}" y1="54" y2="{58 + group * len(rows) - _GAP + 2}" '
        f"{FRAME('stroke')}/>"
    )
    return str(drawing)


def _columns(
    name: str, heading: str, title: str, label: Callable[[Table, list[str]], str], *columns: str
) -> str:
    """Bars of some columns of a table."""
    found = table(name, heading)
    rows = [
        (label(found, row), [float(found.of(row, column)) for column in columns])
        for row in found.rows
    ]
    return bars(title, columns, rows)


def _atoms(found: Table, row: list[str]) -> str:
    return f"{found.of(row, 'atoms')} atoms"


def _model(found: Table, row: list[str]) -> str:
    threads = ""
    if "threads" in found.columns:
        number = found.of(row, "threads")
        threads = f", {number} thread{'' if number == '1' else 's'}"
    model = found.of(row, "model").partition(",")[0]
    return f"{model}, {found.of(row, 'atoms')} atoms{threads}"


def compiled() -> str:
    return _columns(
        "COMPILED",
        "Compiled models",
        "Milliseconds per step",
        _model,
        "TorchScript",
        "whole",
        "blocks",
        "rings",
    )


def evaluation() -> str:
    columns = ("bare model", "through KIM", "published SW, C++")
    return _columns("EVALUATION", "One evaluation", "Milliseconds per step", _atoms, *columns)


def bispectrum() -> str:
    title = "Milliseconds for energy and forces"
    found = table("BISPECTRUM", "Bispectrum")
    rows = [
        (_atoms(found, row), [float(found.of(row, name)) for name in ("driver", "LAMMPS", "KIM")])
        for row in found.rows
    ]
    return bars(title, ("this driver", "LAMMPS's SNAP", "KIM's SNAP"), rows)


def descriptors() -> str:
    found = table("DESCRIPTORS", "Against libdescriptor")
    both = [number for number, column in enumerate(found.columns) if column == "both"]
    rows = [(row[0], [float(row[number]) for number in both]) for row in found.rows]
    title = "Microseconds an atom for values and their product with a gradient (logarithmic)"
    return bars(title, ("this driver", "libdescriptor"), rows, logarithmic=True)


def graphs() -> str:
    found = table("GRAPHS", "Ranks")
    rows = [
        (
            f"{found.of(row, 'graphs').replace('`', '')}, {found.of(row, 'atoms')}",
            [float(found.of(row, name)) for name in ("1 rank", "2 ranks")],
        )
        for row in found.rows
    ]
    return bars("Milliseconds per step in LAMMPS, by graphs and atoms", ("1 rank", "2 ranks"), rows)


def threads() -> str:
    return _columns(
        "THREADS",
        "One thread",
        "Milliseconds per step, idle machine",
        _model,
        "1 thread",
        "2 threads",
    )


def installer() -> str:
    _, builds = tables("INSTALLER")
    rows = [(row[0].replace("`", ""), [float(row[1])]) for row in builds.rows]
    return bars("Seconds to build", ("built with two cores",), rows)


PLOTS: dict[str, Callable[[], str]] = {
    "bispectrum": bispectrum,
    "compiled": compiled,
    "descriptors": descriptors,
    "evaluation": evaluation,
    "graphs": graphs,
    "installer": installer,
    "threads": threads,
}
