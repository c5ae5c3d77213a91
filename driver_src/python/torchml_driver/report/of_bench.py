"""The report of `model bench`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from . import page
from .chart import Scale, Series, chart, legend
from .head import head


def html(found: Mapping[str, Any]) -> str:
    """The page for ``about``, ``sizes``, ``threads`` (see ``bench.py``) and ``ranks``, which has
    what ``threads`` has, and ``lammps``, its version."""
    about, sizes = found["about"], found["sizes"]
    parts = [
        *head(about, "How long does one step of a simulation take?"),
        page.paragraph(
            "A step computes energy, forces and virial. Times are medians; what else the machine "
            "did in the meantime is in them, too."
        ),
        page.section("Number of atoms", *_sizes(sizes)),
        page.section("Threads", *_scaling(found["threads"], "thread")),
        page.section("MPI ranks", *_scaling(found["ranks"], "rank")),
    ]
    return page.page(f"{about['model']}: time per step", parts, found)


def _sizes(sizes: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    atoms = [size["atoms"] for size in sizes]
    along = Scale("atoms", logarithmic=True, at=atoms if len(set(atoms)) < 6 else ())
    step = chart(
        "Time per step against the number of atoms",
        along,
        Scale("time per step, ms", logarithmic=True),
        [Series(atoms, [size["milliseconds"] for size in sizes])],
    )
    each = chart(
        "Time per step and atom against the number of atoms",
        along,
        Scale("time per step and atom, µs", low=0.0),
        [Series(atoms, [size["microseconds_per_atom"] for size in sizes])],
    )
    yield page.plots(
        [
            page.figure([step], "Both axes are logarithmic.", title="Time per step."),
            page.figure(
                [each],
                "Level where the time grows as the number of atoms does; small systems pay for "
                "their periodic images and for what each step costs whatever its size.",
                title="Time per atom.",
            ),
        ]
    )
    names = ("atoms", "with images", "steps", "ms/step", "fastest", "slowest", "µs/atom")
    rows = [
        (
            f"{size['atoms']}",
            f"{size['particles']}",
            f"{size['steps']}",
            *(page.value(size[name]) for name in ("milliseconds", "fastest", "slowest")),
            page.value(size["microseconds_per_atom"]),
            page.value(size["nanoseconds_per_day"]),
            f"{size['peak_memory']:.0f}",
        )
        for size in sizes
    ]
    yield page.table((*names, "ns/day at 1 fs", "MiB"), rows)
    yield from _graphs(sizes)
    yield page.paragraph(
        "MiB: the most memory that the process has used up to here, with torch and all smaller "
        "systems."
    )


def _graphs(sizes: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Of models on edges: how the graphs were made, and why not smaller."""
    graphs = [(size["atoms"], size["graph"]) for size in sizes if size["graph"] is not None]
    if not graphs:
        return
    rows = [
        (f"{atoms}", graph["mode"], f"{graph['nodes']}", f"{graph['edges']}")
        for atoms, graph in graphs
    ]
    yield page.table(("atoms", "graph", "nodes", "edges"), rows)
    yield page.paragraph(
        "Folded: the nodes are the atoms, and an edge from a periodic image comes from its atom. "
        "Staged: images are nodes, too, as far as the layers reach."
    )
    for reason in dict.fromkeys(graph["reason"] for _, graph in graphs):
        if reason:
            yield page.paragraph(reason)


def _scaling(scaling: Mapping[str, Any], unit: str) -> Iterator[str]:
    """Of threads or ranks; an ideal line for comparison."""
    measured = scaling["measured"]
    if not measured:
        yield page.paragraph(f"Not measured. {scaling['reason']}")
        return
    if unit == "rank":
        yield page.paragraph(
            f"LAMMPS {scaling['lammps']}, a whole step with its neighbour lists and communication; "
            "one thread for each rank."
        )
    counts = [one[f"{unit}s"] for one in measured]
    times = [one["milliseconds"] for one in measured]
    ideal = [times[0] * counts[0] / count for count in counts]
    series = [Series(counts, times, "measured")]
    if len(counts) > 1:
        series.append(Series(counts, ideal, f"ideal: the time of one {unit}, divided"))
    drawing = chart(
        f"Time per step against the number of {unit}s",
        Scale(f"{unit}s", logarithmic=True, at=counts),
        Scale("time per step, ms", logarithmic=True),
        series,
    )
    words = "Both axes are logarithmic."
    rows = [
        (f"{count}", page.value(time), f"{times[0] / time:.2f}", f"{one / time:.0%}")
        for count, time, one in zip(counts, times, ideal, strict=True)
    ]
    table = page.table((f"{unit}s", "ms/step", "speed-up", "efficiency"), rows)
    yield page.plots(
        [
            page.figure([drawing], words, legend(series), "Time per step."),
            page.figure([table], f"A system of {scaling['atoms']} atoms."),
        ]
    )
    if scaling["reason"]:
        yield page.paragraph(scaling["reason"])
