"""Following a page: running its blocks in order, in one folder, and comparing what they print."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.support.pages import Block

#: A block whose first line is such a comment is the file of that name.
_FILE = re.compile(r"# ([\w.-]+\.(?:py|dat)|in\.\w+)\n")
_NUMBER = r"-?\d+(?:\.\d+)?(?:e[+-]\d+)?"


def file_of(block: Block) -> str | None:
    """The name of the file that a block is, if its first line names one."""
    found = _FILE.match(block.text)
    return found[1] if found else None


def run_block(block: Block, folder: Path, env: Mapping[str, str]) -> str:
    """Runs a block of Python or shell in a folder; returns what it prints on standard output.

    Blocks of other languages print nothing. Raises AssertionError if a block fails.
    """
    if block.fragment or block.language not in ("sh", "py", "python"):
        return ""
    if block.language == "sh":
        command = ["bash", "-e", "-o", "pipefail", "-c", block.text]
    else:
        command = [sys.executable, "-W", "ignore", "-c", block.text]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{block.where}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def stated_results(text: str) -> list[str]:
    """Those lines of a block that give energies: ``energy …``, and LAMMPS's thermo output."""
    found, thermo = [], False
    for line in text.splitlines():
        if re.match(r"(?:torchml-result )?energy -?\d", line):
            found.append(line)
        elif line.startswith("Step "):
            thermo = True
        elif thermo and re.fullmatch(rf"\s*\d+(?:\s+{_NUMBER})+\s*", line):
            found.append(line)
        else:
            thermo = False
    return found


def assert_printed(stated: str, printed: str, tolerance: float = 2e-6) -> None:
    """Asserts that a program printed the results that a block states, but for rounding."""
    lines = [re.findall(_NUMBER, line) for line in printed.splitlines()]
    for line in stated_results(stated):
        wanted = [float(number) for number in re.findall(_NUMBER, line)]
        assert any(
            len(found) == len(wanted)
            and all(
                abs(a - float(b)) <= tolerance * max(1.0, abs(a))
                for a, b in zip(wanted, found, strict=True)
            )
            for found in lines
        ), f"{line!r} was not printed, but:\n{printed}"


def environment(env: Mapping[str, str], folder: Path) -> dict[str, str]:
    """For running a page: a home of its own, this Python's programs, and MPI as root."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    return {
        **env,
        "HOME": str(home),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{env.get('PATH', os.defpath)}",
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "OMPI_MCA_rmaps_base_oversubscribe": "1",
        "OMPI_MCA_hwloc_base_binding_policy": "none",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
