"""Follows the pages of examples/: runs their commands in order, and keeps what they print.

    python -m tests.examples [--write] [NAME ...]

Each folder but ``tour`` and ``melting``, notebooks, has an ``expected.txt``: the commands of its
page that print results, below each of them its results, and in the first line the time that all
commands of the page took. ``--write`` makes these files anew, on a quiet machine, and puts the
times into docs/examples.md; without it, the results are compared with them. A notebook is executed,
and keeps what its cells print and draw; docs/images/tour.png is its picture. Tests do the same:
tests/lammps/test_examples.py and tests/driver/test_tour.py.
"""

from __future__ import annotations

import argparse
import base64
import os
import re
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support import ROOT, run
from tests.support.driver_module import install_driver

EXAMPLES = ROOT / "examples"
NOTEBOOK = EXAMPLES / "tour" / "tour.ipynb"
#: Another notebook, which needs a library of models: tests/zoo/test_melting.py runs it.
MELTING = EXAMPLES / "melting" / "melting.ipynb"
FOLDERS = sorted(
    page.parent
    for page in EXAMPLES.glob("*/README.md")
    if page.parent not in (NOTEBOOK.parent, MELTING.parent)
)
EXPECTED = "expected.txt"
PAGE = ROOT / "docs" / "examples.md"
PICTURE = ROOT / "docs" / "images" / "tour.png"

#: eV, eV/Å: what a first energy and force may differ by between machines.
TOLERANCE = 1e-9
#: Of the numbers of a run, which LAMMPS prints with eight digits: they differ more with each step.
_RUN_TOLERANCE = 1e-5
#: Of Open MPI; as root, and where there are fewer cores than ranks.
_MPI_OPTIONS = ("--allow-run-as-root", "--oversubscribe", "--bind-to", "none")
_RESULT = re.compile(r"torchml-result energy (\S+) fmax (\S+)")


@dataclass(frozen=True)
class Run:
    """A command of a page, and the results that it printed."""

    command: str
    results: tuple[str, ...]


def commands(folder: Path) -> list[str]:
    """Those of the first block of its page, in order."""
    page = (folder / "README.md").read_text(encoding="utf-8")
    block = re.search(r"^```\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert block is not None, f"{folder.name}/README.md has no commands"
    return re.sub(r" *\\\n *", " ", block[1]).strip().splitlines()


def prints_results(command: str) -> bool:
    return " lmp " in f" {command}" or command.startswith("python run_")


def follow(folder: Path, work: Path, env: Mapping[str, str], *, briefly: bool = False) -> list[Run]:
    """Runs the page's commands in a copy of its folder below ``work``.

    briefly: only the first one that prints results, and no step of a simulation.
    """
    place = work / "examples" / folder.name
    shutil.copytree(EXAMPLES, place.parent, ignore=shutil.ignore_patterns("__pycache__"))
    found = []
    for command in commands(folder):
        output = run(_words(command, briefly), cwd=place, env={**env, "PYTHONPATH": str(ROOT)})
        if prints_results(command):
            found.append(Run(command, tuple(_results(output))))
            assert found[-1].results, f"{command} prints no result:\n{output}"
            if briefly:
                break
    return found


def _words(command: str, briefly: bool) -> list[str]:
    """As the tests run it: in a collection of their own, with this Python."""
    words = shlex.split(command)
    if words[0] == "python":
        return [sys.executable, *words[1:]]
    if words[0] == "torchml-install":
        options = ["--collection", "environment"] if words[1:3] == ["model", "install"] else []
        return [sys.executable, "-m", "torchml_installer", *words[1:], *options]
    program = shutil.which("lmp")
    assert program is not None, "LAMMPS (lmp) is not installed"
    if words[0] == "mpirun":
        words[1:1] = _MPI_OPTIONS
    at = words.index("lmp")
    words[at : at + 1] = [program, *(["-var", "steps", "0"] if briefly else [])]
    return words


def _results(output: str) -> list[str]:
    """The lines with an energy, and those of a run after it."""
    lines = output.splitlines()
    at = next((at for at, line in enumerate(lines) if _RESULT.fullmatch(line.strip())), None)
    if at is None:
        return []
    found = [lines[at].strip()]
    for line in lines[at + 1 :]:
        if re.match(r" *Step ", line) or (re.fullmatch(r"[\s\d.e+-]+", line) and line.strip()):
            found.append(" ".join(line.split()))
        if line.startswith("Loop time"):
            break
    return found


def expected(folder: Path) -> list[Run]:
    """What its ``expected.txt`` has."""
    text = (folder / EXPECTED).read_text(encoding="utf-8")
    blocks = re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n?)*)", text, re.MULTILINE)
    return [
        Run(command, tuple(line for line in lines.splitlines() if line.strip()))
        for command, lines in blocks
    ]


def seconds(folder: Path) -> int:
    """How long its page says that all of its commands take."""
    found = re.match(r"# .*: (\d+) s\n", (folder / EXPECTED).read_text(encoding="utf-8"))
    assert found is not None, f"{folder.name}/{EXPECTED} does not begin with the time"
    return int(found[1])


def assert_as_expected(found: Sequence[Run], known: Sequence[Run]) -> None:
    """The first results may be fewer than known: then they are compared with those."""
    assert [one.command for one in found] == [one.command for one in known[: len(found)]]
    for one, other in zip(found, known, strict=False):
        for line, right in zip(one.results, other.results, strict=False):
            first = _RESULT.fullmatch(line)
            numbers, rights = _numbers(line), _numbers(right)
            assert len(numbers) == len(rights), f"{line}\nexpected: {right}"
            for number, wanted in zip(numbers, rights, strict=True):
                tolerance = TOLERANCE if first else _RUN_TOLERANCE * max(abs(wanted), 1.0)
                assert abs(number - wanted) <= tolerance, f"{line}\nexpected: {right}"


def _numbers(line: str) -> list[float]:
    return [float(word) for word in line.split() if re.match(r"[+-]?\d", word)]


def write(folder: Path, found: Sequence[Run], took: float, machine: str) -> None:
    lines = [f"# All commands of README.md; {machine}: {max(1, round(took))} s"]
    for one in found:
        lines += ["", f"$ {one.command}", *one.results]
    (folder / EXPECTED).write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.examples", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="folders (default: all)")
    parser.add_argument("--write", action="store_true", help="write the files anew")
    given = parser.parse_args()
    from benchmarks.measuring import machine

    with tempfile.TemporaryDirectory(prefix="torchml-examples-") as name:
        collection = Path(name, "collection")
        collection.mkdir()
        env = {
            **os.environ,
            "KIM_API_MODEL_DRIVERS_DIR": str(collection),
            "KIM_API_PORTABLE_MODELS_DIR": str(collection),
            "OMP_NUM_THREADS": "1",
        }
        install_driver(env, Path(name))
        for folder in FOLDERS:
            if given.names and folder.name not in given.names:
                continue
            start = time.perf_counter()
            found = follow(folder, Path(name, folder.name), env)
            took = time.perf_counter() - start
            print(f"{folder.name}: {took:.0f} s", flush=True)
            if given.write:
                write(folder, found, took, machine("one for each rank"))
            else:
                assert_as_expected(found, expected(folder))
        if not given.names or "tour" in given.names:
            start = time.perf_counter()
            notebook = execute(Path(name, "tour"), env)
            took = time.perf_counter() - start
            print(f"tour: {took:.0f} s", flush=True)
            if given.write:
                write_notebook(notebook, took)
    if given.write and PAGE.exists():
        PAGE.write_text(with_times(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


def with_times(text: str) -> str:
    """The table of docs/examples.md with the times that the files have: its last column."""
    times = {folder.name: seconds(folder) for folder in FOLDERS}
    times["tour"] = int(stored()["metadata"]["seconds"])
    for name, took in times.items():
        row = rf"(^\| \[{name}\].* \| )[^|]* \|$"
        text = re.sub(row, rf"\g<1>{took} s |", text, flags=re.MULTILINE)
    return text


# --- the notebook ---------------------------------------------------------------------------------


def stored() -> Any:
    """The notebook with what it printed and drew when it was written."""
    import nbformat

    return nbformat.read(NOTEBOOK, as_version=4)


def execute(work: Path, env: Mapping[str, str]) -> Any:
    """The notebook, executed in a copy of its folder; an nbformat notebook.

    Raises nbclient's CellExecutionError if a cell fails.
    """
    import nbformat
    from nbclient import NotebookClient

    place = work / "examples" / "tour"
    shutil.copytree(EXAMPLES, place.parent, ignore=shutil.ignore_patterns("__pycache__"))
    notebook = nbformat.read(place / NOTEBOOK.name, as_version=4)
    client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(place)}})
    # The kernel is this Python; what its cells start with "!" is found beside it.
    folders = [str(Path(sys.executable).parent), env.get("PATH", os.defpath)]
    client.execute(
        env={
            **env,
            **{"PATH": os.pathsep.join(folders), "PYTHONPATH": str(ROOT)},
            **{"MPLBACKEND": "module://matplotlib_inline.backend_inline", "OMP_NUM_THREADS": "1"},
        }
    )
    return notebook


def printed(notebook: Any) -> list[str]:
    """What its cells print and return, for each cell that does."""
    return [
        "".join(
            output.get("text", "") or output.get("data", {}).get("text/plain", "")
            for output in cell["outputs"]
            if output.get("name") != "stderr" and "image/png" not in output.get("data", {})
        )
        for cell in notebook["cells"]
        if cell["cell_type"] == "code"
    ]


def picture(notebook: Any) -> bytes:
    """The PNG that the last cell with one draws."""
    drawn = [
        output["data"]["image/png"]
        for cell in notebook["cells"]
        for output in cell.get("outputs", ())
        if "image/png" in output.get("data", {})
    ]
    return base64.b64decode(drawn[-1])


def write_notebook(notebook: Any, took: float) -> None:
    """With what it printed and drew, without what differs from run to run."""
    import nbformat

    for cell in notebook["cells"]:
        cell["metadata"] = {}
        if cell["cell_type"] == "code":
            cell["outputs"] = [one for one in cell["outputs"] if one.get("name") != "stderr"]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook["metadata"] = {
        "kernelspec": kernel,
        "language_info": {"name": "python"},
        "seconds": max(1, round(took)),
    }
    nbformat.validate(notebook)
    nbformat.write(notebook, NOTEBOOK)
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    PICTURE.write_bytes(picture(notebook))


if __name__ == "__main__":
    sys.exit(main())
