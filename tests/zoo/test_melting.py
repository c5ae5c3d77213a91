"""The notebook of examples/melting runs from its first cell to its last, in SevenNet's environment,
and finds what it keeps."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.examples import MELTING
from tests.support import DriverEnvironment, run
from tests.zoo.libraries import library

NUMBERS = re.compile(r"(\d+) K: order (\d\.\d+)")


def cells() -> list[dict[str, Any]]:
    notebook = json.loads(MELTING.read_text(encoding="utf-8"))
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def as_script() -> str:
    """The cells one after the other, in Python; those of bash by bash."""
    lines = ["import subprocess"]
    for cell in cells():
        text = "".join(cell["source"])
        if text.startswith("%%bash\n"):
            command = text.removeprefix("%%bash\n")
            lines.append(f"subprocess.run(['bash', '-ec', {command!r}], check=True)")
        else:
            lines.append(text)
    return "\n".join(lines)


def printed(number: int) -> str:
    return "".join(
        "".join(output.get("text", ""))
        for output in cells()[number]["outputs"]
        if output.get("name") == "stdout"
    )


def test_the_notebook_keeps_what_it_found() -> None:
    assert "lattice constant: 5." in printed(3)
    orders = [float(order) for _, order in NUMBERS.findall(printed(4))]
    assert orders[0] > 0.7
    assert orders[-1] < 0.5
    assert "the crystal is gone at" in printed(5)
    assert any("image/png" in output.get("data", {}) for output in cells()[5]["outputs"])


@pytest.mark.slow
def test_the_notebook_finds_it_again(driver_environment: DriverEnvironment, tmp_path: Path) -> None:
    needed = ["sevenn==0.13.0"]  # ASE brings matplotlib
    one = library(driver_environment, tmp_path, "sevennet", "sevennet_models", needed)
    work = tmp_path / "melting"
    shutil.copytree(MELTING.parent, work)
    (work / "notebook.py").write_text(as_script())
    # torchml-install is this checkout's, by the library's Python.
    commands = tmp_path / "bin"
    commands.mkdir()
    command = commands / "torchml-install"
    command.write_text(f'#!/bin/sh\nexec "{one.python}" -m torchml_installer "$@"\n')
    command.chmod(0o755)
    env = {**one.env, "MPLBACKEND": "agg", "PATH": f"{commands}:{one.env['PATH']}"}
    output = run([one.python, "notebook.py"], env=env, cwd=work)
    (length,) = re.findall(r"lattice constant: (\S+) Å", output)
    (kept,) = re.findall(r"lattice constant: (\S+) Å", printed(3))
    assert float(length) == pytest.approx(float(kept), abs=0.02)
    orders = [float(order) for _, order in NUMBERS.findall(output)]
    assert orders[0] > 0.7
    assert orders[-1] < 0.5
