"""The documents: links are valid, pictures are current, nothing is left out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs import drawings
from docs._ext import plots, repository_pages
from tests.support import ROOT
from tests.support.pages import anchors, blocks, links, pages, prose

#: Where links lead outside. The network is not reachable from tests, so only their form is checked:
#: that of a host which is known to serve such pages.
HOSTS = {
    "arxiv.org",
    "cyclonedx.org",
    "docs.conda.io",
    "doi.org",
    "json-schema.org",
    "llvm.org",
    "myst-parser.readthedocs.io",
    "openkim.org",
    "semver.org",
}
#: Folders of the repository that paths in backticks begin with.
FOLDERS = "benchmarks|ci|docs|driver_src|env_templates|examples|recipes|tests|torchml_installer"


def read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def test_links_between_pages_lead_somewhere() -> None:
    lost = []
    for page in pages():
        for target in links(page):
            if "://" in target or target.startswith("mailto:"):
                continue
            path, _, anchor = target.partition("#")
            file = page.parent / path if path else page
            if not file.exists():
                lost.append(f"{page.relative_to(ROOT)}: {target}")
            elif anchor and file.suffix == ".md" and anchor not in anchors(file.resolve()):
                lost.append(f"{page.relative_to(ROOT)}: {target} (no such heading)")
    assert lost == []


def test_links_to_the_outside_are_of_the_right_form() -> None:
    for page in pages():
        for target in links(page):
            if "://" in target:
                found = re.fullmatch(r"https://([\w.-]+)(/\S*)?", target)
                assert found is not None, f"{page}: {target}"
                assert found[1] in HOSTS, f"{page}: {target}: add its host, or is it made up?"


def test_make_has_the_targets_that_pages_name() -> None:
    targets = set(re.findall(r"^([a-z-]+):.*##", read("Makefile"), re.MULTILINE))
    for page in pages():
        named = re.findall(r"`make ([a-z][a-z-]*)", prose(page))
        for block in blocks(page):
            named += re.findall(r"^(?:\$ )?make ([a-z][a-z-]*)", block.text, re.MULTILINE)
        assert set(named) <= targets, page


def test_files_that_pages_name_are_there() -> None:
    """Paths from the top of the repository, in backticks; not those with a part to fill in."""
    lost = []
    for page in pages():
        if page.name == "CHANGELOG.md":
            continue  # which also names what there was
        for path in re.findall(rf"`((?:{FOLDERS})/[\w./-]*)`", prose(page)):
            if not (ROOT / path).exists():
                lost.append(f"{page.relative_to(ROOT)}: {path}")
    assert lost == []


def test_every_table_of_benchmarks_has_a_page_on_the_site() -> None:
    shown = repository_pages.shown()
    for table in ROOT.glob("benchmarks/*.md"):
        assert table.resolve() in shown, table.name


@pytest.mark.parametrize("name", plots.PLOTS)
def test_plots_are_drawn_from_the_table_of_their_page(name: str) -> None:
    drawn = plots.PLOTS[name]()
    assert drawn.startswith("<svg")
    assert f"```{{plot}} {name}\n" in read(f"docs/benchmarks/{name}.md")
    rows = {row[0] for table in plots.tables(name.upper()) for row in table.rows}
    assert any(re.sub("[`*]", "", row).partition(",")[0] in drawn for row in rows)


def test_parts_of_pages_are_under_headings_that_there_are() -> None:
    for page in pages():
        for block in blocks(page, "{part-of}"):
            _, file, heading = block.info.split(" ", 2)
            assert repository_pages.under(read(file), heading), block.where


def test_readers_of_the_repository_and_of_the_site_follow_the_same_links(tmp_path: Path) -> None:
    page = repository_pages.DOCS / "inside/evaluation.md"
    written = "See [the tables](../../benchmarks/GRAPHS.md#ranks) and [the license](../../LICENSE)."
    on_site = repository_pages.complete(written, page, repository_pages.shown())
    assert on_site == "See [the tables](../benchmarks/graphs.md#ranks) and the license (`LICENSE`)."


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


def test_lammps_inputs_are_those_of_examples() -> None:
    """Only these are run by the tests."""
    inputs = {line.strip() for file in ROOT.glob("examples/*/in.*") for line in file.open()}
    for page in pages():
        for block in blocks(page, "lammps"):
            if not block.fragment:
                assert {line.strip() for line in block.text.splitlines()} <= inputs, block.where


def test_the_examples_page_lists_every_example() -> None:
    text = read("examples/README.md")
    for page in ROOT.glob("examples/*/README.md"):
        assert f"]({page.parent.name}/README.md)" in text
