"""The C++ unit tests of this folder, one by one: all of the driver that no model is needed for."""

from __future__ import annotations

import re
import subprocess
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.sanitize

FOLDER = Path(__file__).parent
NAMES = [
    (source.name, name)
    for source in sorted(FOLDER.glob("*.cpp"))
    for name in re.findall(r'^TEST_CASE\("(.*)"\)', source.read_text(), re.MULTILINE)
]


@dataclass(frozen=True)
class Outcome:
    """What the program said. failures: of each test that ran to its end."""

    code: int
    said: str
    failures: dict[tuple[str, str], str]


@pytest.fixture(scope="session")
def outcome(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """Of all tests, in one process."""
    report = tmp_path_factory.mktemp("unit") / "report.xml"
    done = subprocess.run(
        [str(programs / "torchml_unit_tests"), "--reporters=junit", f"--out={report}"],
        cwd=report.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    failures = {}
    text = report.read_text() if report.exists() else ""
    for case in ET.fromstring(text).iter("testcase") if text else ():
        place = (Path(case.attrib["classname"]).name, case.attrib["name"])
        failures[place] = "\n".join(
            f"{found.get('message')}\n{(found.text or '').strip()}"
            for found in (*case.iter("failure"), *case.iter("error"))
        )
    return Outcome(done.returncode, done.stdout + done.stderr, failures)


@pytest.mark.parametrize(("source", "name"), NAMES, ids=[name for _source, name in NAMES])
def test_unit(source: str, name: str, outcome: Outcome) -> None:
    assert (source, name) in outcome.failures, (
        f"it did not run to its end; the program ended with {outcome.code}:\n{outcome.said}"
    )
    message = outcome.failures[source, name]
    if message:
        pytest.fail(message, pytrace=False)


def test_every_unit_test_is_shown(outcome: Outcome) -> None:
    assert set(outcome.failures) <= set(NAMES)
    failed = any(outcome.failures.values())
    assert (outcome.code != 0) == failed, outcome.said
