"""Pages for people: links that lead somewhere, pictures of what there is, nothing left out."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from docs import drawings
from tests.support import ROOT, run


def pages() -> list[Path]:
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in run(["git", "ls-files", "*.md"], cwd=ROOT).split()]


def read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def test_links_between_pages_lead_somewhere() -> None:
    for page in pages():
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if "://" not in target and not target.startswith(("#", "mailto:")):
                assert (page.parent / target.partition("#")[0]).exists(), f"{page}: {target}"


def test_make_has_the_targets_that_pages_name() -> None:
    targets = set(re.findall(r"^([a-z-]+):.*##", read("Makefile"), re.MULTILINE))
    for page in pages():
        named = re.findall(r"`make ([a-z][a-z-]*)", page.read_text(encoding="utf-8"))
        assert set(named) <= targets, page


@pytest.mark.parametrize("name", drawings.PICTURES)
def test_drawings_show_what_there_is(name: str, tmp_path: Path) -> None:
    drawings.PICTURES[name]().write(tmp_path / f"{name}.svg")
    drawn = (tmp_path / f"{name}.svg").read_text(encoding="utf-8")
    assert read(f"docs/inside/{name}.svg") == drawn, "draw them anew: python -m docs.drawings"


def test_every_layer_is_described() -> None:
    drawn = {name for row in drawings.folders(drawings.LAYERS) for name in row}
    assert drawn | {"python"} == set(drawings.DRIVER)
    drawn = {name for row in drawings.folders(drawings.INSTALLER_LAYERS) for name in row}
    assert drawn == set(drawings.INSTALLER)


def test_the_tests_page_lists_every_suite_and_marker() -> None:
    text = read("tests/README.md")
    suites = {path.parent.name for path in ROOT.glob("tests/*/test_*.py")}
    assert set(re.findall(r"^\| `(\w+)/` \|", text, re.MULTILINE)) >= suites
    markers = re.search(
        r"^markers = \[\n(.*?)^\]", read("pyproject.toml"), re.MULTILINE | re.DOTALL
    )
    assert markers is not None
    for marker in re.findall(r'^  "(\w+):', markers[1], re.MULTILINE):
        assert f"| `{marker}` |" in text


def test_the_examples_page_lists_every_example() -> None:
    text = read("examples/README.md")
    for page in ROOT.glob("examples/*/README.md"):
        assert f"]({page.parent.name}/README.md)" in text
