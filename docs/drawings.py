"""Draws the pictures of docs/inside: ``python -m docs.drawings`` writes them there.

The layers are those that tests/project/test_layers.py keeps.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from tests.project.test_layers import INSTALLER_LAYERS, LAYERS

FOLDER = Path(__file__).resolve().parent / "inside"

#: What is in a folder, in a few words.
DRIVER = {
    "kim": "KIM-API's routines: pointers, units, errors",
    "python": "torchml_driver: arrays, ASE, checks",
    "engine": "the potential: parameters, one evaluation",
    "inputs": "particles to tensors, gradients to forces",
    "runtime": "runs models: TorchScript, compiled",
    "descriptors": "symmetry functions, bispectrum, SOAP",
    "torch_ops": "operators of torch_scatter, torch_sparse",
    "process": "cores, threads, MPI, launchers, devices",
    "base": "errors, text, values, elements",
}
INSTALLER = {
    "cli": "the command: options, help, exit codes",
    "quickstart": "from installed to a first energy",
    "doctor": "says what is there, and what is missing",
    "uninstall": "removes what the command installed",
    "driver": "builds, checks and installs the driver",
    "models": "packs models, writes what KIM installs",
    "remedies": "one module for each known problem",
    "environment": "scripts that set an environment",
    "deps": "one module for each package manager",
    "building": "runs CMake",
    "detect": "one module for each dependency",
    "support": "processes, files, disks, console",
    "errors": "each failure: exit code and remedy",
}

INK, PAPER, FRAME = "#1f2933", "#ffffff", "#9aa5b1"
BLUE, GREEN, GREY = "#e3f0fb", "#e6f4ea", "#f1f3f5"
STYLE = (
    f"text {{ font-family: 'DejaVu Sans', Helvetica, Arial, sans-serif; fill: {INK}; }} "
    ".head { font-size: 16px; font-weight: bold; } "
    ".name { font-size: 13px; font-weight: bold; } "
    ".text { font-size: 11px; } "
    ".note { font-size: 11px; font-style: italic; }"
)


class Drawing:
    """An SVG file in the making; all lengths are pixels."""

    def __init__(self, width: int, height: int, title: str) -> None:
        self.parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}" role="img">',
            f"<title>{escape(title)}</title>",
            f"<style>{STYLE}</style>",
            '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" '
            f'markerHeight="7" orient="auto"><path d="M0 0 L10 5 L0 10 z" fill="{INK}"/></marker>'
            "</defs>",
            f'<rect width="{width}" height="{height}" fill="{PAPER}"/>',
        ]

    def text(
        self, x: float, y: float, words: str, kind: str = "text", anchor: str = "start"
    ) -> None:
        self.parts.append(
            f'<text x="{x:g}" y="{y:g}" class="{kind}" text-anchor="{anchor}">'
            f"{escape(words)}</text>"
        )

    def box(
        self, x: float, y: float, width: float, height: float, lines: Sequence[str], fill: str
    ) -> None:
        """A name, and lines below it."""
        self.parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="6" '
            f'fill="{fill}" stroke="{FRAME}"/>'
        )
        top = y + height / 2 - 7.5 * len(lines) + 11
        for row, words in enumerate(lines):
            kind = "text" if row else "name"
            self.text(x + width / 2, top + 15 * row, words, kind, "middle")

    def arrow(self, *points: tuple[float, float], dashed: bool = False) -> None:
        path = " ".join(f"{x:g},{y:g}" for x, y in points)
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        self.parts.append(
            f'<polyline points="{path}" fill="none" stroke="{INK}" stroke-width="1.4"{dash} '
            'marker-end="url(#tip)"/>'
        )

    def write(self, path: Path) -> None:
        path.write_text("\n".join([*self.parts, "</svg>"]) + "\n", encoding="utf-8")


def folders(layers: Sequence[Sequence[str]]) -> list[list[str]]:
    """Rows from the top down.

    Parts of a folder (runtime/memory) count as the folder, drawn in the lowest row that has one.
    """
    seen: set[str] = set()
    rows = []
    for together in layers:
        names = [name for name in (part.split("/")[0] for part in together) if name not in seen]
        names = [name for name in dict.fromkeys(names) if not name.startswith("__")]
        seen.update(names)
        if names:
            rows.append(names)
    return rows[::-1]


def stack(
    drawing: Drawing,
    left: float,
    top: float,
    width: float,
    rows: Sequence[Sequence[str]],
    words: dict[str, str],
    fill: str,
    slash: bool,
) -> dict[str, tuple[float, float, float, float]]:
    """Rows of boxes, joined by arrows that point down; returns where each box is."""
    places = {}
    for row, names in enumerate(rows):
        y = top + 66 * row
        each = (width - 12 * (len(names) - 1)) / len(names)
        for column, name in enumerate(names):
            x = left + column * (each + 12)
            lines = [name + ("/" if slash else ""), words.get(name, "")]
            drawing.box(x, y, each, 44, lines, fill)
            places[name] = (x, y, each, 44)
        if row + 1 < len(rows):
            drawing.arrow((left + width / 2, y + 45), (left + width / 2, y + 65))
    return places


def layers() -> Drawing:
    driver = folders(LAYERS)
    driver[0] = [*driver[0], "python"]  # a second front door, in a folder of its own
    installer = folders(INSTALLER_LAYERS)
    height = 66 + 66 * max(len(driver), len(installer))
    drawing = Drawing(1180, height, "The layers of the installer and of the driver")
    drawing.text(20, 30, "The installer: torchml_installer/", "head")
    drawing.text(20, 50, "pure Python, never imports torch", "note")
    left = stack(drawing, 20, 66, 500, installer, INSTALLER, GREEN, slash=False)
    drawing.text(640, 30, "The driver: driver_src/src/, and driver_src/python/", "head")
    drawing.text(640, 50, "C++ on libtorch, and a Python package on the same engine", "note")
    right = stack(drawing, 640, 66, 520, driver, DRIVER, BLUE, slash=True)
    below = max(y for _x, y, _w, _h in right.values()) + 66
    drawing.arrow((900, below - 21), (900, below - 1))
    drawing.box(
        640, below, 520, 30, ["libtorch; the KIM-API and MPI where they are built in"], GREY
    )
    x, y, width, _ = left["models"]
    start, end = right["python"], x + width
    drawing.arrow(
        (end + 2, y + 22),
        (580, y + 22),
        (580, start[1] - 8),
        (start[0] + start[2] / 2, start[1] - 8),
        (start[0] + start[2] / 2, start[1] - 1),
        dashed=True,
    )
    legend = (
        "Solid arrows: what is above may include or import what is below, never the other way.",
        "Dashed: the installer starts torchml_driver in the user's Python, with one JSON",
        "request and one JSON answer, for what takes torch or the engine.",
    )
    for row, words in enumerate(legend):
        drawing.text(640, below + 58 + 17 * row, words, "note")
    return drawing


def evaluation() -> Drawing:
    drawing = Drawing(900, 520, "The way of one evaluation")
    drawing.box(
        40, 20, 820, 44, ["simulator", "LAMMPS, ASE, any program that uses KIM or Python"], GREY
    )
    rows = (
        (
            ["kim/ or python/", "pointers, arrays, units", "to a System: a view, no copy"],
            ["kim/ or python/", "energy, forces, particle", "energies, virial, in its units"],
        ),
        (
            [
                "engine/: Potential::prepare",
                "may call back into the simulator",
                "for neighbour lists",
            ],
            ["engine/: Potential::evaluate", "sums energies, checks for nan,", "forms the virial"],
        ),
        (
            [
                "inputs/",
                "System to tensors: lists, graphs or",
                "descriptors, in buffers used again",
            ],
            ["inputs/", "gradient to forces on particles:", "each kind has its chain rule"],
        ),
    )
    for row, (down, up) in enumerate(rows):
        y = 98 + 98 * row
        drawing.box(40, y, 370, 64, down, BLUE)
        drawing.box(490, y, 370, 64, up, BLUE)
        drawing.arrow((225, y - 34), (225, y - 2))
        drawing.arrow((675, y - 2), (675, y - 34))
    drawing.arrow((225, 358), (225, 390))
    drawing.arrow((675, 390), (675, 358))
    drawing.box(
        40,
        392,
        820,
        64,
        [
            "runtime/",
            "tensors to energies, and to forces or the gradient with respect to the inputs",
            "TorchScript, or compiled by AOTInductor; on a CPU or a GPU",
        ],
        BLUE,
    )
    drawing.text(
        450,
        490,
        "Each arrow is one call. Nothing is shared but buffers that an object owns.",
        "note",
        "middle",
    )
    return drawing


def main() -> None:
    layers().write(FOLDER / "layers.svg")
    evaluation().write(FOLDER / "evaluation.svg")


if __name__ == "__main__":
    main()
