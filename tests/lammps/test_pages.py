"""The guides' pages: scripts, commands and LAMMPS inputs run in order, as a reader takes them, and
print the energies that the page shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import ROOT, DriverEnvironment
from tests.support.followed_pages import (
    assert_printed,
    environment,
    file_of,
    run_block,
    stated_results,
)
from tests.support.pages import blocks

#: Pages that a reader follows one after the other in one folder.
READINGS = (
    ("README.md",),
    ("docs/run/lammps.md",),
    ("docs/run/ase.md",),
    ("docs/models/neighbour-lists.md", "docs/models/check-and-measure.md"),
    ("docs/models/edges.md",),
    ("docs/models/staged-graphs.md",),
    ("docs/models/descriptors.md",),
    pytest.param(
        ("docs/models/neighbour-lists.md", "docs/models/compiled.md"), marks=pytest.mark.slow
    ),
)
#: Commands that install programs, and those that are meant to fail.
_NOT_HERE = ("pip install", "torchml-install deps", "DEVICE=cuda")


@pytest.mark.parametrize("pages", READINGS, ids=lambda pages: Path(pages[-1]).stem)
def test_a_page_s_blocks_run_in_order_and_print_the_energies_on_it(
    pages: tuple[str, ...], driver_environment: DriverEnvironment, tmp_path: Path
) -> None:
    env = environment(driver_environment.env, tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    printed, compared = "", 0
    ran = True  # the last command; what follows one that did not run shows its results
    for page in pages:
        for block in blocks(ROOT / page):
            if (name := file_of(block)) is not None:
                (tmp_path / name).write_text(block.text, encoding="utf-8")
            elif block.language == "text" and ran:
                assert_printed(block.text, printed)
                compared += len(stated_results(block.text))
            elif block.language != "text":
                ran = not any(words in block.text for words in _NOT_HERE)
                if ran:
                    printed += run_block(block, tmp_path, env)
    assert compared > 0
