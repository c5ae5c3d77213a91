"""Pictures as SVG, in colours that the site changes between light and dark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path


@dataclass(frozen=True)
class Colour:
    """One that the site changes between light and dark (docs/_static/site.css); elsewhere, and in
    programs that know no variables, it is what stands here."""

    name: str
    value: str

    def css(self) -> str:
        return f"var(--drawing-{self.name}, {self.value})"

    def __call__(self, part: str) -> str:
        """Attributes that paint a part (fill, stroke) of an element."""
        return f'{part}="{self.value}" style="{part}: {self.css()}"'


INK, PAPER, FRAME = Colour("ink", "#1f2933"), Colour("paper", "#ffffff"), Colour("frame", "#9aa5b1")
BLUE, GREEN, GREY = Colour("blue", "#e3f0fb"), Colour("green", "#e6f4ea"), Colour("grey", "#f1f3f5")
STYLE = (
    ".drawn text { font-family: 'DejaVu Sans', Helvetica, Arial, sans-serif; "
    f"fill: {INK.value}; fill: {INK.css()}; }} "
    ".drawn .head { font-size: 16px; font-weight: bold; } "
    ".drawn .name { font-size: 13px; font-weight: bold; } "
    ".drawn .text { font-size: 11px; } "
    ".drawn .note { font-size: 11px; font-style: italic; }"
)


class Drawing:
    """An SVG file in the making; all lengths are pixels."""

    def __init__(self, width: int, height: int, title: str) -> None:
        self.tip = "tip-" + "".join(word[0] for word in title.lower().split())
        self.parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}" role="img" class="drawn">',
            f"<title>{escape(title)}</title>",
            f"<style>{STYLE}</style>",
            f'<defs><marker id="{self.tip}" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" '
            f'markerHeight="7" orient="auto"><path d="M0 0 L10 5 L0 10 z" {INK("fill")}/></marker>'
            "</defs>",
            f'<rect width="{width}" height="{height}" {PAPER("fill")}/>',
        ]

    def text(
        self, x: float, y: float, words: str, kind: str = "text", anchor: str = "start"
    ) -> None:
        self.parts.append(
            f'<text x="{x:g}" y="{y:g}" class="{kind}" text-anchor="{anchor}">'
            f"{escape(words)}</text>"
        )

    def box(
        self, x: float, y: float, width: float, height: float, lines: Sequence[str], fill: Colour
    ) -> None:
        """A name, and lines below it."""
        self.parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="6" '
            f'fill="{fill.value}" stroke="{FRAME.value}" '
            f'style="fill: {fill.css()}; stroke: {FRAME.css()}"/>'
        )
        top = y + height / 2 - 7.5 * len(lines) + 11
        for row, words in enumerate(lines):
            kind = "text" if row else "name"
            self.text(x + width / 2, top + 15 * row, words, kind, "middle")

    def circle(self, x: float, y: float, radius: float, fill: Colour, dashed: bool = False) -> None:
        dash = ' stroke-dasharray="2 2"' if dashed else ""
        self.parts.append(
            f'<circle cx="{x:g}" cy="{y:g}" r="{radius:g}" fill="{fill.value}" '
            f'stroke="{FRAME.value}" style="fill: {fill.css()}; stroke: {FRAME.css()}"{dash}/>'
        )

    def frame(self, x: float, y: float, width: float, height: float, dashed: bool = False) -> None:
        """A rectangle that is not filled."""
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        self.parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" fill="none" '
            f"{FRAME('stroke')}{dash}/>"
        )

    def arrow(self, *points: tuple[float, float], dashed: bool = False) -> None:
        path = " ".join(f"{x:g},{y:g}" for x, y in points)
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        self.parts.append(
            f'<polyline points="{path}" fill="none" {INK("stroke")} stroke-width="1.4"{dash} '
            f'marker-end="url(#{self.tip})"/>'
        )

    def __str__(self) -> str:
        return "\n".join([*self.parts, "</svg>"]) + "\n"

    def write(self, path: Path) -> None:
        path.write_text(str(self), encoding="utf-8")
