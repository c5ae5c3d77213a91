"""Draws the README's picture: ``python -m docs.readme_drawing`` writes it into docs/images/.

It is written twice, for pages with a light and with a dark background.
"""

from __future__ import annotations

from pathlib import Path

from docs._ext.svg import BLUE, FRAME, GREEN, GREY, INK, PAPER, Drawing

FOLDER = Path(__file__).resolve().parent / "images"

#: The colours of docs._ext.svg on a dark page.
DARK = {
    INK: "#d5dbe1",
    PAPER: "#0d1117",
    FRAME: "#5b6672",
    BLUE: "#1d3850",
    GREEN: "#1e3d2a",
    GREY: "#2a2f36",
}


def in_theme(drawing: Drawing, theme: str) -> str:
    """A drawing as SVG in light or dark colours; theme: "light" or "dark"."""
    text = str(drawing)
    for colour, dark in DARK.items():
        value = dark if theme == "dark" else colour.value
        text = text.replace(colour.css(), value).replace(colour.value, value)
    return text


def drawing() -> Drawing:
    drawn = Drawing(900, 330, "From a model file to LAMMPS and ASE")
    drawn.text(20, 26, "What you have", "head")
    drawn.text(246, 26, "torchml-install model …", "head")
    drawn.text(650, 26, "What runs it", "head")

    drawn.box(20, 44, 180, 62, ["model.pt", "TorchScript: neighbour lists,", "staged graphs"], GREY)
    drawn.box(20, 134, 180, 62, ["model.pt + .dat", "a descriptor model;", "KLIFF's files"], GREY)
    drawn.box(20, 224, 180, 62, ["model.py + weights", "Python source"], GREY)

    drawn.box(246, 224, 150, 62, ["compile", "to machine code,", "gradient included"], GREEN)
    drawn.box(
        246, 89, 150, 62, ["pack", "tries the model on a few", "atoms, writes a folder"], GREEN
    )
    drawn.box(
        452, 89, 150, 62, ["My_Model/", "model, elements, cutoff:", "all that KIM needs"], GREY
    )
    drawn.box(
        452, 224, 150, 62, ["verify, bench", "forces, virial, symmetries;", "time per step"], GREEN
    )

    drawn.box(650, 44, 230, 44, ["LAMMPS", "kim init My_Model metal"], BLUE)
    drawn.box(650, 100, 230, 44, ["ASE", 'KIM("My_Model")'], BLUE)
    drawn.box(650, 156, 230, 44, ["other simulators", "whatever supports the KIM-API"], BLUE)
    drawn.box(650, 233, 230, 44, ["ASE, without KIM", 'TorchMLCalculator("My_Model")'], BLUE)

    drawn.arrow((201, 75), (223, 75), (223, 112), (244, 112))
    drawn.arrow((201, 165), (223, 165), (223, 128), (244, 128))
    drawn.arrow((201, 255), (244, 255))
    drawn.arrow((321, 223), (321, 153))
    drawn.text(329, 192, ".pt2")
    drawn.arrow((397, 120), (450, 120))
    drawn.arrow((527, 152), (527, 222))
    for y in (66, 122, 178):
        drawn.arrow((603, 120), (626, 120), (626, y), (648, y))
    drawn.arrow((603, 134), (616, 134), (616, 255), (648, 255))
    drawn.text(650, 218, "These three: after model install.", "note")
    drawn.text(
        20,
        316,
        "One engine computes in all four: the same energies and forces, to the last bit.",
        "note",
    )
    return drawn


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for theme in ("light", "dark"):
        path = FOLDER / f"model-to-simulator-{theme}.svg"
        path.write_text(in_theme(drawing(), theme), encoding="utf-8")


if __name__ == "__main__":
    main()
