"""Draws the README's plot from the tables of this folder.

``python benchmarks/plots.py`` writes docs/images/speed-light.svg and speed-dark.svg: how many times
as fast the driver is as what computes the same today, with the machine and the commands. It
measures nothing.
"""

from __future__ import annotations

import math
import re
import sys
from dataclasses import dataclass
from html import escape
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from docs._ext.plots import table

FOLDER = Path(__file__).resolve().parent
IMAGES = FOLDER.parent / "docs/images"

#: Ink, paper, grid and the bars of the driver's speed-up.
THEMES = {
    "light": {"ink": "#1f2933", "paper": "#ffffff", "grid": "#d5dbe1", "bar": "#2f7fc1"},
    "dark": {"ink": "#e6edf3", "paper": "#0d1117", "grid": "#30363d", "bar": "#58a6ff"},
}
WIDTH, LEFT, RIGHT = 900, 372, 800
TOP, ROW, BAR = 86, 36, 20


@dataclass(frozen=True)
class Bar:
    """what: what is computed; beside: by what else; times: the other's time over the driver's."""

    what: str
    beside: str
    times: float


def rows(name: str, heading: str = "") -> list[dict[str, str]]:
    """The rows of the first table below a heading of benchmarks/NAME.md, by column."""
    found = table(name, heading)
    cells = [[cell.strip("*") for cell in row] for row in found.rows]
    return [dict(zip(found.columns, row, strict=True)) for row in cells]


def machine(name: str) -> str:
    """The machine that a table was measured on: "AMD EPYC, torch 2.13.0+cpu"."""
    text = (FOLDER / f"{name}.md").read_text(encoding="utf-8")
    found = re.search(r"^(.+?), \d+ cores \(.*(torch \S+)$", text, re.MULTILINE)
    if found is None:
        raise ValueError(f"benchmarks/{name}.md does not name its machine")
    return f"{found[1]}, {found[2]}"


def bars() -> list[Bar]:
    """What the plot shows; every number is a quotient of two that a table states."""
    found = []
    for row in rows("DESCRIPTORS", "Against libdescriptor 0.2.3, one thread"):
        name = row["descriptor"].replace("bispectrum", "Bispectrum")
        found.append(Bar(name, "libdescriptor 0.2.3", float(row["both, ratio"])))
    snap = rows("BISPECTRUM")[-1]
    for beside, column in (
        ("LAMMPS's pair_style snap", "LAMMPS"),
        ("KIM's SNAP driver", "KIM"),
    ):
        what = f"SNAP for silicon, {snap['atoms']} atoms"
        found.append(Bar(what, beside, float(snap[column]) / float(snap["driver"])))
    bare, ranks = rows("GRAPHS", "512 atoms, one rank")[-1], rows("GRAPHS", "Ranks")
    compiled = next(row for row in ranks if row["graphs"].endswith("compiled"))
    for kind, ours in (("compiled", compiled["1 rank"]), ("TorchScript", bare["whole step"])):
        what = f"Graph network, 512 atoms, {kind}"
        found.append(Bar(what, "TorchScript in Python", float(bare["bare model"]) / float(ours)))
    formula = rows("EVALUATION")[-1]
    times = float(formula["published SW, C++"]) / float(formula["through KIM"])
    what = f"Stillinger-Weber, {formula['atoms']} atoms"
    found.append(Bar(what, "KIM's hand-written C++", times))
    return sorted(found, key=lambda bar: -bar.times)


def shown(times: float) -> str:
    """1.9, 12, 498, 20,723: two digits or all before the point."""
    return f"{times:,.0f}" if times >= 10 else f"{times:.1f}"


def title(found: list[Bar]) -> str:
    snap = next(bar for bar in found if "LAMMPS" in bar.beside)
    functions = next(bar for bar in found if "symmetry functions" in bar.what)
    return (
        f"SNAP {shown(snap.times)} times as fast as in LAMMPS, symmetry functions "
        f"{shown(functions.times)} times as fast as in libdescriptor"
    )


def drawn(theme: str) -> str:
    """The plot as SVG, in the colours of THEMES."""
    colour = THEMES[theme]
    found = bars()
    decades = math.ceil(math.log10(max(bar.times for bar in found)))
    per_decade = (RIGHT - LEFT) / decades
    bottom = TOP + ROW * len(found)
    height = bottom + 44
    machines = {machine(name) for name in ("DESCRIPTORS", "BISPECTRUM", "GRAPHS", "EVALUATION")}
    notes = (
        f"{' and '.join(sorted(machines))}, one core, energy and forces. Longer is faster; "
        "logarithmic.",
        "benchmarks/ has descriptors.py, bispectrum.py, graphs.py, evaluation.py and their tables; "
        "`make bench` runs them.",
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" role="img">',
        f"<title>{escape(title(found))}</title>",
        "<style>text { font-family: 'DejaVu Sans', Helvetica, Arial, sans-serif; "
        f"font-size: 12px; fill: {colour['ink']}; }} .head {{ font-size: 15px; "
        "font-weight: bold; } .small { font-size: 11px; } .bold { font-weight: bold; }</style>",
        f'<rect width="{WIDTH}" height="{height}" fill="{colour["paper"]}"/>',
    ]

    def text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> None:
        parts.append(
            f'<text x="{x:g}" y="{y:g}" class="{kind}" text-anchor="{anchor}">'
            f"{escape(words)}</text>"
        )

    text(20, 26, title(found), "head")
    for line, words in enumerate(notes):
        text(20, 46 + 16 * line, words, "small")
    for decade in range(decades + 1):
        x = LEFT + per_decade * decade
        parts.append(
            f'<line x1="{x:g}" y1="{TOP - 6}" x2="{x:g}" y2="{bottom}" stroke="{colour["grid"]}"/>'
        )
        text(x, bottom + 18, f"{10**decade:,}", "small", "middle")
    text((LEFT + RIGHT) / 2, bottom + 36, "times as fast", "small", "middle")
    for number, bar in enumerate(found):
        y = TOP + ROW * number
        length = max(2.0, per_decade * math.log10(max(bar.times, 1.0)))
        text(LEFT - 10, y + 12, bar.what, "bold", "end")
        text(LEFT - 10, y + 26, f"beside {bar.beside}", "small", "end")
        parts.append(
            f'<rect x="{LEFT}" y="{y + 5}" width="{length:.1f}" height="{BAR}" rx="2" '
            f'fill="{colour["bar"]}"/>'
        )
        text(LEFT + length + 6, y + 20, shown(bar.times), "bold")
    return "\n".join([*parts, "</svg>"]) + "\n"


def main() -> None:
    for theme in THEMES:
        (IMAGES / f"speed-{theme}.svg").write_text(drawn(theme), encoding="utf-8")


if __name__ == "__main__":
    main()
