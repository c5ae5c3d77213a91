"""Line charts and scatter plots as SVG, to be put inside an HTML page.

Colours and fonts are classes that the page's style sheet defines (``page.py``), so that one drawing
serves light and dark. Lengths are units of the drawing, which the page scales.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

#: A value that was not measured, or is not finite, leaves a gap.
Values = Sequence[float | None]

WIDTH, HEIGHT = 440, 240
_TOP, _RIGHT, _BOTTOM = 30, 14, 42
_CHARACTER = 6.6  # of tick labels, which are 12 high
_TICKS = 5
#: More points than these are drawn without a text for each.
_MOST_TEXTS = 200
_MINUS = "\N{MINUS SIGN}"
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Series:
    """Values along x; their label is for the legend, which is not part of the drawing.

    points: draw points, and no line between them. failed: which of the points are drawn in the
    colour of failures.
    """

    x: Sequence[float]
    y: Values
    label: str = ""
    points: bool = False
    failed: Sequence[bool] = ()


@dataclass(frozen=True)
class Scale:
    """An axis. label: with the unit. low, high: its ends, None: those of the data. at: where its
    ticks are, if not at round numbers."""

    label: str
    low: float | None = None
    high: float | None = None
    logarithmic: bool = False
    at: Sequence[float] = ()


@dataclass(frozen=True)
class Rule:
    """A straight line across the drawing, such as a limit, at a value of the other axis."""

    value: float
    label: str


def chart(
    title: str,
    x: Scale,
    y: Scale,
    series: Sequence[Series],
    *,
    across: Sequence[Rule] = (),
    upright: Sequence[Rule] = (),
    height: int = HEIGHT,
) -> str:
    """One drawing, an ``svg`` element.

    title: what it shows, for those who cannot see it. across, upright: lines at values of y and x.
    """
    drawn = [one for one in series if any(finite(value) for value in one.y)]
    head = (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title>"
    )
    if not drawn:
        middle = f'x="{WIDTH / 2:g}" y="{height / 2:g}"'
        return f'{head}<text {middle} class="middle">no finite values</text></svg>'
    bottom = height - _BOTTOM
    horizontal = _axis(x, [value for one in drawn for value in one.x], upright)
    vertical = _axis(y, [value for one in drawn for value in one.y], across)
    labels = [(tick, number(tick, vertical.step)) for tick in vertical.ticks()]
    # Drawings one below the other have their axes one below the other, too.
    left = max(48.0, 12 + _CHARACTER * max((len(label) for _, label in labels), default=1))
    place_x = horizontal.placed(left, WIDTH - _RIGHT)
    place_y = vertical.placed(bottom, _TOP)
    parts = [head, f'<text x="0" y="14" class="name">{escape(y.label)}</text>']
    for tick, label in labels:
        at = f"{place_y(tick):.1f}"
        parts.append(f'<path class="grid" d="M{left:.1f} {at}H{WIDTH - _RIGHT}"/>')
        parts.append(f'<text x="{left - 5:.1f}" y="{at}" dy="4" class="end">{label}</text>')
    for tick in horizontal.ticks():
        at = f"{place_x(tick):.1f}"
        label = number(tick, horizontal.step)
        parts.append(f'<path class="axis" d="M{at} {bottom}v4"/>')
        parts.append(f'<text x="{at}" y="{bottom + 17}" class="middle">{label}</text>')
    parts.append(f'<path class="axis" d="M{left:.1f} {bottom}H{WIDTH - _RIGHT}"/>')
    parts.append(
        f'<text x="{WIDTH - _RIGHT}" y="{height - 6}" class="name end">{escape(x.label)}</text>'
    )
    # An inner svg cuts off what is outside, without a name that other drawings might have, too.
    width, space = WIDTH - _RIGHT - left, bottom - _TOP
    parts.append(
        f'<svg x="{left:.1f}" y="{_TOP}" width="{width:.1f}" height="{space}" '
        f'viewBox="{left:.1f} {_TOP} {width:.1f} {space}">'
    )
    labels_of_rules = []
    for rule in across:
        level = place_y(rule.value)
        parts.append(f'<path class="rule" d="M{left:.1f} {level:.1f}H{WIDTH}"/>')
        below = 14 if level < _TOP + 14 else -5
        where = f'x="{WIDTH - _RIGHT - 4}" y="{level + below:.1f}"'
        labels_of_rules.append((where, rule.label))
    for rule in upright:
        beside = place_x(rule.value)
        parts.append(f'<path class="rule" d="M{beside:.1f} {_TOP}V{bottom}"/>')
        labels_of_rules.append((f'x="{beside - 4:.1f}" y="{bottom - 6}"', rule.label))
    for index, one in enumerate(drawn):
        parts += _drawn(one, index + 1, place_x, place_y, x.label, y.label)
    parts += [
        f'<text {where} class="end note">{escape(label)}</text>'
        for where, label in labels_of_rules
        if label
    ]
    parts.append("</svg></svg>")
    return "".join(parts)


def legend(series: Sequence[Series]) -> str:
    """What the colours of a drawing mean; nothing for a single series."""
    if len(series) < 2:
        return ""
    keys = (
        f'<span class="key"><span class="swatch s{index + 1}"></span>{escape(one.label)}</span>'
        for index, one in enumerate(series)
    )
    return f'<p class="legend">{"".join(keys)}</p>'


def finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def number(value: float, step: float | None = None) -> str:
    """As a person writes it. step: of an axis, which says how many digits are of use."""
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(value)) + 1e-12)
    if abs(exponent) > 4 and (step is None or abs(step) < 1e-4 or abs(step) >= 1e5):
        factor = value / 10.0**exponent
        power = "10" + str(exponent).translate(_SUPERSCRIPTS)
        if abs(abs(factor) - 1) < 1e-9:
            return power if value > 0 else f"{_MINUS}{power}"
        return f"{factor:.3g}·{power}".replace("-", _MINUS)
    if step is None:
        text = f"{value:.6g}"
    else:
        text = f"{value:.{max(0, -math.floor(math.log10(step) + 1e-9))}f}"
    return text.replace("-", _MINUS)


# --- axes -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Axis:
    """low < high; step: between ticks, None: of a logarithmic axis. at: as in Scale."""

    low: float
    high: float
    step: float | None
    at: Sequence[float] = ()

    def placed(self, start: float, end: float) -> Callable[[float], float]:
        """Where a value is, between the places of the axis's ends."""
        low, high = self._turned(self.low), self._turned(self.high)
        return lambda value: start + (self._turned(value) - low) / (high - low) * (end - start)

    def _turned(self, value: float) -> float:
        if self.step is not None:
            return value
        return math.log10(value) if value > 0 else -math.inf

    def ticks(self) -> list[float]:
        if self.at:
            return list(self.at)
        step = self.step
        if step is None and self.high < 10 * self.low:
            step = _step((self.high - self.low) / _TICKS)
        if step is not None:
            first, last = math.ceil(self.low / step - 1e-9), self.high / step + 1e-9
            return [index * step for index in range(first, math.floor(last) + 1)]
        low, high = math.log10(self.low), math.log10(self.high)
        first, last = math.floor(low), math.ceil(high)
        every = max(1, math.ceil((high - low) / (_TICKS + 1)))
        parts = (1, 2, 5) if high - low < 2 else (1,)
        values = [
            part * 10.0**power
            for power in range(first, last + 1)
            if power % every == 0
            for part in parts
        ]
        return [
            value for value in values if self.low * (1 - 1e-9) <= value <= self.high * (1 + 1e-9)
        ]


def _axis(scale: Scale, values: Values, rules: Sequence[Rule]) -> _Axis:
    known = [*(value for value in values if finite(value)), *(rule.value for rule in rules)]
    if scale.logarithmic:
        known = [value for value in known if value is not None and value > 0] or [1.0]
    numbers = [value for value in known if value is not None]
    low = min(numbers) if scale.low is None else scale.low
    high = max(numbers) if scale.high is None else scale.high
    if scale.logarithmic:
        room = max((high / low) ** 0.06, 1.25)
        return _Axis(
            low / room if scale.low is None else low,
            high * room if scale.high is None else high,
            None,
            scale.at,
        )
    if not high > low:
        half = abs(low) * 0.1 or 0.5
        low, high = low - half, high + half
    elif scale.high is None or scale.low is None:
        room = 0.06 * (high - low)
        low = low - room if scale.low is None else low
        high = high + room if scale.high is None else high
    return _Axis(low, high, _step((high - low) / _TICKS), scale.at)


def _step(about: float) -> float:
    """The next of 1, 2, 5, 10 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(about))
    return power * next(part for part in (1, 2, 5, 10) if part * power >= about * (1 - 1e-9))


# --- what is drawn --------------------------------------------------------------------------------


def _drawn(
    series: Series,
    index: int,
    place_x: Callable[[float], float],
    place_y: Callable[[float], float],
    x_label: str,
    y_label: str,
) -> Iterator[str]:
    runs: list[list[str]] = [[]]
    points = []
    for number_, (along, value) in enumerate(zip(series.x, series.y, strict=True)):
        if value is None or not math.isfinite(value) or not math.isfinite(place_y(value)):
            runs.append([])
            continue
        # What is far outside is cut off; browsers do not like its coordinates to be huge.
        up = min(max(place_y(value), -1e4), 1e4)
        runs[-1].append(f"{place_x(along):.1f} {up:.1f}")
        failed = bool(series.failed) and series.failed[number_]
        points.append((f'cx="{place_x(along):.1f}" cy="{up:.1f}"', failed, along, value))
    if not series.points:
        for run in runs:
            if run:
                yield f'<path class="line s{index}" d="M{"L".join(run)}"/>'
    many = len(points) > _MOST_TEXTS
    kind = f"point s{index}" if series.points or len(points) < 20 else "touch"
    if many and kind == "touch":
        return
    for where, failed, along, value in points:
        words = f"{series.label}: " if series.label else ""
        text = f"{words}{x_label} {along:.5g}, {y_label} {value:.5g}"
        inner = "" if many else f"<title>{escape(text)}</title>"
        name = "point failed" if failed else kind
        radius = 4 if kind != "touch" else 7
        yield f'<circle class="{name}" {where} r="{radius}">{inner}</circle>'
