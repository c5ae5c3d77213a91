"""Draws the pictures of docs/inside: ``python -m docs.drawings`` writes them there.

The layers are those that tests/project/test_layers.py keeps.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from docs._ext.svg import BLUE, GREEN, GREY, PAPER, Colour, Drawing
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
    fill: Colour,
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


def product() -> Drawing:
    """How a descriptor model's forces come about."""
    drawing = Drawing(900, 300, "Forces of a descriptor model")
    drawing.box(20, 30, 180, 56, ["positions", "of neighbours within the cutoff"], GREY)
    drawing.box(270, 30, 180, 56, ["values", "kernel over neighbours"], BLUE)
    drawing.box(520, 30, 160, 56, ["descriptors", "(n, width)"], GREY)
    drawing.box(730, 30, 150, 56, ["model", "energies"], GREEN)
    for start, end in ((200, 270), (450, 520), (680, 730)):
        drawing.arrow((start, 58), (end - 2, 58))
    drawing.box(730, 150, 150, 56, ["gradient", "dE / d descriptors"], GREY)
    drawing.box(
        270, 150, 410, 56, ["vjp", "kernel over neighbours, with the gradient as its weights"], BLUE
    )
    drawing.box(20, 150, 180, 56, ["forces", "and virials of particles"], GREY)
    drawing.arrow((805, 86), (805, 148))
    drawing.arrow((730, 178), (682, 178))
    drawing.arrow((270, 178), (202, 178))
    drawing.arrow((110, 86), (110, 118), (475, 118), (475, 148), dashed=True)
    for row, words in enumerate(
        (
            "Never formed: the matrix of derivatives, (n, width, neighbours, 3).",
            "The second kernel reads positions again (dashed), and weights each function's slope.",
        )
    ):
        drawing.text(20, 246 + 18 * row, words, "note")
    return drawing


def division() -> Drawing:
    """One layer of message passing, as written and divided into parts."""
    drawing = Drawing(900, 470, "One layer, before and after it is divided")

    def row(y: float, boxes: Sequence[tuple[float, float, str]], fill: Colour) -> None:
        for x, width, name in boxes:
            drawing.box(x, y, width, 34, [name], fill)

    drawing.text(20, 28, "As the model is written: each box is a loop over all rows", "head")
    drawing.text(20, 76, "particles", "note")
    row(56, ((180, 80, "mix"), (580, 80, "add"), (700, 80, "tanh")), BLUE)
    drawing.text(128, 77, "h", "name")
    drawing.text(826, 77, "h'", "name")
    drawing.arrow((142, 73), (178, 73))
    drawing.arrow((660, 73), (698, 73))
    drawing.arrow((780, 73), (820, 73))
    drawing.text(20, 166, "edges", "note")
    row(146, ((180, 80, "filter"), (340, 100, "multiply")), GREEN)
    drawing.text(128, 167, "r", "name")
    drawing.arrow((142, 163), (178, 163))
    drawing.arrow((260, 163), (338, 163))
    drawing.arrow((220, 90), (220, 118), (390, 118), (390, 144))
    drawing.text(230, 112, "senders' rows")
    drawing.arrow((440, 163), (620, 163), (620, 92))
    drawing.text(456, 157, "summed into receivers")

    drawing.text(20, 232, "Divided: each part runs from end to end on a block of rows", "head")
    lines = (
        ("part 0, blocks of particles", BLUE, ("h", "mix", "mix(h)")),
        (
            "part 1, blocks of edges",
            GREEN,
            ("r, senders' rows of mix(h)", "filter, multiply", "added to S"),
        ),
        ("part 2, blocks of particles", BLUE, ("h, S", "add, tanh", "h'")),
    )
    for number, (name, fill, (taken, done, given)) in enumerate(lines):
        y = 256 + 54 * number
        drawing.text(20, y + 22, name, "note")
        drawing.text(410, y + 22, taken, "text", "end")
        drawing.box(450, y, 170, 34, [done], fill)
        drawing.text(668, y + 22, given)
        drawing.arrow((416, y + 17), (448, y + 17))
        drawing.arrow((620, y + 17), (660, y + 17))
    drawing.text(
        20,
        444,
        "Inside a part, tensors of edges exist for one block only. Only h, mix(h), S and h' are "
        "whole tensors.",
        "note",
    )
    return drawing


#: Of the atoms in the picture of ghosts, pixels.
SPACING, RADIUS = 26, 7


def atoms(
    drawing: Drawing, middle: tuple[float, float], rings: Sequence[tuple[Colour, bool]]
) -> None:
    """Three by three own atoms, framed, and rings of ghosts around them, the nearest one first.

    rings: the colour of each, and whether its atoms are only dashed.
    """
    x, y = middle
    reach = len(rings) + 1
    for row in range(-reach, reach + 1):
        for column in range(-reach, reach + 1):
            ring = max(abs(row), abs(column)) - 1
            fill, dashed = rings[ring - 1] if ring > 0 else (BLUE, False)
            drawing.circle(x + SPACING * column, y + SPACING * row, RADIUS, fill, dashed)
    drawing.frame(x - 1.5 * SPACING, y - 1.5 * SPACING, 3 * SPACING, 3 * SPACING)


def ghosts() -> Drawing:
    """What an edge model's nodes are: folded, exchanged and staged."""
    drawing = Drawing(960, 404, "Nodes of a model on edges: three modes")
    heads = ((150, "Folded"), (480, "Exchanged"), (810, "Staged, 3 layers"))
    for x, words in heads:
        drawing.text(x, 30, words, "head", "middle")
    y = 166.0

    def captions(x: float, lines: Sequence[str]) -> None:
        for row, words in enumerate(lines):
            drawing.text(x, 308 + 16 * row, words, "note", "middle")

    atoms(drawing, (150, y), [(PAPER, True)])
    owner, image = 150 - SPACING, 150 + 2 * SPACING
    drawing.arrow((image - RADIUS, y), (image - SPACING + RADIUS, y))
    below = y + SPACING / 2
    drawing.arrow((owner, y + RADIUS), (owner, below), (image, below), (image, y + RADIUS))
    captions(
        150, ("9 nodes, all computed.", "An edge from a periodic image", "comes from its owner.")
    )

    left, right = 480 - 2.75 * SPACING, 480 + 2.75 * SPACING
    for x, words in ((left, "one rank"), (right, "another rank")):
        atoms(drawing, (x, y), [(GREY, False)])
        drawing.text(x, y - 3 * SPACING, words, "text", "middle")
    ghost, own = left + 2 * SPACING, right - SPACING
    up, down = y - SPACING / 2, y + SPACING / 2
    drawing.arrow((own, y - RADIUS), (own, up), (ghost, up), (ghost, y - RADIUS))
    drawing.arrow((ghost, y + RADIUS), (ghost, down), (own, down), (own, y + RADIUS), dashed=True)
    captions(
        480,
        (
            "9 nodes of each rank computed, 16 read.",
            "Between layers, features come from the owner;",
            "gradients go back to it (dashed).",
        ),
    )

    atoms(drawing, (810, y), [(GREEN, False), (GREEN, False), (GREY, False)])
    captions(
        810,
        ("49 nodes computed, 32 read.", "One ring more for each layer;", "nothing is exchanged."),
    )

    legend: Sequence[tuple[float, Colour, bool, str]] = (
        (40, BLUE, False, "own atoms: computed"),
        (260, PAPER, True, "periodic images: not nodes"),
        (500, GREY, False, "ghosts: read"),
        (680, GREEN, False, "ghosts: computed again"),
    )
    for x, fill, dashed, words in legend:
        drawing.circle(x, 382, RADIUS, fill, dashed)
        drawing.text(x + 16, 386, words)
    return drawing


#: Each picture, by the name of its file.
PICTURES = {
    "layers": layers,
    "evaluation": evaluation,
    "vjp": product,
    "division": division,
    "ghosts": ghosts,
}


def main() -> None:
    for name, draw in PICTURES.items():
        draw().write(FOLDER / f"{name}.svg")


if __name__ == "__main__":
    main()
