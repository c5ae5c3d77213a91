"""The container's recipe is built as a user builds it, but from a Debian that debootstrap makes."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.clean.machines import obstacle
from tests.clean.smallest_debian import network_settings, pip_settings, smallest_debian
from tests.support import ROOT, run

RECIPES = ROOT / "recipes/container"


def test_docker_and_apptainer_begin_alike_and_run_the_same_script() -> None:
    docker = (RECIPES / "Dockerfile").read_text()
    apptainer = (RECIPES / "torchml.def").read_text()
    for pattern in (
        r"^F(?:ROM|rom:) (\S+)$",
        r"^ *(?:RUN )?bash (\S+/install\.sh \S+)",
        r"(?:ENV|export) PATH=(\S+)",
        r"--build-arg TORCH_INDEX=(\S+)",
    ):
        (one,) = re.findall(pattern, docker, re.MULTILINE)
        (other,) = re.findall(pattern, apptainer, re.MULTILINE)
        assert one == other


def test_every_way_in_begins_with_the_debian_that_pages_name() -> None:
    """12, called bookworm."""
    pages = (ROOT / "README.md", *(ROOT / "docs/install").glob("*.md"))
    assert any("fresh Debian 12 " in page.read_text() for page in pages)
    for name, pattern in (
        ("recipes/container/Dockerfile", r"^FROM debian:(\w+)"),
        ("recipes/container/torchml.def", r"^From: debian:(\w+)"),
        ("ci/clean_root.sh", r'suite="\$\{DEBIAN_SUITE:-(\w+)\}"'),
        ("ci/gitlab.yml", r"^  image: debian:(\w+)"),
    ):
        (release,) = re.findall(pattern, (ROOT / name).read_text(), re.MULTILINE)
        assert release in ("12", "bookworm"), name


@dataclass(frozen=True)
class Buildah:
    """The program that builds containers without a daemon, with images in a separate folder."""

    folder: Path

    def __call__(self, *arguments: str | Path) -> str:
        storage = ("--root", self.folder / "images", "--runroot", self.folder / "run")
        environment = {**os.environ, "BUILDAH_ISOLATION": "chroot", "TMPDIR": str(self.folder)}
        return run(["buildah", *storage, *arguments], env=environment)

    def image(self, name: str, files: Path) -> None:
        """An image made from a folder, with this machine's network settings."""
        container = self("from", "scratch").strip()
        self("add", "--quiet", container, files, "/")
        settings = [f"--env={key}={value}" for key, value in network_settings().items()]
        self("config", *settings, container)
        self("commit", "--quiet", "--rm", container, name)


@pytest.fixture
def buildah(tmp_path: Path) -> Iterator[Buildah]:
    if reason := obstacle():
        pytest.skip(reason)
    for program in ("buildah", "debootstrap"):
        if shutil.which(program) is None:
            pytest.skip(f"there is no {program} (`apt install {program}`)")
    made = Buildah(tmp_path / "containers")
    made.folder.mkdir()
    try:
        yield made
    finally:
        made("rm", "--all")
        made("rmi", "--all", "--force")
        shutil.rmtree(made.folder, ignore_errors=True)


def volumes(places: Sequence[Path]) -> list[str]:
    return [f"--volume={place}:{place}:ro" for place in places]


@pytest.mark.slow
def test_the_container_computes_what_kims_own_potential_does(
    buildah: Buildah, tmp_path: Path
) -> None:
    with smallest_debian(tmp_path / "debian", "ca-certificates") as debian:
        base = re.search("^FROM (.*)$", (RECIPES / "Dockerfile").read_text(), re.MULTILINE)
        assert base is not None
        buildah.image(f"docker.io/library/{base[1]}", debian)
    mounted = volumes(pip_settings()[1])
    buildah("build", "--pull-never", *mounted, "-f", RECIPES / "Dockerfile", "-t", "torchml", ROOT)
    container = buildah("from", "--pull-never", *mounted, "torchml").strip()
    said = buildah("run", container, "--", "torchml-install", "quickstart")
    assert "energy (eV)" in said
    listed = buildah("run", container, "--", "kim-api-collections-management", "list")
    assert "TorchML__MD_173118614730_001" in listed.partition("System Collection")[2]
