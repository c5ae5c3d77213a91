"""Python on pages: it compiles, and pages that are not followed by other tests run.

In the guides, scripts and shell commands belong together; tests that follow those pages run both,
and here they only have to compile. The rest finds what pages mention: a packed and installed model
``My_Model`` of silicon, a file ``descriptor.dat``, ``atoms``, and a ``network`` on those
descriptors. A block that cannot run by itself follows a line ``<!-- fragment -->``
(tests/support/pages.py), and is only compiled.
"""

from __future__ import annotations

import ast
import re
import shutil
import sys
from pathlib import Path

import pytest

from tests.support import ROOT, DriverEnvironment, run, torchml_install
from tests.support.example_model import CUTOFF
from tests.support.pages import Block, blocks, pages

BEGINNING = """
import numpy as np
import torch
from ase.build import bulk

torch.manual_seed(1)
atoms = bulk("Si", "diamond", a=5.43, cubic=True)
atoms.rattle(0.05, seed=1)
network = torch.nn.Sequential(torch.nn.LazyLinear(8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
network.double()
"""


#: Pages whose scripts and shell commands belong together, in files and folders.
FOLLOWED = ("README.md", "docs/install/", "docs/run/", "docs/models/", "docs/examples", "examples/")


def shown(page: Path) -> list[Block]:
    return blocks(page, "python", "py", "python3")


def pages_with_python() -> list[str]:
    named = [str(page.relative_to(ROOT)) for page in pages() if shown(page)]
    return [name for name in named if not name.startswith(FOLLOWED)]


def code(block: Block) -> str:
    """What is typed; a block with prompts also shows what Python prints."""
    if ">>>" not in block.text:
        return block.text
    lines = re.findall(r"^(?:>>>|\.\.\.) ?(.*)$", block.text, re.MULTILINE)
    return "\n".join(lines) + "\n"


def test_python_on_pages_compiles() -> None:
    for page in pages():
        for block in shown(page):
            try:
                ast.parse(code(block))
            except SyntaxError as error:
                pytest.fail(f"{block.where}: {error}")


@pytest.fixture(scope="module")
def prepared(
    driver_environment: DriverEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder with what the pages mention."""
    folder = tmp_path_factory.mktemp("pages")
    (model,) = driver_environment.packed.glob("*.pt")
    options = ("--elements", "Si", "--cutoff", str(CUTOFF), "--name", "My_Model")
    env = driver_environment.env
    torchml_install("model", "pack", model, *options, env=env, cwd=folder)
    installing = ("--collection", "environment")
    torchml_install("model", "install", "My_Model", *installing, env=env, cwd=folder)
    shutil.copy(ROOT / "examples/descriptor_network/descriptor.dat", folder)
    return folder


@pytest.mark.parametrize("name", pages_with_python() if (ROOT / ".git").exists() else [])
def test_python_on_pages_runs(
    name: str, prepared: Path, driver_environment: DriverEnvironment, tmp_path: Path
) -> None:
    wanted = [block for block in shown(ROOT / name) if not block.fragment]
    if not wanted:
        pytest.skip("fragments only")
    # Compiled one by one, so that a traceback names the page and the line.
    steps = []
    for block in wanted:
        text = "\n" * (block.line - 1) + code(block)
        steps.append(f"exec(compile({text!r}, {name!r}, 'exec'))\n")
    work = tmp_path / "work"
    shutil.copytree(prepared, work)
    (work / "page.py").write_text(BEGINNING + "".join(steps), encoding="utf-8")
    run([sys.executable, "page.py"], env=driver_environment.env, cwd=work)
