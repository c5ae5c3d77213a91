"""The notebook of examples/tour runs from its first cell to its last, and prints what it keeps."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.examples import PICTURE, execute, picture, printed, stored
from tests.support import DriverEnvironment

pytest.importorskip("nbclient")

#: Of the numbers that a run of some hundred steps ends with.
_TOLERANCE = 1e-3
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def test_the_tour_prints_and_draws_what_it_keeps(
    driver_environment: DriverEnvironment, tmp_path: Path
) -> None:
    notebook = execute(tmp_path, driver_environment.env)
    found, kept = printed(notebook), printed(stored())
    assert [_NUMBER.sub("#", text) for text in found] == [_NUMBER.sub("#", text) for text in kept]
    for text, before in zip(found, kept, strict=True):
        numbers, expected = (
            [float(number) for number in _NUMBER.findall(one)] for one in (text, before)
        )
        assert numbers == pytest.approx(expected, rel=_TOLERANCE, abs=_TOLERANCE), text
    assert picture(notebook).startswith(b"\x89PNG")
    assert "20 of 20 checks passed" in "".join(found)


def test_the_tour_keeps_its_results_and_the_picture_of_the_documentation() -> None:
    notebook = stored()
    assert all(cell["execution_count"] for cell in notebook["cells"] if "outputs" in cell)
    assert PICTURE.read_bytes() == picture(notebook)
    assert "\x1b" not in "".join(printed(notebook))  # colours of a terminal
    assert 0 < notebook["metadata"]["seconds"] < 60
