"""Conflicts are refused and named, with a command that solves them.

The solver's messages are real, for metadata like conda-forge's.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

pytest.importorskip("rattler", reason="py-rattler is not installed")
pytest.importorskip("rattler_build", reason="py-rattler-build is not installed")

import rattler
from rattler.exceptions import SolverError

from ci.conda_packages import why_unsolved
from tests.conda.conftest import Channels, CondaEnvironment
from tests.conda.snapshot import PLATFORMS, MetadataChannel
from tests.support import ROOT, run
from torchml_installer.deps import providers
from torchml_installer.deps.conda_conflicts import Conflict, explain
from torchml_installer.errors import PackageInstallError

NO_CHANNEL = "http://127.0.0.1:9/none"  # the discard port: nobody listens


def refused(channel: MetadataChannel, specs: list[str], cuda: str | None) -> Conflict:
    with pytest.raises(SolverError) as caught:
        channel.solve(specs, cuda)
    conflict = explain(str(caught.value))
    assert conflict is not None, str(caught.value)
    return conflict


def commands(remedy: str) -> list[tuple[list[str], str | None]]:
    """The specifications of each `conda install` in a remedy, and the CUDA that it states."""
    found = []
    for command in re.findall(r"`([^`]*conda install[^`]*)`", remedy):
        words = shlex.split(command)
        cuda = next((word[20:] for word in words if word.startswith("CONDA_OVERRIDE_CUDA=")), None)
        specs = words[words.index("install") + 1 :]
        channels = ("CHANNEL", "conda-forge")
        named = [word for word in specs if not word.startswith("-") and word not in channels]
        # As conda's command line reads it: name=version=build.
        asked = [re.sub(r"^([\w-]+)=([^=]+)=(.+)$", r"\1 \2 \3", word) for word in named]
        found.append(([re.sub(r"^([\w-]+)([<>])", r"\1 \2", word) for word in asked], cuda))
    return found


@pytest.mark.parametrize(
    ("specs", "cuda", "named"),
    [
        (["torchml-driver", "libtorch 2.12.*"], None, ["libtorch >=2.13.0,<2.14.0a0"]),
        (["torchml-driver", "pytorch 2.12.*"], None, ["libtorch >=2.13.0,<2.14.0a0"]),
        (["torchml-driver * cuda_*", "pytorch * cpu*"], "12.9", ["CPU build", "CUDA build"]),
        (["torchml-driver * cuda_*", "libtorch * cpu*"], "12.9", ["libtorch * cuda*"]),
        (["torchml-driver * cuda_*"], None, ["NVIDIA GPU", "none was detected"]),
        (["torchml-driver * cuda_*"], "11.8", ["CUDA 12 or newer", "has 11.8"]),
        (["torchml-driver * *openmpi*", "lammps * *mpich*"], None, ["Open MPI", "MPICH"]),
        (["torchml-driver * *mpich*", "openmpi"], None, ["Open MPI", "MPICH"]),
        (["torchml-driver", "kim-api 2.3.*"], None, ["kim-api >=2.4,<3.0a0"]),
    ],
)
def test_a_refusal_names_both_sides_and_commands_that_can_be_solved(
    channel: MetadataChannel, specs: list[str], cuda: str | None, named: list[str]
) -> None:
    conflict = refused(channel, specs, cuda)
    for words in named:
        assert words in conflict.message
    offered = commands(conflict.remedy)
    assert offered
    for asked, on_cuda in offered:
        assert "torchml-driver" in channel.solve(asked, on_cuda or cuda)


def test_a_channel_without_pytorch_is_named_as_such(tmp_path: Path) -> None:
    channel = MetadataChannel(tmp_path)
    channel.add_our_recipes()
    channel.leave_out("pytorch", "libtorch")
    conflict = refused(channel, ["torchml-driver", "pytorch"], None)
    assert "no package pytorch" in conflict.message
    assert "conda install -c conda-forge pytorch" in conflict.remedy
    conflict = refused(channel, ["torchml-example-models"], None)
    assert "libtorch >=2.13.0" in conflict.message
    assert "The channels lack it, or another one is requested" in conflict.message


def test_the_one_that_needs_another_kim_api_is_named(tmp_path: Path) -> None:
    channel = MetadataChannel(tmp_path)
    channel.records.append(
        {
            "name": "openkim-models",
            "version": "2021.01.28",
            "build": "h0_5",
            "depends": ["kim-api >=2.3.0,<2.4.0a0"],
        }
    )
    channel.add_our_recipes()
    conflict = refused(channel, ["torchml-driver", "openkim-models"], None)
    assert "built with kim-api >=2.4,<3.0a0, but openkim-models needs" in conflict.message
    assert "kim-api >=2.3.0,<2.4.0a0." in conflict.message
    # With the keeping of what drivers were built with, in an environment without our package.
    conflict = refused(channel, ["openkim-models", "kim-api 2.4.*"], None)
    assert conflict.message.startswith("openkim-models needs kim-api >=2.3.0,<2.4.0a0")


def test_a_driver_that_deps_keeps_is_not_replaced_by_one_for_another_mpi(
    channel: MetadataChannel, tmp_path: Path
) -> None:
    """conda itself takes another build of the driver if a package comes with another MPI."""
    mine = channel.solve(["torchml-driver * *mpi_mpich*"])
    for name in ("torchml-driver", "kim-api"):
        record = mine[name]
        meta = tmp_path / "conda-meta" / f"{name}-{record.version}-{record.build}.json"
        meta.parent.mkdir(exist_ok=True)
        meta.write_text("{}")
    asked = ["lammps * *openmpi*"]
    unasked = channel.solve(["torchml-driver", *asked])["torchml-driver"]
    assert str(unasked.build) != str(mine["torchml-driver"].build)
    kept = list(providers.kept(tmp_path).values())
    assert len(kept) == 2
    assert channel.solve([*kept, "ase"])["torchml-driver"].build == mine["torchml-driver"].build
    conflict = refused(channel, [*kept, *asked], None)
    assert "Open MPI and MPICH are both requested" in conflict.message


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("pytorch 99.*", "no pytorch 99.*."),
        ("torchml-driver 9.*", "no torchml-driver 9.*."),
        ("torchml-driver * mpi_mpich", "no torchml-driver * mpi_mpich."),
        ("lamps", "no package lamps."),
    ],
)
def test_a_version_that_does_not_exist_is_not_called_a_missing_package(
    channel: MetadataChannel, spec: str, words: str
) -> None:
    conflict = refused(channel, [spec], None)
    assert words in conflict.message
    assert "conda search" in conflict.remedy


def test_our_packages_are_not_on_conda_forge_and_have_to_be_built(tmp_path: Path) -> None:
    conflict = refused(MetadataChannel(tmp_path), ["torchml-driver"], None)
    assert "no package torchml-driver" in conflict.message
    assert "python -m ci.conda_packages output" in conflict.remedy


def conda_packages(output: Path, *options: str | Path, code: int = 1) -> str:
    """Runs the command, which must fail; returns its message."""
    command = [sys.executable, "-m", "ci.conda_packages", output, *options]
    done = subprocess.run(
        [str(word) for word in command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stdout
    return done.stderr


def test_why_a_build_was_refused_is_asked_for_the_machine_that_was_said(
    channel: MetadataChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CONDA_OVERRIDE_CUDA, which a remedy names, also counts for the explanation of a refusal."""
    said = "Specs:\n - torchml-driver * cuda_*\nFailed to resolve dependencies"
    channels = [channel.folder.as_uri()]
    monkeypatch.setenv("CONDA_OVERRIDE_CUDA", "")
    conflict = explain(why_unsolved(said, channels))
    assert conflict is not None
    assert "CONDA_OVERRIDE_CUDA=12.9" in conflict.remedy
    monkeypatch.setenv("CONDA_OVERRIDE_CUDA", "12.9")
    assert why_unsolved(said, channels) == ""


def test_a_build_without_a_network_says_which_channel_was_not_reached(tmp_path: Path) -> None:
    said = conda_packages(
        tmp_path / "packages", "--channel", NO_CHANNEL, "--only", "torchml-installer"
    )
    assert f"could not be reached ({NO_CHANNEL}" in said
    assert "-c file:///path/to/channel" in said


def test_a_build_in_a_folder_with_spaces_is_told_to_go_elsewhere(tmp_path: Path) -> None:
    said = conda_packages(tmp_path / "my packages", "--only", "torchml-installer")
    assert f"{tmp_path / 'my packages'} has a space in its path" in said
    assert "python -m ci.conda_packages /tmp/packages" in said
    assert not (tmp_path / "my packages").exists()


def test_a_build_with_a_channel_that_is_none_says_so(tmp_path: Path) -> None:
    said = conda_packages(tmp_path / "packages", "--channel", (tmp_path / "x").as_uri())
    assert f"{(tmp_path / 'x').as_uri()}: not a channel" in said
    assert "python -m tests.conda.channel" in said


def test_a_build_into_what_is_no_folder_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said = conda_packages(tmp_path / "file/packages")
    assert "no folder for packages can be created there: Not a directory" in said


@pytest.mark.parametrize(
    ("contents", "complaint"),
    [(None, "No such file"), ("{", "Expecting property name"), ('{"mpi": "nompi"}', "of lists")],
)
def test_variants_that_cannot_be_read_are_named(
    contents: str | None, complaint: str, tmp_path: Path
) -> None:
    path = tmp_path / "variants.json"
    if contents is not None:
        path.write_text(contents)
    said = conda_packages(tmp_path / "packages", "--variants", path, code=2)
    assert f"--variants {path}: " in said
    assert complaint in said


def mirror_of(channels: Sequence[Path], folder: Path, *left_out: str) -> Path:
    """Combines several channels into one, without packages whose file names start so."""
    for channel in channels:
        for package in channel.glob("*/*.conda"):
            if package.parent.name in PLATFORMS and not package.name.startswith(left_out):
                link = folder / package.parent.name / package.name
                link.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(package, link)  # symbolic links are not indexed
    asyncio.run(rattler.index.index_fs(folder))
    return folder


@pytest.mark.slow
def test_a_build_with_a_channel_without_pytorch_says_so(
    offline_channel: Path, channels: Channels, tmp_path: Path
) -> None:
    less = mirror_of([offline_channel / "channel"], tmp_path / "less", "pytorch-", "libtorch-")
    options = ["--variants", str(offline_channel / "variants.yaml"), "--only", "torchml-driver"]
    named = ["--channel", less.as_uri(), "--channel", channels.ours.as_uri()]
    said = conda_packages(tmp_path / "packages", *named, *options)
    assert re.search(r"The channels have no (package )?libtorch\b", said)
    assert "conda-forge" in said


#: A substitute for conda, as far as `deps` uses it, with pixi's solver and installer: only conda's
#: own channels have conda itself.
CONDA = """\
#!{python}
import argparse, asyncio, json, os, sys
from pathlib import Path
import rattler

parser = argparse.ArgumentParser()
parser.add_argument("verb", choices=["install"])
parser.add_argument("-y", action="store_true", required=True)
parser.add_argument("-p", dest="prefix", type=Path, required=True)
parser.add_argument("-c", dest="channel", action="append", required=True)
parser.add_argument("specs", nargs="+")
asked = parser.parse_args()
there = [rattler.PrefixRecord.from_path(path) for path in asked.prefix.glob("conda-meta/*.json")]
# What was asked for before is asked for again.
history = json.loads((asked.prefix / "conda-meta/history").read_text().partition(": ")[2])
try:
    records = asyncio.run(
        rattler.solve(
            [f"{{os.environ['CONDA_CHANNEL_ALIAS']}}/{{name}}" for name in asked.channel],
            [*asked.specs, *history],
            virtual_packages=rattler.VirtualPackage.detect(),
            locked_packages=there,
        )
    )
except Exception as error:
    sys.exit(f"Could not solve for environment specs: {{error}}")
asyncio.run(rattler.install(records, target_prefix=asked.prefix, show_progress=False))
"""


@dataclass(frozen=True)
class Deps:
    """A conda environment in which torchml-install finds that conda."""

    environment: CondaEnvironment
    programs: Path

    def run(self, alias: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Runs `deps` with a mirror instead of conda-forge."""
        return subprocess.run(
            [self.environment.prefix / "bin/torchml-install", "deps", "--provider=conda", *words],
            env={
                "CONDA_PREFIX": str(self.environment.prefix),
                "CONDA_CHANNEL_ALIAS": alias,
                "PATH": f"{self.programs}:{self.environment.prefix}/bin",
                "HOME": str(self.environment.work),
            },
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def with_conda(
    channels: Channels, make_environment: Callable[[str], CondaEnvironment], tmp_path: Path
) -> Callable[..., Deps]:
    """Makes an environment with a user's packages, including torchml-install."""

    def make(*asked: str) -> Deps:
        made = make_environment("environment")
        made.install(channels.solve(*asked), asked)
        conda = tmp_path / "bin/conda"
        conda.parent.mkdir(exist_ok=True)
        conda.write_text(CONDA.format(python=sys.executable))
        conda.chmod(0o755)
        return Deps(made, conda.parent)

    return make


@pytest.mark.slow
def test_doctor_sees_pip_s_torch_over_conda_s_and_what_it_says_helps(
    channels: Channels, make_environment: Callable[[str], CondaEnvironment]
) -> None:
    torch = pytest.importorskip("torch", reason="which torch shall pip install?")
    made = make_environment("environment")
    wanted = channels.solve("torchml-installer", "torchml-driver", "pytorch", "pip")
    made.install(wanted)

    def known_problems() -> list[str]:
        done = subprocess.run(
            [made.prefix / "bin/torchml-install", "doctor", "--json"],
            env={"HOME": str(made.work)},
            capture_output=True,
            text=True,
            check=False,
        )
        problems = json.loads(done.stdout)["known_problems"]
        return [item["explanation"] for item in problems if item["name"] == "two-torches"]

    assert known_problems() == []
    pip = ["-m", "pip", "install", "--no-deps", "--force-reinstall", f"torch=={torch.__version__}"]
    settings = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    made.run("python", *pip, HOME=os.environ["HOME"], **settings)
    (explanation,) = known_problems()
    uninstall, reinstall = re.findall("`(.+?)`", explanation)[:2]
    assert shlex.split(uninstall)[1:] == ["-m", "pip", "uninstall", "torch"]
    run([*shlex.split(uninstall), "-y"], env={})
    assert "--force-reinstall" in reinstall
    assert reinstall.endswith(" pytorch")
    made.install(wanted, again=["pytorch"])
    assert known_problems() == []
    assert made.run("python", "-c", "import torch; print(torch.ones(2).sum().item())") == "2.0\n"


@pytest.mark.slow
def test_deps_says_what_conda_refused_and_what_to_do(
    with_conda: Callable[..., Deps], channels: Channels, tmp_path: Path
) -> None:
    every = [channels.ours, channels.offline]
    mirror = tmp_path / "mirror"
    mirror_of(every, mirror / "conda-forge", "ase-")

    bare = with_conda("torchml-installer")
    refused = bare.run(mirror.as_uri(), "--with", "ase")
    assert refused.returncode == PackageInstallError.exit_code, refused.stderr
    assert "The channels have no package ase." in refused.stderr
    assert "conda install -c conda-forge ase" in refused.stderr
    refused = bare.run(NO_CHANNEL, "--with", "ase")
    assert refused.returncode == PackageInstallError.exit_code, refused.stderr
    assert "cannot fetch ase from 127.0.0.1: " in refused.stderr
    assert "conda-pack" in refused.stderr
    brought = bare.run(mirror.as_uri(), "--with", "numpy")
    assert brought.returncode == 0, brought.stderr
    assert "Installed numpy by conda" in brought.stdout

    whole = tmp_path / "whole"
    mirror_of(every, whole / "conda-forge")
    mpich = with_conda("torchml-installer", "torchml-driver * *mpi_mpich*")
    refused = mpich.run(whole.as_uri(), "--with", "lammps")
    assert refused.returncode == PackageInstallError.exit_code, refused.stderr
    assert "Open MPI and MPICH are both requested" in refused.stderr
    assert "'torchml-driver=*=*nompi*'" in refused.stderr
