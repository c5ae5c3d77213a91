"""The project's texts are true: commands work from a checkout, and options exist."""

from __future__ import annotations

import re
import shutil

import pytest

import ci.release
from ci.release.__main__ import parse
from tests.support import ROOT, run


def texts() -> dict[str, str]:
    """All text files of the checkout, but the changelog, the tests and binary data."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a git checkout")
    found = {}
    for name in run(["git", "ls-files"], cwd=ROOT).splitlines():
        if (ROOT / name).is_file() and not name.startswith(("CHANGELOG.md", "tests/")):
            contents = (ROOT / name).read_bytes()
            if b"\0" not in contents:
                found[name] = contents.decode("utf-8", errors="replace")
    return found


def test_nothing_is_to_be_installed_by_a_name_that_is_not_published() -> None:
    """Whoever registers the name on PyPI could attack users who follow such advice."""
    name = r"(?<![/.\w-])torchml[-_](?:installer|driver)\b(?!\S*\.whl)"
    from_an_index = r"(?:pip|pipx|uv tool) install (?![^`'\"\n]*--no-index)"
    by_name = re.compile(rf"{from_an_index}[^`'\"\n]*{name}")
    assert [name for name, text in texts().items() if by_name.search(text)] == []


def test_no_homepage_is_somebody_else_s() -> None:
    stated = re.compile(r"homepage\s*[=:]\s*\W*openkim|homepage.*//openkim\.org")
    assert [name for name, text in texts().items() if stated.search(text)] == []


def test_the_release_s_page_names_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--help"])
    options = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    documented = set(re.findall(r"--[a-z-]+", ci.release.__doc__ or ""))
    assert documented <= options, documented - options
