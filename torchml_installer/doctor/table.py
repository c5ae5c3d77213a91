"""How ``doctor`` shows what it found: a table on terminals, plain lines otherwise.

Drawn without rich, whose import takes a tenth of the time that ``doctor`` may.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from torchml_installer.detect.record import Finding
from torchml_installer.support import console
from torchml_installer.support.paths import home_folder

#: The narrowest terminal, in columns, in which the table is easy to read.
_TABLE = 72
#: The narrowest one in which it shows version and place side by side.
_WIDE_TABLE = 110
#: Spaces between two columns.
_GAP = 2
_STYLES = {"ok": "good", "PROBLEM": "bad", "not usable": "odd", "not found": "faint"}


def show(findings: Sequence[Finding]) -> None:
    """Prints all findings on stdout; on terminals, those that are absent come last."""
    width = console.columns(sys.stdout)
    if not width:
        for finding in findings:
            print(_plain_line(finding))
        return
    present = [finding for finding in findings if not finding.absent]
    if width >= _TABLE:
        _show_table(present, width)
    else:
        _show_list(present, width)
    _show_absent([finding for finding in findings if finding.absent])


def version(finding: Finding) -> str:
    """The version with all details."""
    details = ", ".join(f"{name} {value}" for name, value in finding.details.items())
    if finding.version and details:
        return f"{finding.version} ({details})"
    return finding.version or details


def _where(finding: Finding) -> str:
    if finding.where is None:
        return finding.hint
    return _short(finding.where) + (f" ({finding.how})" if finding.how else "")


def _short(path: Path) -> str:
    home = home_folder()
    if home in (None, Path("/")) or not path.is_relative_to(home):
        return str(path)
    return f"~/{path.relative_to(home)}"


def _plain_line(finding: Finding) -> str:
    cells = [f"{finding.title:17}", f"{finding.state:10}"]
    cells += [text for text in (version(finding), _where(finding)) if text]
    return "  ".join(cells).rstrip()


def _show_absent(findings: Sequence[Finding]) -> None:
    if findings:
        console.show("\nNot installed, and not needed to build the driver:")
    for finding in findings:
        console.show(f"  {finding.title}: {finding.hint}")


def _show_list(findings: Sequence[Finding], width: int) -> None:
    """For terminals that are too narrow for a table."""
    for finding in findings:
        print(f"{finding.title}: {_coloured(finding.state)}")
        for text in (version(finding), _where(finding)):
            for line in console.folded(text, width - 2) if text else ():
                print(f"  {line}")


def _show_table(findings: Sequence[Finding], width: int) -> None:
    titles = ["searched for", *(finding.title for finding in findings)]
    first = max(map(len, titles))
    second = max(len(text) for text in ("state", *(finding.state for finding in findings)))
    left = width - first - second - 2 * _GAP
    heads: tuple[str, ...] = ("version and place",)
    widths: tuple[int, ...] = (left,)
    if width >= _WIDE_TABLE:
        versions = (left - _GAP) * 2 // 5
        heads, widths = ("version", "place"), (versions, left - _GAP - versions)
    head = _row(("searched for", "state", *heads), (first, second, *widths))
    print(console.styled(head, "strong", sys.stdout))
    rule = "─" if (sys.stdout.encoding or "").lower().startswith("utf") else "-"
    print(console.styled(rule * width, "faint", sys.stdout))
    for finding in findings:
        facts = version(finding), _where(finding)
        if len(widths) == 1:
            cells = [[line for text in facts if text for line in console.folded(text, left)]]
        else:
            cells = [console.folded(text, room) for text, room in zip(facts, widths, strict=True)]
        for number in range(max(1, *map(len, cells))):
            row = [cell[number] if number < len(cell) else "" for cell in cells]
            names = (finding.title, finding.state) if number == 0 else ("", "")
            line = _row((*names, *row), (first, second, *widths))
            # Coloured at last: escapes would count as columns.
            begin, end = first + _GAP, first + _GAP + second
            state = line[begin:end]
            coloured = state.replace(names[1], _coloured(names[1])) if names[1] else state
            print(line[:begin] + coloured + line[end:])


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    gap = " " * _GAP
    padded = (f"{cell:{width}}" for cell, width in zip(cells, widths, strict=True))
    return gap.join(padded).rstrip()


def _coloured(state: str) -> str:
    return console.styled(state, _STYLES.get(state, "strong"), sys.stdout)
