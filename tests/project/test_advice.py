"""Nothing in the repository sends users to packages that nobody has published."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from torchml_installer.deps import conda_conflicts

ROOT = Path(__file__).resolve().parents[2]
#: The command and its arguments, up to the end of the code or the line.
PIP = re.compile(r"\b(?:pip3?|pipx|uvx?|uv tool|uv pip) +(?:install|download|run) ([^`\n#]*)")
CONDA = re.compile(
    r"\b(?:conda|mamba|micromamba|pixi) +(?:env +)?(?:install|add|create)\b([^`\n#]*)"
    r"|\{_INSTALL\}([^`\n#]*)"
)
#: One of our names, where a file or a folder would have a slash or a suffix.
OURS = re.compile(r"torchml[-_](?:driver|installer|install|example-models|example_models)\b")
PUBLIC = ("conda-forge", "defaults", "bioconda", "pytorch")


def named_from_an_index(line: str) -> bool:
    """Whether a line has pip or conda fetch one of our packages from a public index."""
    for match in PIP.finditer(line):
        words = match[1].split()
        if "--no-index" not in words and any(is_ours(word) for word in words):
            return True
    for match in CONDA.finditer(line):
        arguments = match[1] or match[2] or ""
        channels = re.findall(r"(?:-c|--channel)[ =](\S+)", arguments)
        own = [channel for channel in channels if channel.strip("'\"`") not in PUBLIC]
        if not own and any(is_ours(word) for word in arguments.split()):
            return True
    return False


def is_ours(word: str) -> bool:
    word = word.strip("'\"`(),.;")
    return OURS.match(word) is not None and "/" not in word and not word.endswith((".whl", ".gz"))


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("Run `pip install torchml-installer`.", True),
        ("pipx install torchml-installer", True),
        ("`python -m pip install --upgrade torchml_driver==0.1`", True),
        ("conda install -c conda-forge 'torchml-driver=*=cpu_*'", True),
        ("conda install torchml-driver", True),
        ("pip install torchml_installer-0.1.0-py3-none-any.whl", False),
        ("python -m pip install --force-reinstall .", False),
        ("pip install torchml-driver --no-index --find-links wheels", False),
        ("pip uninstall torchml-driver", False),
        ("conda install -c file://$PWD/output -c conda-forge torchml-driver", False),
        ("conda remove -p /env torchml-driver libtorch", False),
        ("conda create -n torchml -c conda-forge python", False),
    ],
)
def test_the_search_finds_what_it_should(line: str, wrong: bool) -> None:
    assert named_from_an_index(line) == wrong


def texts() -> Iterator[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.split("\0"):
        path = ROOT / name
        if name and path.is_file() and path != Path(__file__):
            yield path


def test_no_text_names_our_packages_on_a_public_index() -> None:
    """Whoever registered such a name would own the machines of those who follow the advice."""
    found = []
    for path in texts():
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue
        found += [
            f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
            for number, line in enumerate(lines, 1)
            if "torchml" in line and named_from_an_index(line)
        ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "said",
    [
        "Cannot solve: torchml-driver requires openmpi, lammps requires mpich",
        "Could not solve: torchml-driver =*=cuda*, pytorch =*=cpu*",
        "Could not solve: torchml-driver cuda needs __cuda >=12.9, but __cuda 11.4",
        "Could not solve: torchml-driver needs libtorch >=2.13.0,<2.14.0a0, conflict",
        "Could not solve: torchml-driver needs kim-api 2.4.*, conflict",
        "nothing provides __cuda needed by torchml-driver",
        "No candidates were found for torchml-driver *.",
    ],
)
def test_advice_about_conda_names_the_users_channel(said: str) -> None:
    conflict = conda_conflicts.refusal(said)
    assert conflict is not None
    commands = re.findall("`([^`]+)`", conflict.remedy)
    assert any("torchml-driver" in command for command in commands), conflict.remedy
    assert not any(named_from_an_index(command) for command in commands), conflict.remedy


@pytest.mark.parametrize("name", ["environment-cpu.yml", "environment-cuda.yml"])
def test_environment_files_ask_the_users_channel_first(name: str) -> None:
    text = (ROOT / "env_templates" / name).read_text()
    channels = text.partition("\nchannels:\n")[2].partition("\ndependencies:")[0].splitlines()
    assert channels[0] == "  - file:///path/to/output"
