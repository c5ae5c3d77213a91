"""Tests can be found and understood by their names."""

from __future__ import annotations

import re
from collections import Counter

from tests.support import ROOT

FILES = sorted((ROOT / "tests").rglob("*.py"))
LONGEST = 79


def test_no_two_modules_of_the_tests_have_one_name() -> None:
    named = Counter(file.name for file in FILES)
    of_folders = {"__init__.py", "conftest.py", "__main__.py"}
    assert [name for name, count in named.items() if count > 1 and name not in of_folders] == []


def test_no_name_of_a_test_is_longer_than_a_line() -> None:
    names = [
        name
        for file in FILES
        for name in re.findall(r"^ *def (test_\w+)", file.read_text(), re.MULTILINE)
    ]
    assert len(names) > 900
    assert [name for name in names if len(name) > LONGEST] == []
