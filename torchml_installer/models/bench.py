"""``model bench``: measures a portable model; ``torchml_driver.bench`` does the work."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torchml_installer.models import engine, ranks, report


def bench(
    folder: Path,
    atoms: Sequence[int],
    structure: Path | None = None,
    seconds: float = 2.0,
    html: Path | None = None,
) -> dict[str, Any]:
    """Measures steps of crystals with these numbers of atoms, or of the structure in a file.

    Returns ``device`` and ``sizes``: for each, atoms, particles (with images), steps,
    milliseconds (the median of a step; fastest, slowest), peak_memory (MiB),
    microseconds_per_atom, nanoseconds_per_day (with steps of 1 fs), and graph: None, or of models
    on edges mode, nodes, edges and reason (see ``torchml_driver.GraphFacts``).

    html: the file for a report. Then the answer also has ``about``, ``threads`` (see
    ``torchml_driver.bench.by_threads``), ``ranks`` (see ``ranks.measure``) and ``html``, its name.

    Raises what ``engine.answer`` and ``report.place_for`` raise.
    """
    request: dict[str, Any] = {
        "seconds": seconds,
        "atoms": list(atoms),
        "structure": None if structure is None else str(structure),
    }
    title = "measuring the model"
    if html is None:
        measured: dict[str, Any] = engine.answer("bench", folder, request, title=title)
        return measured
    with report.place_for(html) as write:
        request["report"] = report.command()
        measured = engine.answer("bench", folder, request, title=title)
        measured["ranks"] = _ranks(folder, measured, structure)
        page = engine.answer("bench", folder, {"found": measured}, title="writing the report")
        write(page["html"])
    return {"schema": 1, "html": str(html), **measured}


def graph_lines(sizes: Sequence[dict[str, Any]]) -> list[str]:
    """How the graphs were made that were measured; each reason once."""
    lines = [
        f"graph of {size['atoms']} atoms: {graph['mode']}, {graph['nodes']} nodes, "
        f"{graph['edges']} edges"
        for size in sizes
        if (graph := size["graph"]) is not None
    ]
    reasons = dict.fromkeys(size["graph"]["reason"] for size in sizes if size["graph"] is not None)
    return lines + [reason for reason in reasons if reason]


def _ranks(folder: Path, measured: dict[str, Any], structure: Path | None) -> dict[str, Any]:
    """Of a system whose steps are short, but long enough to be worth several ranks."""
    reason = ""
    if structure is not None:
        reason = "With --structure, only the driver itself is measured."
    elif measured["device"] != "cpu":
        reason = f"The model runs on {measured['device']}; ranks are measured on CPUs only."
    if reason:
        return {"atoms": 0, "measured": [], "reason": reason, "lammps": ""}
    sizes = sorted(measured["sizes"], key=lambda size: size["atoms"])
    quick = [size for size in sizes if size["milliseconds"] < 500.0] or sizes[:1]
    return ranks.measure(folder, quick[-1]["atoms"], quick[-1]["milliseconds"])
