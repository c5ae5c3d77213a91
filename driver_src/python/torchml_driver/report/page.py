"""The HTML around a report: one page without scripts, and without anything from elsewhere."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

_STYLE = """
:root { color-scheme: light dark;
  --page: #f6f6f4; --card: #ffffff; --ink: #16181b; --soft: #545960; --line: #dcdcd8;
  --axis: #9b9b96; --one: #2a6fc4; --two: #d9601f; --good: #17701f; --bad: #bb2020;
  --bad-back: #fdecea; --good-back: #eaf5ea; }
@media (prefers-color-scheme: dark) { :root {
  --page: #131416; --card: #1b1d20; --ink: #ececea; --soft: #abb0b6; --line: #34373b;
  --axis: #70757b; --one: #5a9ff0; --two: #f0894f; --good: #74c47c; --bad: #ff8077;
  --bad-back: #3a1d1c; --good-back: #18301b; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 3rem; max-width: 70rem; background: var(--page);
  color: var(--ink); font: 16px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .5rem; }
h3 { font-size: 1rem; margin: 1.4rem 0 .3rem; }
p { margin: .4rem 0 .8rem; max-width: 46rem; }
code { font: .9em ui-monospace, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
.sub { color: var(--soft); margin: 0 0 1rem; }
.verdict { padding: .7rem 1rem; border-left: 4px solid; border-radius: 4px; max-width: none;
  font-weight: 600; overflow-wrap: anywhere; }
.verdict.ok { border-color: var(--good); background: var(--good-back); }
.verdict.no { border-color: var(--bad); background: var(--bad-back); color: var(--bad); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1.2rem; margin: 1rem 0; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; background: var(--card); font-size: .93rem;
  font-variant-numeric: tabular-nums; border: 1px solid var(--line); }
th, td { padding: .4rem .7rem; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 600; }
tbody th { color: var(--ink); } tr.no th { color: var(--bad); }
.number { text-align: right; white-space: nowrap; }
td.ok { color: var(--good); white-space: nowrap; }
td.no { color: var(--bad); font-weight: 700; white-space: nowrap; }
.why { color: var(--bad); }
.scroll { overflow-x: auto; margin: .6rem 0; }
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(28rem, 100%), 1fr));
  gap: 1rem; margin: 1rem 0; align-items: start; }
figure { margin: 0; padding: .8rem; background: var(--card); border: 1px solid var(--line);
  border-radius: 6px; break-inside: avoid; }
figure table { font-size: .88rem; border: 0; }
figure > svg { display: block; width: 100%; max-width: 34rem; margin: 0 auto; }
figure > svg + svg { margin-top: .5rem; }
figcaption { font-size: .9rem; color: var(--soft); margin-top: .4rem; }
figcaption b { color: var(--ink); }
.legend { margin: 0 0 .3rem; font-size: .9rem; }
.key { margin-right: 1.2rem; white-space: nowrap; display: inline-block; }
.swatch { display: inline-block; width: 1.1em; height: 3px; vertical-align: middle;
  margin-right: .4em; }
.swatch.s1 { background: var(--one); } .swatch.s2 { background: var(--two); }
svg text { font: 12px system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
  fill: var(--soft); }
svg .name { fill: var(--ink); } svg .end { text-anchor: end; } svg .middle { text-anchor: middle; }
svg .note { font-size: 11px; paint-order: stroke; stroke: var(--card); stroke-width: 4px; }
svg path { fill: none; } svg .grid { stroke: var(--line); } svg .axis { stroke: var(--axis); }
svg .rule { stroke: var(--axis); stroke-dasharray: 4 3; }
svg .line { stroke-width: 2; stroke-linejoin: round; }
svg .line.s1 { stroke: var(--one); } svg .line.s2 { stroke: var(--two); }
svg .point { stroke: var(--card); stroke-width: 1; }
svg .point.s1 { fill: var(--one); } svg .point.s2 { fill: var(--two); }
svg .point.failed { fill: var(--bad); }
svg .touch { fill: transparent; }
svg .touch:hover { fill: var(--soft); fill-opacity: .4; }
@media (max-width: 38rem) {
  body { padding: 1rem .75rem 2rem; }
  dl { display: block; } dd { margin: 0 0 .5rem; }
  table.cards thead { display: none; }
  table.cards, table.cards tbody, table.cards tr, table.cards th, table.cards td {
    display: block; width: 100%; text-align: left; white-space: normal; border: 0; padding: 0; }
  table.cards { background: none; border: 0; }
  table.cards tr { background: var(--card); border: 1px solid var(--line); border-radius: 6px;
    padding: .6rem .8rem; margin-bottom: .6rem; }
  table.cards td.number { display: inline-block; width: auto; margin-right: 1.2rem; }
  table.cards td.number::before { content: attr(data-label) " "; color: var(--soft); }
  figure { padding: .5rem; }
  figure th, figure td { padding: .3rem .4rem; }
}
@media print {
  :root { color-scheme: light; --page: #fff; --card: #fff; --ink: #000; --soft: #333;
    --line: #ccc; --axis: #777; --one: #1f5fae; --two: #c04f10; --good: #17701f; --bad: #bb2020;
    --bad-back: #fff; --good-back: #fff; }
  body { max-width: none; padding: 0; font-size: 10.5pt; }
  table { font-size: 9pt; } th, td { padding: .2rem .4rem; }
  h2 { break-after: avoid; } tr { break-inside: avoid; }
  .plots { grid-template-columns: 1fr 1fr; }
}
"""


def page(title: str, parts: Iterable[str], data: Mapping[str, Any]) -> str:
    """A whole document. parts: HTML. data: the same numbers for programs, as JSON inside it."""
    body = "\n".join(parts)
    text = (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n"
        f'<script type="application/json" id="data">{_inside_html(data)}</script>\n'
        "</body>\n</html>\n"
    )
    # A file's name may have bytes that are not valid text.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def section(title: str, *parts: str) -> str:
    body = "\n".join(part for part in parts if part)
    return f"<section>\n<h2>{escape(title)}</h2>\n{body}\n</section>"


def paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>"


def verdict(passed: bool, text: str) -> str:
    return f'<p class="verdict {"ok" if passed else "no"}">{escape(text)}</p>'


def facts(known: Mapping[str, str]) -> str:
    """Names and values; an empty value is left out."""
    rows = (
        f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in known.items() if value
    )
    return f"<dl>{''.join(rows)}</dl>"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Texts first, then numbers: the first column names the row."""
    names = "".join(
        f'<th scope="col"{" class=number" if index else ""}>{escape(name)}</th>'
        for index, name in enumerate(head)
    )
    lines = []
    for first, *others in rows:
        cells = "".join(f'<td class="number">{escape(value)}</td>' for value in others)
        lines.append(f'<tr><th scope="row">{escape(first)}</th>{cells}</tr>')
    return (
        f'<div class="scroll"><table><thead><tr>{names}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def figure(drawings: Sequence[str], caption: str, above: str = "", title: str = "") -> str:
    """Drawings or a table, one below the other, what is said of them, and above them a legend."""
    strong = f"<b>{escape(title)}</b> " if title else ""
    return (
        f"<figure>{above}{''.join(drawings)}"
        f"<figcaption>{strong}{escape(caption)}</figcaption></figure>"
    )


def plots(figures: Sequence[str]) -> str:
    """Figures side by side where there is room."""
    return f'<div class="plots">{"".join(figures)}</div>'


def value(found: float | None, unit: str = "") -> str:
    """A number with its unit, or what it is instead."""
    if found is None:
        return "not measured"
    if not math.isfinite(found):
        return "not a number (nan)" if math.isnan(found) else f"{found}"
    text = f"{found:.1e}" if found and not 1e-3 <= abs(found) < 1e5 else f"{found:.4g}"
    return f"{text} {unit}".rstrip()


def finite_only(data: Any) -> Any:
    """The same, with null in place of numbers that JSON does not have (nan, infinities)."""
    if isinstance(data, float) and not math.isfinite(data):
        return None
    if isinstance(data, Mapping):
        return {name: finite_only(inner) for name, inner in data.items()}
    if isinstance(data, (list, tuple)):
        return [finite_only(inner) for inner in data]
    return data


def _inside_html(data: Mapping[str, Any]) -> str:
    """Nothing in it ends the element, or begins a comment."""
    text = json.dumps(finite_only(data), ensure_ascii=False, allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
