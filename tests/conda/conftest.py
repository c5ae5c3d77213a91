"""Fixtures: the offline channel, our packages built with it, and an environment of both."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import KEPT, ROOT, run
from tests.support.keeping import in_use

pytest.importorskip("rattler", reason="py-rattler is not installed")
pytest.importorskip("rattler_build", reason="py-rattler-build is not installed")

import rattler

from tests.conda.offline import offline_folder, sources_digest
from tests.conda.snapshot import MetadataChannel
from tests.support.structures import EXAMPLE_MODEL

#: conda replaces prefixes of up to 255 characters; this is about as long as paths get in practice.
LONG_NAME = "a-prefix-that-is-as-long-as-they-get-on-shared-file-systems-" + 4 * "of-clusters-"

#: Prints the energy of the example model in rattled silicon.
ENERGY_PROGRAM = f"""\
from ase.build import bulk
from ase.calculators.kim import KIM
atoms = bulk("Si", a=5.43, cubic=True) * (2, 2, 2)
atoms.rattle(0.1, seed=7)
atoms.calc = KIM("{EXAMPLE_MODEL}")
print(repr(float(atoms.get_potential_energy())))
"""


@pytest.fixture(scope="session")
def channel(tmp_path_factory: pytest.TempPathFactory) -> MetadataChannel:
    """conda-forge's metadata and ours; tests must not change it."""
    made = MetadataChannel(tmp_path_factory.mktemp("metadata"))
    made.add_our_recipes()
    return made


@dataclass(frozen=True)
class Channels:
    """Channels with our packages, and with those of the offline channel, which ours require."""

    ours: Path
    offline: Path

    def urls(self) -> list[str]:
        return [self.ours.as_uri(), self.offline.as_uri()]

    def solve(
        self, *specs: str, without: Sequence[str] = (), cuda: str | None = None
    ) -> list[rattler.RepoDataRecord]:
        """The contents of a conda environment with these specifications.

        cuda: the CUDA version of the target machine, if any.
        """
        overrides = rattler.VirtualPackageOverrides(cuda=cuda and rattler.Override.string(cuda))
        virtual = rattler.VirtualPackage.detect(overrides)
        excluded = [f"{name} ==0" for name in without]
        return asyncio.run(
            rattler.solve(self.urls(), list(specs), virtual_packages=virtual, constraints=excluded)
        )


@pytest.fixture(scope="session")
def offline_channel() -> Path:
    """A folder with channel/ and variants.yaml."""
    return offline_folder()


@pytest.fixture(scope="session")
def channels(offline_channel: Path) -> Channels:
    """Builds our recipes and runs their tests, once for each state of the sources."""
    digest = sources_digest(offline_channel)
    ours = KEPT / "conda-packages"
    stamp = ours / "stamp"

    def make() -> None:
        shutil.rmtree(ours, ignore_errors=True)
        variants = offline_channel / "variants.yaml"
        channel = (offline_channel / "channel").as_uri()
        command = [sys.executable, "-m", "ci.conda_packages", ours]
        run([*command, "--channel", channel, "--variants", variants], cwd=ROOT)
        # Drivers for another torch and another Python; there is no torch to test the latter with.
        only = ["--only", "torchml-driver"]
        cuda = {**os.environ, "CONDA_OVERRIDE_CUDA": "12.9"}
        options = ["--variants", offline_channel / "variants-cuda.yaml", *only]
        run([*command, "--channel", channel, *options], cwd=ROOT, env=cuda)
        for others in offline_channel.glob("variants-py*.yaml"):
            options = ["--variants", others, *only, "--no-tests"]
            run([*command, "--channel", channel, *options], cwd=ROOT)
        shutil.rmtree(ours / "bld", ignore_errors=True)
        stamp.write_text(digest)

    in_use(ours, lambda: stamp.is_file() and stamp.read_text() == digest, make)
    return Channels(ours, offline_channel / "channel")


@dataclass(frozen=True)
class CondaEnvironment:
    """An installed prefix. Its programs run with an empty environment, without activation."""

    prefix: Path
    work: Path

    def install(
        self,
        records: Sequence[rattler.RepoDataRecord],
        asked: Sequence[str] = (),
        again: Sequence[str] = (),
    ) -> None:
        """Installs exactly these packages into the prefix.

        asked: the user's specifications, which conda records in its history and requests again.
        again: packages to reinstall.
        """
        asyncio.run(
            rattler.install(
                list(records),
                target_prefix=self.prefix,
                show_progress=False,
                reinstall_packages=set(again),
            )
        )
        if asked:
            history = self.prefix / "conda-meta/history"
            history.write_text(f"# update specs: {json.dumps(list(asked))}\n")

    def run(self, program: str, *arguments: str | Path, **variables: str) -> str:
        """Runs one of its programs with only these environment variables."""
        return run([self.prefix / "bin" / program, *arguments], cwd=self.work, env=variables)

    def contents(self) -> set[Path]:
        """Every file, link and folder below the prefix, except conda's own records."""
        found = (path.relative_to(self.prefix) for path in self.prefix.rglob("*"))
        return {path for path in found if path.parts[0] != "conda-meta"}

    def left_over(self, before: Set[Path]) -> set[Path]:
        """New files, except the bytecode of modules that existed before."""

        def is_theirs(path: Path) -> bool:
            if path.name == "__pycache__":
                return path.parent in before
            module = path.parent.parent / f"{path.name.partition('.')[0]}.py"
            return path.parent.name == "__pycache__" and module in before

        return {path for path in self.contents() - before if not is_theirs(path)}


@pytest.fixture(scope="session")
def make_environment(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str], CondaEnvironment]:
    """Makes empty environments in folders of given names."""

    def make(name: str) -> CondaEnvironment:
        folder = tmp_path_factory.mktemp("conda")
        (folder / "work").mkdir()
        return CondaEnvironment(folder / name, folder / "work")

    return make
