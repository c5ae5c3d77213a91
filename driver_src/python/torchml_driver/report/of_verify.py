"""The report of `model verify`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from . import page
from .chart import Rule, Scale, Series, Values, chart, finite, legend
from .head import head

#: What is right about a model that passes.
HOLDS = {
    "species codes": "The portable model records which species code each element has.",
    "repeatable": "The same system gives the same energy each time.",
    "forces": "Forces are the negative gradient of the energy.",
    "virial": "The virial is the derivative of the energy with respect to the strain.",
    "particle energies": "The energies of the particles add up to the total.",
    "translation": "The energy stays the same when the system is moved.",
    "far from origin": "Forces stay the same 5,000 Å from the origin.",
    "rotation": "The energy stays the same when the system is rotated.",
    "permutation": "The energy does not depend on the order of the atoms.",
    "repeated cell": "Two copies of a cell have twice its energy.",
    "locality": "Atoms beyond the influence distance do not affect each other.",
    "cutoff": "The energy is continuous where a pair crosses the cutoff.",
    "net force": "All forces, those on periodic images included, add up to zero.",
    "ghost forces": "Forces on periodic images and other ranks' particles are right.",
    "ghost virial": "The virial is right where some particles do not contribute.",
    "ranks' energies": "The energies that two MPI ranks compute add up to the whole.",
    "ranks' forces": "The forces that two MPI ranks compute add up to the whole.",
    "isolated atoms": "Atoms without neighbours have no forces, and their own energies.",
    "empty region": "An MPI rank without particles of its own has no energy and no forces.",
    "one pair": "A pair has the same energy on one MPI rank and shared by two.",
}
#: Where errors are zero, a logarithmic axis shows them this far below the others.
_LEAST = 1e-16


def html(found: Mapping[str, Any]) -> str:
    """The page for ``about``, ``checks`` and ``curves`` (see the modules of these names)."""
    about, checks, curves = found["about"], found["checks"], found["curves"]
    failed = [check["name"] for check in checks if not check["passed"]]
    summary = (
        f"{len(failed)} of {len(checks)} checks failed: {', '.join(failed)}."
        if failed
        else f"All {len(checks)} checks passed."
    )
    parts = [
        *head(about, "Does it obey the physics that every potential obeys?"),
        page.verdict(not failed, summary),
        page.section("Checks", _checks(checks)),
        page.section("Forces and virial", page.plots([_forces(curves["forces"]), _virial(curves)])),
        page.section("Pairs of atoms", *_dimers(curves)),
        page.section("Constant energy", *_drift(curves["drift"])),
    ]
    return page.page(f"{about['model']}: physics checks", parts, found)


def _checks(checks: Sequence[Mapping[str, Any]]) -> str:
    rows = []
    for check in checks:
        state = "ok" if check["passed"] else "no"
        words = "✓ passed" if check["passed"] else "✗ FAILED"
        if not check["passed"] and not check["serious"]:
            words += " (a warning in model pack)"
        holds = escape(HOLDS.get(check["name"], ""))
        why = f'<div class="why">{escape(_sentence(check["explanation"]))}</div>'
        unit = check["unit"]
        rows.append(
            f'<tr class="{state}"><th scope="row">{escape(check["name"])}</th>'
            f'<td class="{state}">{words}</td>'
            f'<td class="number" data-label="found">{page.value(check["deviation"], unit)}</td>'
            f'<td class="number" data-label="limit">{page.value(check["tolerance"], unit)}</td>'
            f"<td>{holds if check['passed'] else why}</td></tr>"
        )
    return (
        "<p>“Found” is the largest deviation from what the last column says; “limit” is the "
        "largest that rounding and finite differences explain.</p>"
        '<table class="cards"><thead><tr><th scope="col">check</th><th scope="col">verdict</th>'
        '<th scope="col" class="number">found</th><th scope="col" class="number">limit</th>'
        f'<th scope="col">meaning</th></tr></thead><tbody>{"".join(rows)}</tbody></table>'
    )


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _forces(forces: Mapping[str, Any]) -> str:
    limit = forces["limit"]
    errors = [
        abs(one - other) if finite(one) and finite(other) else None
        for one, other in zip(forces["force"], forces["difference"], strict=True)
    ]
    measured = [error for error in errors if error is not None]
    failed = [error is None or error > limit for error in errors]
    several = sum(failed)
    drawing = chart(
        "Force errors: the difference between each force component and the energy's gradient",
        Scale("force component, eV/Å"),
        Scale("error, eV/Å", logarithmic=True),
        [
            Series(
                forces["force"],
                [None if error is None else max(error, _LEAST) for error in errors],
                points=True,
                failed=failed,
            )
        ],
        across=[Rule(limit, "limit")],
    )
    whole = len(errors) == forces["components"]
    words = (
        f"{'All' if whole else f'{len(errors)} of the'} {forces['components']} force components of "
        f"a rattled crystal of {forces['atoms']} atoms, compared with finite differences of the "
        f"energy. The largest error is {page.value(max(measured, default=math.nan), 'eV/Å')}; "
        f"{several or 'none'} {'exceed' if several > 1 else 'exceeds'} the limit of "
        f"{page.value(limit, 'eV/Å')}."
    )
    return page.figure([drawing], words, title="Force errors.")


def _virial(curves: Mapping[str, Any]) -> str:
    virial = curves["virial"]
    rows = [
        (name, f"{given:.6f}", f"{expected:.6f}", page.value(abs(given - expected)))
        for name, given, expected in zip(
            virial["component"], virial["virial"], virial["difference"], strict=True
        )
    ]
    words = (
        "The virial of the same crystal in eV, compared with finite differences of the energy with "
        f"respect to the strain. Errors up to {page.value(virial['limit'], 'eV')} pass."
    )
    head_ = ("component", "model", "differences", "error")
    return page.figure([page.table(head_, rows)], words, title="Virial.")


# --- pairs ----------------------------------------------------------------------------------------


def _dimers(curves: Mapping[str, Any]) -> Iterator[str]:
    dimers = curves["dimers"]
    yield page.paragraph(
        "Two atoms by themselves at all distances. The energy is given relative to that of the two "
        "atoms beyond the cutoff; a positive force pushes them apart. Steep walls are cut off."
    )
    if left_out := curves["not_shown"]:
        shown = dict.fromkeys(name for dimer in dimers for name in dimer["pair"])
        total = len(left_out) + len(shown)
        yield page.paragraph(
            f"The model knows {total} elements, which make {total * (total + 1) // 2} pairs. Shown "
            f"are the {len(dimers)} of {', '.join(shown)}. Left out are all pairs with "
            f"{', '.join(left_out)}."
        )
    worst = max(dimers, key=lambda dimer: abs(dimer["energy_jump"] or 0.0))
    yield page.plots([*(_dimer(dimer) for dimer in dimers), _last(worst, len(dimers))])
    yield "<h3>At the cutoff</h3>"
    yield page.paragraph(
        "An energy that jumps at the cutoff heats or cools a simulation each time a pair crosses "
        "it; a force that jumps makes the integrator less accurate."
    )
    yield page.table(
        ("pair", "jump of the energy, eV", "jump of the force, eV/Å"),
        [
            (_name(dimer), page.value(dimer["energy_jump"]), page.value(dimer["force_jump"]))
            for dimer in dimers
        ],
    )


def _name(dimer: Mapping[str, Any]) -> str:
    return "\N{EN DASH}".join(dimer["pair"])


def _dimer(dimer: Mapping[str, Any]) -> str:
    energy = _window(dimer["energy"])
    name = _name(dimer)
    cutoff = _cutoff(dimer)
    shown = [
        distance
        for distance, value in zip(dimer["distance"], dimer["energy"], strict=True)
        if finite(value) and value <= energy[1]
    ]
    x = Scale(
        "distance, Å", low=max(min(shown, default=0.0) - 0.3, 0.0), high=dimer["distance"][-1]
    )
    drawings = [
        chart(
            f"Energy of {name} against distance",
            x,
            Scale("energy, eV", *energy),
            [Series(dimer["distance"], dimer["energy"])],
            upright=[Rule(cutoff, "cutoff")],
            height=190,
        ),
        chart(
            f"Force of {name} against distance",
            x,
            Scale("force, eV/Å", *_window(dimer["force"])),
            [Series(dimer["distance"], dimer["force"])],
            upright=[Rule(cutoff, "")],
            height=190,
        ),
    ]
    lowest = min(
        (value, distance)
        for value, distance in (
            *zip(dimer["energy"], dimer["distance"], strict=True),
            (math.inf, math.nan),
        )
        if value is not None and not math.isnan(value)
    )
    words = (
        f"Lowest energy {lowest[0]:.3f} eV, at {lowest[1]:.2f} Å."
        if lowest[0] < -1e-6
        else "No distance has a lower energy than two separate atoms."
    )
    if dimer["failure"]:
        words += f" Where the curve has gaps, the model failed: {dimer['failure']}"
    return page.figure(drawings, words, title=f"{name}.")


def _cutoff(dimer: Mapping[str, Any]) -> float:
    """Å, from where the last of the interaction is plotted."""
    return float(dimer["cutoff"])


def _last(dimer: Mapping[str, Any], of: int) -> str:
    last, name = dimer["last"], _name(dimer)
    x = Scale("distance, Å", low=last["distance"][0], high=last["distance"][-1])
    cutoff = _cutoff(dimer)
    drawings = [
        chart(
            f"{what} of {name} near the cutoff",
            x,
            Scale(f"{what.lower()}, {unit}"),
            [Series(last["distance"], last[what.lower()])],
            upright=[Rule(cutoff, "cutoff" if what == "Energy" else "")],
            height=190,
        )
        for what, unit in (("Energy", "eV"), ("Force", "eV/Å"))
    ]
    words = "The same, enlarged." if of == 1 else "Enlarged: the pair whose energy jumps most."
    return page.figure(drawings, words, title=f"{name} near the cutoff.")


def _window(values: Values) -> tuple[float | None, float | None]:
    """What is worth showing of a curve with a steep wall: the well, and as much above it."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    if not known:
        return None, None
    low, far = min(known), known[-1]
    depth = far - low
    above = sorted(known)[int(0.8 * (len(known) - 1))]  # where nothing attracts
    high = far + 1.5 * depth if depth > 1e-3 else above
    room = 0.08 * (high - low) or 0.5
    return low - room, high + room


# --- constant energy ------------------------------------------------------------------------------


def _drift(drift: Mapping[str, Any]) -> Iterator[str]:
    runs = drift["runs"]
    yield page.paragraph(
        f"A crystal of {drift['atoms']} atoms, relaxed a little and then started at "
        f"{drift['temperature']:g} K, with velocity Verlet in the NVE ensemble. No limit is set: "
        "how much the energy fluctuates depends on the time step and on the atoms' masses."
    )
    if drift["failure"]:
        text = f"The run ended early, {drift['failure']}."
        yield f'<p class="why">{escape(text)}</p>'
    if not runs:
        return
    series = [
        Series(run["time"], run["energy"], f"time step {run['time_step']:g} fs") for run in runs
    ]
    heat = [
        Series(run["time"], run["temperature"], f"time step {run['time_step']:g} fs")
        for run in runs
    ]
    energies = chart(
        "Change of the total energy during a run at constant energy",
        Scale("time, fs"),
        Scale("change of the total energy, meV/atom"),
        series,
        across=[Rule(0.0, "")],
    )
    temperatures = chart(
        "Temperature during a run at constant energy",
        Scale("time, fs"),
        Scale("temperature, K", low=0.0),
        heat,
    )
    yield page.plots(
        [
            page.figure([energies], _change(runs), legend(series), "Total energy."),
            page.figure(
                [temperatures],
                "It falls or rises while the crystal comes into equilibrium.",
                legend(heat),
                "Temperature.",
            ),
        ]
    )
    rows = [
        (
            f"{run['time_step']:g} fs",
            f"{run['time'][-1]:g} fs" if run["time"] else "none",
            page.value(run["largest"]),
            page.value(run["slope"]),
        )
        for run in runs
    ]
    yield page.table(
        ("time step", "length", "largest change, meV/atom", "drift, meV/atom/ps"), rows
    )


def _change(runs: Sequence[Mapping[str, Any]]) -> str:
    found = [run["largest"] for run in runs]
    if len(found) < 2 or not all(map(finite, found)) or not found[0]:
        return "The energy was not followed to the end."
    one, half = found
    return (
        f"Half the time step leaves {half / one:.0%} of the largest change. The integrator's own "
        "error falls to about a quarter; what remains beyond that comes from forces that are not "
        "the gradient of the energy, from energies that jump, or from rounding."
    )
