"""Draws progress on a terminal, with rich: imported only where something is drawn."""

from __future__ import annotations

from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task
from rich.table import Column
from rich.text import Text

#: Columns of a terminal that has room for a bar.
_WIDE = 60


class _Title(ProgressColumn):
    """What is being done, cut off where there is no room for it."""

    def __init__(self) -> None:
        super().__init__(Column(no_wrap=True, overflow="ellipsis", ratio=1))

    def render(self, task: Task) -> Text:
        return Text(task.description, no_wrap=True, overflow="ellipsis")


class _Counts(ProgressColumn):
    """How much of it, and how long it has taken and will take: "12/90, 0:10, 1:05 left".

    is_wide: whether there is room for both times.
    """

    def __init__(self, *, is_wide: bool) -> None:
        super().__init__(Column(no_wrap=True, justify="right"))
        self._is_wide = is_wide

    def render(self, task: Task) -> Text:
        elapsed = _clock(task.elapsed or 0.0)
        if not task.total:
            return Text(elapsed)
        unit = f" {task.fields['unit']}" if task.fields["unit"] else ""
        times = [elapsed]
        if task.time_remaining is not None:
            left = f"{_clock(task.time_remaining)} left"
            times = [elapsed, left] if self._is_wide else [left]
        return Text(", ".join([f"{task.completed:.0f}/{task.total:.0f}{unit}", *times]))


class _Spinner(SpinnerColumn):
    """Turns while nobody knows how much there is to do. Of characters that every terminal has."""

    def __init__(self) -> None:
        super().__init__("line")

    def render(self, task: Task) -> Text:
        drawn = Text(" ") if task.total else super().render(task)
        return drawn if isinstance(drawn, Text) else Text(str(drawn))


class _Bar(BarColumn):
    """Grows once it is known how much there is to do."""

    def __init__(self) -> None:
        super().__init__(bar_width=20)

    def render(self, task: Task) -> object:  # type: ignore[override]
        return super().render(task) if task.total else Text("")


def _clock(seconds: float) -> str:
    text = str(timedelta(seconds=int(seconds)))
    return (
        text.removeprefix("0:").removeprefix("0")
        if text.startswith("0:0")
        else (text.removeprefix("0:"))
    )


class Display:
    """One line at the bottom of the terminal, for the innermost step that is running."""

    def __init__(self, width: int) -> None:
        is_wide = width >= _WIDE
        bar = [_Bar()] if is_wide else []
        self._progress = Progress(
            *(_Spinner(), _Title(), *bar, _Counts(is_wide=is_wide)),
            # The last column stays free: some terminals begin a new line behind it.
            console=Console(stderr=True, width=width - 1),
            transient=True,
            expand=True,
        )
        self._steps: list[tuple[str, str]] = []
        self._task = self._progress.add_task("", total=None, unit="")
        self._progress.start()

    def begin(self, title: str, unit: str) -> None:
        """Shows a step, within those that have begun and not ended."""
        self._steps.append((title, unit))
        self._show()

    def advance(self, done: int, total: int, *, label: str = "", unit: str = "") -> None:
        """Shows how far the innermost step is. label: what it does now."""
        title = self._steps[-1][0]
        text = f"{title}: {label}" if label else title
        self._progress.update(
            self._task, completed=done, total=total or None, description=text, unit=unit
        )

    def end(self) -> None:
        """Shows the step around the innermost one again."""
        self._steps.pop()
        if self._steps:
            self._show()

    def close(self) -> None:
        """Removes the line."""
        self._progress.stop()

    def _show(self) -> None:
        title, unit = self._steps[-1]
        self._progress.reset(self._task, total=None, description=title, unit=unit)
