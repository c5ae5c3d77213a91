"""The contents of a release, and when it is refused."""

from __future__ import annotations

import hashlib
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from ci.prebuilt import root as roots
from ci.release import sbom
from ci.release.sources import export
from ci.release.version import PLACES, version_of
from tests.conda.offline import offline_folder
from tests.support import ROOT, run
from tests.support.torch_models import torchscript
from tests.versions.toolchains import active_torch
from torchml_installer.deps import build_libdescriptor as libdescriptor

pytestmark = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a git checkout")

VERSION = version_of(ROOT)
#: What takes seconds.
QUICK = ("--without", "driver-wheel", "--without", "conda")
WHO = ("-c", "user.name=A Maintainer", "-c", "user.email=maintainer@example.org")


@dataclass(frozen=True)
class Repository:
    """A git repository with this checkout's files, all committed."""

    root: Path

    def git(self, *arguments: str) -> str:
        return run(["git", "-C", self.root, *WHO, *arguments])

    def release(
        self, *options: str | Path, env: Mapping[str, str] | None = None, umask: int = 0o022
    ) -> subprocess.CompletedProcess[str]:
        """Runs the command, which finds its own code in the repository."""
        variables = {**os.environ, **(env or {})}
        variables.pop("PYTHONPATH", None)
        return subprocess.run(
            [sys.executable, "-m", "ci.release", *map(str, options)],
            cwd=self.root,
            env=variables,
            umask=umask,
            capture_output=True,
            text=True,
            check=False,
        )

    def make(self, *options: str | Path, **more: object) -> Path:
        """Makes a release, which must succeed; returns dist/."""
        done = self.release(*options, **more)  # type: ignore[arg-type]
        assert done.returncode == 0, done.stdout + done.stderr
        return self.root / "dist"


@pytest.fixture(scope="session")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """With one commit, that has an entry in CHANGELOG.md."""
    root = tmp_path_factory.mktemp("origin") / "torchml-driver"
    export(ROOT, root, 1_700_000_000)
    changelog = root / "CHANGELOG.md"
    changelog.write_text(changelog.read_text().replace("## Unreleased", f"## {VERSION}", 1))
    repository = Repository(root)
    repository.git("init", "--quiet", "--initial-branch=main")
    repository.git("add", "--all")
    repository.git("commit", "--quiet", "--message=Release", "--date=2026-01-02T03:04:05Z")
    return repository


@pytest.fixture
def clone(origin: Repository, tmp_path: Path) -> Callable[[str], Repository]:
    def make(name: str) -> Repository:
        run(["git", "clone", "--quiet", origin.root, tmp_path / name])
        return Repository(tmp_path / name)

    return make


@pytest.fixture(scope="session")
def quick(origin: Repository, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """sdists and the installer's wheel."""
    output = tmp_path_factory.mktemp("release") / "dist"
    origin.make(*QUICK, "--output", output)
    return output


def contents(dist: Path) -> dict[str, str]:
    return {
        path.relative_to(dist).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in dist.rglob("*")
        if path.is_file()
    }


#: Of another maintainer.
OTHERWISE = {"LC_ALL": "C", "TZ": "Asia/Kolkata", "USER": "somebody", "PYTHONHASHSEED": "7"}


def test_another_maintainer_builds_the_same_bytes(
    quick: Path, clone: Callable[[str], Repository]
) -> None:
    other = clone("quite another place").make(*QUICK, env=OTHERWISE, umask=0o077)
    assert contents(other) == contents(quick)
    assert sorted(contents(quick)) == [
        "RELEASE_NOTES.md",
        "SHA256SUMS",
        f"torchml-driver-{VERSION}.cdx.json",
        f"torchml_driver-{VERSION}.tar.gz",
        f"torchml_installer-{VERSION}-py3-none-any.whl",
        f"torchml_installer-{VERSION}.tar.gz",
    ]


def test_users_can_check_the_files_with_the_command_in_the_release_notes(quick: Path) -> None:
    notes = (quick / "RELEASE_NOTES.md").read_text()
    command = "sha256sum --check --ignore-missing SHA256SUMS"
    assert command in notes
    assert f"# torchml-driver {VERSION}" in notes
    # They do not mention what is missing, neither built nor requested.
    assert f"pip install torchml_installer-{VERSION}-py3-none-any.whl" in notes
    assert "The folder `conda/`" not in notes
    assert "A wheel of torchml_driver" not in notes
    assert "FAILED" not in run(command.split(), cwd=quick)


def test_the_wheel_is_the_one_that_its_sdist_gives(quick: Path, tmp_path: Path) -> None:
    with tarfile.open(quick / f"torchml_installer-{VERSION}.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
        epoch = archive.getmembers()[0].mtime
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path]
    env = {**os.environ, "SOURCE_DATE_EPOCH": str(int(epoch))}
    run([*command, tmp_path / f"torchml_installer-{VERSION}"], env=env)
    name = f"torchml_installer-{VERSION}-py3-none-any.whl"
    assert (tmp_path / name).read_bytes() == (quick / name).read_bytes()


def test_what_is_handed_on_carries_its_license(quick: Path) -> None:
    for archive in quick.glob("*.tar.gz"):
        with tarfile.open(archive) as opened:
            names = [name.partition("/")[2] for name in opened.getnames()]
        assert "LICENSE" in names
        own = [name for name in names if not name.startswith("tests/data/")]
        assert not [name for name in own if name.endswith((".pt", ".pyc", ".so", ".log"))]
    with zipfile.ZipFile(quick / f"torchml_installer-{VERSION}-py3-none-any.whl") as opened:
        names = opened.namelist()
    assert [name for name in names if name.endswith("LICENSE")]
    assert "torchml_installer/_share/driver_src/CMakeLists.txt" in names


def test_the_site_is_not_handed_on(quick: Path) -> None:
    """It is read, not installed; and its builder would be a dependency."""
    for archive in quick.glob("*.tar.gz"):
        with tarfile.open(archive) as opened:
            names = [name.partition("/")[2] for name in opened.getnames()]
        assert not [name for name in names if name.startswith("docs/")]
    with zipfile.ZipFile(quick / f"torchml_installer-{VERSION}-py3-none-any.whl") as opened:
        assert not [name for name in opened.namelist() if "docs/" in name or "conf.py" in name]
        (metadata,) = [name for name in opened.namelist() if name.endswith("/METADATA")]
        required = re.findall(r"^Requires-Dist: (\S+)$", opened.read(metadata).decode(), re.M)
    assert {re.split("[>=<]", one)[0] for one in required} == {"click", "rich"}


def test_the_bill_of_materials_is_cyclonedx_and_names_every_file(quick: Path) -> None:
    text = (quick / f"torchml-driver-{VERSION}.cdx.json").read_text()
    sbom.check(text)
    document = json.loads(text)
    components = {component["name"]: component for component in document["components"]}
    files = {name: digest for name, digest in contents(quick).items() if name.endswith("z")}
    assert files
    for name, digest in files.items():
        assert components[name]["hashes"] == [{"alg": "SHA-256", "content": digest}]
    for project, wanted in sbom.requirements_of(ROOT).items():
        assert components[project]["version"] == VERSION
        assert {requirement.name for requirement in wanted} <= set(components)
    uses = {entry["ref"]: entry.get("dependsOn", []) for entry in document["dependencies"]}
    assert "pkg:generic/kim-api" in uses[f"pkg:pypi/torchml-driver@{VERSION}"]
    assert "pkg:pypi/click" in uses[f"pkg:pypi/torchml-installer@{VERSION}"]


def test_the_bill_of_materials_names_what_other_projects_made(quick: Path) -> None:
    text = (quick / f"torchml-driver-{VERSION}.cdx.json").read_text()
    (component,) = (
        component
        for component in json.loads(text)["components"]
        if component.get("purl") == f"pkg:pypi/libdescriptor@{libdescriptor.VERSION}"
    )
    assert component["licenses"] == [{"expression": "LGPL-2.1-only"}]
    assert component["hashes"] == [{"alg": "SHA-256", "content": libdescriptor.WHEEL.sha256}]


def refused(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.fixture
def mine(clone: Callable[[str], Repository]) -> Iterator[Repository]:
    """A clone with an earlier release, which a refused one leaves unchanged."""
    repository = clone("mine")
    dist = repository.root / "dist"
    dist.mkdir()
    (dist / "SHA256SUMS").write_text("of before\n")
    yield repository
    assert contents(dist).keys() == {"SHA256SUMS"}
    assert not list(repository.root.glob(".dist*"))


def test_what_is_not_committed_is_not_released(mine: Repository) -> None:
    (mine.root / "README.md").write_text("another\n")
    (mine.root / "forgotten.py").write_text("pass\n")
    said = refused(mine.release(*QUICK))
    assert "README.md" in said
    assert "forgotten.py" in said
    assert "git stash" in said


def test_a_version_without_news_is_not_released(mine: Repository) -> None:
    path = mine.root / "CHANGELOG.md"
    path.write_text(path.read_text().replace(f"## {VERSION}", "## Unreleased"))
    mine.git("commit", "--quiet", "--all", "--message=No news")
    assert f"CHANGELOG.md has no entry for {VERSION}" in refused(mine.release(*QUICK))


@pytest.mark.parametrize("annotated", [True, False])
def test_a_version_is_not_released_twice(mine: Repository, annotated: bool) -> None:
    options = ["--annotate", "--message=Release"] if annotated else []
    mine.git("tag", *options, f"v{VERSION}")
    tagged = mine.git("rev-parse", "HEAD").strip()
    mine.git("commit", "--quiet", "--allow-empty", "--message=Later")
    said = refused(mine.release(*QUICK))
    assert f"the tag v{VERSION} is on commit {tagged[:12]}" in said
    assert "--set-version" in said


def test_files_that_state_different_versions_are_not_released(mine: Repository) -> None:
    path = mine.root / "driver_src/pyproject.toml"
    path.write_text(path.read_text().replace(f'version = "{VERSION}"', 'version = "9.8.7"', 1))
    said = refused(mine.release("--draft", *QUICK))
    assert "driver_src/pyproject.toml says 9.8.7" in said


def test_a_failed_build_leaves_the_earlier_release(mine: Repository) -> None:
    (mine.root / "torchml_installer/__init__.py").rename(mine.root / "torchml_installer/x.py")
    path = mine.root / "torchml_installer/__init__.py"
    path.write_text(f'__version__ = "{VERSION}"\n')
    (mine.root / "README.md").unlink()
    done = mine.release("--draft", *QUICK)
    assert done.returncode == 1
    assert done.stderr.startswith("error: `")  # and then the end of that command's output
    assert "README.md" in done.stderr


def test_a_channel_that_is_not_reached_is_told_with_a_log_that_stays(mine: Repository) -> None:
    pytest.importorskip("rattler_build", reason="py-rattler-build is not installed")
    nobody = "http://127.0.0.1:9/none"  # the discard port
    others = ("installer", "driver-sdist", "driver-wheel")
    without = [word for kind in others for word in ("--without", kind)]
    said = refused(mine.release("--draft", *without, "--conda-channel", nobody))
    assert f"could not be reached ({nobody}" in said
    assert "--conda-channel" in said
    (log,) = re.findall(r"^ *Full log: (\S+)$", said, re.MULTILINE)
    assert "Starting build" in Path(log).read_text()
    shutil.rmtree(Path(log).parent)


def test_other_files_in_dist_are_not_touched(clone: Callable[[str], Repository]) -> None:
    repository = clone("other")
    (repository.root / "dist").mkdir()
    (repository.root / "dist/thesis.pdf").write_text("irreplaceable")
    said = refused(repository.release(*QUICK, "--without", "driver-sdist"))
    assert "files that no release wrote" in said
    assert contents(repository.root / "dist").keys() == {"thesis.pdf"}


def test_a_new_version_is_written_everywhere(clone: Callable[[str], Repository]) -> None:
    repository = clone("next")
    assert repository.release("--set-version", "9.8.7").returncode == 0
    assert version_of(repository.root) == "9.8.7"
    changed = repository.git("diff", "--name-only").split()
    assert sorted(changed) == sorted(place.path for place in PLACES)
    # Including the CI templates, which fetch their own release.
    for name in repository.git("ls-files", "ci/github", "ci/gitlab.yml", "recipes").split():
        assert VERSION not in (repository.root / name).read_text("utf-8"), name
    assert "is not a valid version" in refused(repository.release("--set-version", "next"))


@pytest.mark.slow
def test_the_wheel_alone_brings_the_command(quick: Path, tmp_path: Path) -> None:
    run([sys.executable, "-m", "venv", tmp_path / "venv"])
    wheel = quick / f"torchml_installer-{VERSION}-py3-none-any.whl"
    run([tmp_path / "venv/bin/python", "-m", "pip", "install", "--quiet", wheel])
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    said = run([tmp_path / "venv/bin/torchml-install", "--version"], env=env, cwd=tmp_path)
    assert VERSION in said


def test_model_files_in_packages_do_not_say_where_they_were_made(tmp_path: Path) -> None:
    """Nor the place of torch's sources: a package is made in another folder each time."""
    recipe = runpy.run_path(str(ROOT / "recipes/torchml-example-models/install_example.py"))
    network = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Tanh()).double()
    file = tmp_path / "network.pt"
    file.write_bytes(torchscript(network))
    recipe["leave_out_places"](file)
    with zipfile.ZipFile(file) as archive:
        text = b"".join(archive.read(name) for name in archive.namelist())
    for place in (active_torch(), ROOT, Path("torch/nn/modules/linear.py")):
        assert os.fsencode(place) not in text
    given = torch.ones(2, 3, dtype=torch.float64)
    assert torch.equal(torch.jit.load(str(file))(given), network(given))


@pytest.fixture(scope="module")
def conda_options() -> tuple[str | Path, ...]:
    """From a channel with this machine's packages."""
    pytest.importorskip("rattler_build", reason="py-rattler-build is not installed")
    folder = offline_folder()
    narrowed = {**json.loads((folder / "variants.yaml").read_text()), "mpi": ["nompi"]}
    (folder / "variants-release.yaml").write_text(json.dumps(narrowed))
    channel = (folder / "channel").as_uri()
    return ("--conda-channel", channel, "--conda-variants", folder / "variants-release.yaml")


@pytest.mark.slow
def test_another_maintainer_builds_the_same_binaries(
    clone: Callable[[str], Repository],
    conda_options: tuple[str | Path, ...],
    tmp_path: Path,
) -> None:
    """Compiled code and conda packages, too; and the wheel works with this Python's torch."""
    if reason := roots.obstacle():
        pytest.skip(f"prebuilt drivers cannot be made here: {reason}")
    release = torch.__version__.partition("+")[0]
    options = (*conda_options, "--torch", release)
    first = clone("first").make(*options)
    (tmp_path / "temporary").mkdir()
    env = {**OTHERWISE, "TMPDIR": str(tmp_path / "temporary"), "CCACHE_DISABLE": "1"}
    second = clone("the second one").make(*options, env=env, umask=0o077)
    assert contents(second) == contents(first)
    made = {Path(name).name.partition("-")[0] for name in contents(first)}
    assert {"torchml_driver", "torchml"} <= made
    assert len(list(first.glob("conda/*/torchml-*.conda"))) == 4

    (wheel,) = first.glob("torchml_driver-*.whl")
    module = tmp_path / "module"
    run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "-t", module, wheel])
    # Where pip would install it: next to the torch whose libraries it needs.
    (module / "torch").symlink_to(active_torch())
    program = "import torchml_driver; print(torchml_driver.__file__)"
    said = run([sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": str(module)})
    assert Path(said.strip()).is_relative_to(module)
