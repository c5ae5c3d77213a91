"""Reports of `model verify --html` and `model bench --html`: whole pages, with JSON's numbers."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.driver.test_verify import Nailed, Smooth
from tests.support import ROOT, DriverEnvironment
from tests.support.html_pages import Page, assert_stands_alone, read_page
from tests.support.torch_models import write_model
from torchml_installer.errors import NotPermittedError, UnphysicalModelError

pytestmark = pytest.mark.usefixtures("driver_environment")

ABOUT: dict[str, Any] = {
    "model": "My_Model",
    "file": "My_Model.pt",
    "sha256": 64 * "0",
    "elements": ["Si"],
    "cutoff": 4.0,
    "influence_distance": 4.0,
    "convention": "neighbour lists",
    "input_type": "float64",
    "device": "cpu",
    "driver": "0.1.0",
    "torch": "2.13.0",
    "python": "3.11.7",
    "system": "Linux x86_64",
    "cpu": "CPU",
    "cores": 2,
    "threads": "chosen by the driver",
    "date": "2026-11-30 12:00 UTC",
    "command": "torchml-install model verify My_Model --html report.html",
}


def command(
    verb: str, folder: Path, *options: str, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "torchml_installer", "model", verb, str(folder)]
    return subprocess.run(
        [*program, *options], capture_output=True, text=True, check=False, cwd=ROOT, env=env
    )


def assert_is_readable(page: Page) -> None:
    assert page.having("html", lang="en")
    assert page.having("meta", charset="utf-8")
    assert "prefers-color-scheme: dark" in page.style
    assert "@media print" in page.style
    drawings = [given for given in page.having("svg") if "role" in given]
    assert drawings
    assert all(given["role"] == "img" and given["aria-label"] for given in drawings)


# --- verify ---------------------------------------------------------------------------------------


def test_the_report_has_the_numbers_that_json_has(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "sound", Smooth(), cutoff=4.0)
    done = command("verify", folder, "--json", "--html", str(tmp_path / "report.html"))
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    page = read_page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert_stands_alone(page)
    assert_is_readable(page)
    for name in ("about", "checks", "curves"):
        assert page.data[name] == printed[name]
    assert "All 20 checks passed." in page.text
    assert "FAILED" not in page.text
    from torchml_driver.report.of_verify import HOLDS
    from torchml_driver.report.page import value

    for check in printed["checks"]:
        assert value(check["deviation"], check["unit"]) in page.text
        assert HOLDS[check["name"]] in page.text
    # Without --html, it is a list of the same checks.
    done = command("verify", folder, "--json")
    assert [check["name"] for check in json.loads(done.stdout)] == list(HOLDS)


def test_curves_are_those_of_the_model(tmp_path: Path) -> None:
    """Smooth is (r - 4)³ (r - 2), summed over both directions."""
    from torchml_driver import Potential
    from torchml_driver.curves import curves

    found = curves(Potential(write_model(tmp_path, Smooth(), cutoff=4.0)))
    (dimer,) = found["dimers"]
    assert (dimer["pair"], dimer["failure"], found["not_shown"]) == (["Si", "Si"], "", [])
    for curve in (dimer, dimer["last"]):
        r = np.array(curve["distance"])
        inside = np.where(r < 4.0, 1.0, 0.0)
        np.testing.assert_allclose(curve["energy"], inside * 2 * (r - 4) ** 3 * (r - 2), atol=1e-9)
        slope = 2 * (3 * (r - 4) ** 2 * (r - 2) + (r - 4) ** 3)
        np.testing.assert_allclose(curve["force"], -inside * slope, atol=1e-9)
    assert dimer["energy_jump"] == pytest.approx(0.0, abs=1e-9)
    forces = found["forces"]
    np.testing.assert_allclose(forces["force"], forces["difference"], atol=forces["limit"])
    assert len(forces["force"]) >= 12
    virial = found["virial"]
    np.testing.assert_allclose(virial["virial"], virial["difference"], atol=virial["limit"])
    one, half = found["drift"]["runs"]
    assert (one["time"], one["time_step"], half["time_step"]) == (half["time"], 1.0, 0.5)
    assert one["temperature"][0] == pytest.approx(300.0)
    # Velocity Verlet: an error of second order in the time step.
    assert half["largest"] == pytest.approx(0.25 * one["largest"], rel=0.2)


def test_a_model_that_fails_is_shown_in_red_and_in_words(tmp_path: Path) -> None:
    folder = write_model(tmp_path / 'My <&" model', Nailed(), cutoff=4.0)
    done = command("verify", folder, "--html", str(tmp_path / "report.html"))
    assert done.returncode == UnphysicalModelError.exit_code
    assert done.stdout.splitlines()[-1] == f"Wrote the report {tmp_path / 'report.html'}"
    page = read_page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert_stands_alone(page)
    assert page.data["about"]["model"] == 'My <&" model'
    assert 'My <&" model' in page.text
    failed = [check["name"] for check in page.data["checks"] if not check["passed"]]
    assert f"{len(failed)} of 20 checks failed: {', '.join(failed)}." in page.text
    assert page.having("p", class_="verdict")[0]["class"] == "verdict no"
    assert len(page.having("td", class_="no")) == len(failed)
    assert page.text.count("✗ FAILED") == len(failed)
    assert "The energy changes when the system is moved." in page.text


def test_no_model_is_run_for_a_report_that_cannot_be_written(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "sound", Smooth(), cutoff=4.0)
    for verb in ("verify", "bench"):
        done = command(verb, folder, "--html", str(tmp_path / "missing" / "report.html"))
        assert done.returncode == NotPermittedError.exit_code
        assert "missing does not exist" in done.stderr
        assert "ing the model" not in done.stderr


class Repulsive(Smooth):
    """Fails where atoms are near each other."""

    def forward(self, species, coords, n_neigh, nlist, contributing):  # type: ignore[no-untyped-def]
        energies = self.energies(coords, n_neigh, nlist, contributing)
        if energies.numel() == 2 and energies.max() > 20.0:
            raise RuntimeError("too near")
        return energies


def test_where_a_model_fails_a_curve_has_a_gap(tmp_path: Path) -> None:
    from torchml_driver import Potential
    from torchml_driver.curves import curves
    from torchml_driver.report.of_verify import html

    found = curves(Potential(write_model(tmp_path, Repulsive(), cutoff=4.0)))
    (dimer,) = found["dimers"]
    assert None in dimer["energy"]
    assert "too near" in dimer["failure"]
    page = read_page(html({"about": ABOUT, "checks": [], "curves": found}))
    assert "Where the curve has gaps, the model failed: at 0.5 Å: " in page.text


class Fixed(Smooth):
    """Fails when its crystal moves."""

    def forward(self, species, coords, n_neigh, nlist, contributing):  # type: ignore[no-untyped-def]
        energies = self.energies(coords, n_neigh, nlist, contributing)
        if energies.numel() == 32 and energies.sum() < -621.0:
            raise RuntimeError("it moved")
        return energies


def test_a_model_that_fails_in_a_run_has_a_report(tmp_path: Path) -> None:
    from torchml_driver import Potential
    from torchml_driver.curves import drift
    from torchml_driver.report.of_verify import html

    found = drift(Potential(write_model(tmp_path, Fixed(), cutoff=4.0)))
    assert "it moved" in found["failure"]
    assert found["failure"].startswith("while the crystal was relaxed")
    curves = {**nothing_measured(), "drift": found}
    page = read_page(html({"about": ABOUT, "checks": [], "curves": curves}))
    assert "The run ended early, while the crystal was relaxed: " in page.text


class Mixed(Smooth):
    """Stronger for heavier elements."""

    def forward(self, species, coords, n_neigh, nlist, contributing):  # type: ignore[no-untyped-def]
        energies = self.energies(coords, n_neigh, nlist, contributing)
        return energies * (1 + species[: energies.size(0)].to(coords.dtype))


def test_of_many_elements_the_common_ones_are_shown_and_the_others_named(tmp_path: Path) -> None:
    from torchml_driver import Potential
    from torchml_driver.curves import curves, shown_elements
    from torchml_driver.report.of_verify import html

    assert shown_elements(["Si"]) == ["Si"]
    assert shown_elements(["H", "He", "Li", "Be"]) == ["H", "He", "Li", "Be"]
    elements = ["H", "He", "Be", "C", "O", "Ne", "Si"]
    assert shown_elements(elements) == ["H", "C", "O", "Si"]
    write_model(tmp_path, Mixed(), cutoff=4.0, elements=f"7\n{' '.join(elements)}")
    found = curves(Potential(tmp_path))
    assert len(found["dimers"]) == 10
    about = {**ABOUT, "elements": elements}
    page = read_page(html({"about": about, "checks": [], "curves": found}))
    assert "7 elements, which make 28 pairs. Shown are the 10 of H, C, O, Si." in page.text
    assert "Left out are all pairs with He, Be, Ne." in page.text


def nothing_measured() -> dict[str, Any]:
    """What curves() gives of a model that computes nothing but nan and errors."""
    nan, none = math.nan, [None, None, None]
    curve = {"distance": [1.0, 2.0, 3.0], "energy": none, "force": [nan, math.inf, None]}
    run = {
        "time_step": 1.0,
        "time": [],
        "energy": [],
        "temperature": [],
        "largest": None,
        "slope": None,
        "failure": "after 0 fs: the energy is no longer finite",
    }
    return {
        "forces": {
            **{"atoms": 32, "components": 96, "limit": nan},
            **{"force": [nan, 1.0], "difference": [1.0, math.inf]},
        },
        "virial": {"component": ["xx"], "virial": [nan], "difference": [1.0], "limit": nan},
        "dimers": [
            {
                "pair": ["Si", "Si"],
                "cutoff": 4.0,
                **curve,
                "last": curve,
                "energy_jump": None,
                "force_jump": nan,
                "failure": "at 1 Å: not finite",
            }
        ],
        "not_shown": [],
        "drift": {
            **{"atoms": 32, "temperature": 300.0, "runs": [run, run]},
            "failure": run["failure"],
        },
    }


def test_what_is_not_a_number_is_said_and_leaves_a_page(tmp_path: Path) -> None:
    from torchml_driver.report.of_verify import html

    check = {
        **{"name": "forces", "passed": False, "deviation": math.nan, "tolerance": 1e-4},
        **{"unit": "eV/Å", "explanation": "forces are wrong", "serious": True},
    }
    curves = nothing_measured()
    page = read_page(html({"about": ABOUT, "checks": [check], "curves": curves}))
    assert "not a number (nan)" in page.text
    assert "1 of 1 checks failed: forces." in page.text
    assert page.text.count("no finite values") >= 4
    assert page.data["checks"][0]["deviation"] is None
    assert "The run ended early, after 0 fs: the energy is no longer finite." in page.text


# --- bench ----------------------------------------------------------------------------------------


@pytest.mark.measures
def test_the_report_of_bench_has_threads_and_ranks(
    driver_environment: DriverEnvironment, tmp_path: Path
) -> None:
    options = ("--seconds", "0", "--atoms", "32", "--atoms", "108", "--json")
    done = command(
        *("bench", driver_environment.packed, *options, "--html", str(tmp_path / "report.html")),
        env=driver_environment.env,
    )
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    page = read_page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert_stands_alone(page)
    assert_is_readable(page)
    for name in ("about", "sizes", "threads", "ranks"):
        assert page.data[name] == printed[name]
    assert [size["atoms"] for size in printed["sizes"]] == [32, 108]
    threads, ranks = printed["threads"], printed["ranks"]
    assert (threads["atoms"], threads["reason"]) == (108, "")
    assert threads["measured"][0]["threads"] == 1
    from torchml_driver.report.page import value

    for size in printed["sizes"]:
        assert value(size["milliseconds"]) in page.text
    if shutil.which("lmp") is None or shutil.which("mpirun") is None:
        assert f"Not measured. {ranks['reason']}" in page.text
        return
    assert (ranks["atoms"], ranks["reason"]) == (108, "")
    assert len(ranks["measured"]) == len(threads["measured"])
    assert all(one["milliseconds"] > 0 for one in ranks["measured"])
    assert f"LAMMPS {ranks['lammps']}" in page.text


def test_what_was_not_measured_is_said() -> None:
    from torchml_driver.report.of_bench import html

    size = {
        **{"atoms": 32, "particles": 364, "steps": 10, "milliseconds": 1.0, "fastest": 0.5},
        **{"slowest": 2.0, "peak_memory": 245.0, "microseconds_per_atom": 31.25},
        "nanoseconds_per_day": 86.4,
        "graph": None,
    }
    nothing = {"atoms": 0, "measured": []}
    found = {
        "about": ABOUT,
        "device": "cuda:0",
        "sizes": [size],
        "threads": {**nothing, "reason": "The model runs on cuda:0; threads are for CPUs."},
        "ranks": {**nothing, "reason": "mpirun was not found.", "lammps": ""},
    }
    page = read_page(html(found))
    assert "Not measured. The model runs on cuda:0; threads are for CPUs." in page.text
    assert "Not measured. mpirun was not found." in page.text
    assert "31.25" in page.text


# --- drawings -------------------------------------------------------------------------------------


def test_a_drawing_leaves_out_what_is_not_finite_and_marks_what_failed() -> None:
    from torchml_driver.report.chart import Rule, Scale, Series, chart

    series = Series([1.0, 2.0, 3.0, 4.0, 5.0], [1.0, 10.0, None, math.nan, 100.0])
    drawn = chart("<b>", Scale("x"), Scale("y", logarithmic=True), [series])
    assert "&lt;b&gt;" in drawn
    assert drawn.count('class="line s1"') == 2  # on both sides of the gap
    assert "nan" not in drawn
    failed = Series([1.0, 2.0], [0.5, 2.0], points=True, failed=[False, True])
    drawn = chart("t", Scale("x"), Scale("y"), [failed], across=[Rule(1.0, "limit")])
    assert drawn.count('class="point s1"') == drawn.count('class="point failed"') == 1
    assert ">limit</text>" in drawn


@pytest.mark.parametrize("low", [1e-16, 1e-3, 1.0, 7e4, -5e3])
@pytest.mark.parametrize("width", [1e-6, 0.3, 40.0, 1e9])
@pytest.mark.parametrize("logarithmic", [False, True])
def test_axes_have_a_few_ticks_that_differ(low: float, width: float, logarithmic: bool) -> None:
    import re

    from torchml_driver.report.chart import Scale, Series, chart

    values = [low, low + width * max(abs(low), 1e-3)]
    scale = Scale("y", logarithmic=logarithmic)
    drawn = chart("t", Scale("x"), scale, [Series([0.0, 1.0], values)])
    ticks = re.findall(r'dy="4" class="end">([^<]*)<', drawn)
    if logarithmic and low < 0:
        return
    assert 1 <= len(ticks) <= 13
    assert len(set(ticks)) == len(ticks)


def test_numbers_are_written_as_people_write_them() -> None:
    from torchml_driver.report.chart import number

    assert [number(value) for value in (0.0, 0.001, 1.0, 1e5, 1e-8, 2048.0)] == [
        *("0", "0.001", "1", "10⁵", "10⁻⁸", "2048")
    ]
    assert number(-0.25, 0.05) == "\N{MINUS SIGN}0.25"
    assert number(torch.pi, 1.0) == "3"
