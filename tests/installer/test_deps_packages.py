"""`deps` has package managers install what is missing, and says what to do where none can.

conda and apt would change the machine that tests run on: scripts stand in for them, which note how
they were called. pip and archives are real.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from uv import find_uv_bin

from tests.clean.machines import seed
from tests.installer.packages_machine import INSTALLS_XXD, PackagesMachine
from tests.installer.synthetic_machines import (
    ODD_NAME,
    OLD_ABI,
    REPOSITORY,
    Machine,
    Outcome,
    make_torch,
    make_wheel,
    write,
)
from torchml_installer.deps import packages, providers
from torchml_installer.deps.needs import NEEDS
from torchml_installer.deps.record import DepsOptions
from torchml_installer.detect import survey
from torchml_installer.detect.record import Finding
from torchml_installer.errors import (
    BadOptionError,
    DiskFullError,
    DownloadFailedError,
    NoProviderError,
    NoTorchError,
    OldAbiTorchError,
    OutputExistsError,
    PackageInstallError,
)
from torchml_installer.support import offline


@pytest.fixture
def bare(machine: Machine) -> PackagesMachine:
    return PackagesMachine(machine)


class TestConda:
    def test_packages_go_into_the_active_environment(self, bare: PackagesMachine) -> None:
        bare.conda()
        outcome = bare.install("deps", "--with", "xxd")
        assert outcome.code == 0, outcome.err
        expected = ["install", "-y", "-p", sys.prefix, "-c", "conda-forge", "vim"]
        assert bare.called() == ["conda", *expected]
        assert "Installed xxd with conda" in outcome.out

    def test_the_program_that_shells_hide_is_found(self, bare: PackagesMachine) -> None:
        bare.conda()
        (bare.programs / "conda").unlink()
        bare.environment["MAMBA_EXE"] = str(bare.program("micromamba", INSTALLS_XXD))
        assert bare.install("deps", "--with", "xxd").code == 0
        assert bare.called()[0] == "micromamba"

    def test_a_pixi_project_gets_the_dependency(self, bare: PackagesMachine) -> None:
        bare.conda()
        bare.program("pixi")
        bare.environment["PIXI_PROJECT_MANIFEST"] = "/my project/pixi.toml"
        outcome = bare.install("deps", "--with", "xxd", "--dry-run")
        assert "pixi' add --manifest-path '/my project/pixi.toml' vim" in outcome.out
        assert bare.called() == []

    def test_force_asks_for_what_is_there_already(self, bare: PackagesMachine) -> None:
        bare.conda()
        bare.program("xxd")
        outcome = bare.install("deps", "--with", "xxd", "--force")
        assert outcome.code == 0, outcome.err
        assert bare.called()[-1] == "vim"

    def test_a_chosen_conda_without_an_environment_is_not_replaced_by_pip(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("CONDA_PREFIX", raising=False)
        with pytest.raises(NoProviderError, match="CONDA_PREFIX is not set"):
            packages.plan([NEEDS["ase"]], DepsOptions(provider="conda"))

    @pytest.fixture
    def environment(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """An active conda environment with a driver for MPICH."""
        for record in ("torchml-driver-0.1.0-cpu_py312_mpi_mpich_h1_0", "kim-api-2.4.2-h0_0"):
            write(tmp_path / f"conda/conda-meta/{record}.json", "{}")
        write(tmp_path / "conda/conda-meta/mpich-4.3.2-h0_100.json", "{}")
        monkeypatch.setenv("CONDA_PREFIX", str(tmp_path / "conda"))
        monkeypatch.delenv("PIXI_PROJECT_MANIFEST", raising=False)
        monkeypatch.setenv("CONDA_EXE", str(write(tmp_path / "conda.sh", executable=True)))
        return tmp_path / "conda"

    def test_the_driver_and_the_kim_api_that_are_there_are_kept(self, environment: Path) -> None:
        (step,) = packages.plan([NEEDS["lammps"]], DepsOptions(provider="conda"))
        kept = ("torchml-driver ==0.1.0 cpu_py312_mpi_mpich_h1_0", "kim-api 2.4.*")
        assert set(step.command[-3:]) == {"lammps", *kept}
        (step,) = packages.plan([NEEDS["kim-api"]], DepsOptions(provider="conda"))
        assert not any(word.startswith("kim-api ") for word in step.command)

    def test_a_pixi_project_is_not_given_more_than_was_asked_for(
        self, environment: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PIXI_PROJECT_MANIFEST", "/project/pixi.toml")
        (step,) = packages.plan([NEEDS["lammps"]], DepsOptions(provider="conda"))
        assert step.command[-1] == "lammps"
        assert not any("torchml-driver" in word for word in step.command)

    def test_the_environment_s_own_mpi_is_asked_for(self, environment: Path) -> None:
        (step,) = packages.plan([NEEDS["mpi"]], DepsOptions(provider="conda"))
        assert "mpich" in step.command
        assert "openmpi" not in step.command

    @pytest.mark.parametrize(
        ("where", "provider", "met"),
        [
            ("/usr", "conda", False),
            ("/usr", "pip", True),
            ("/usr", "auto", True),  # the active Python is another's
            ("/opt/kim", "conda", True),
            ("conda", "conda", True),
        ],
    )
    def test_debian_s_copies_do_not_count_in_an_environment(
        self, where: str, provider: str, met: bool, environment: Path
    ) -> None:
        options = DepsOptions(provider=provider)
        place = environment if where == "conda" else Path(where)
        facts = survey(options.places)
        kim = replace(
            facts.toolchain.kim, where=place, how="x", version="2.3.0", problem=None, needed=True
        )
        facts = replace(facts, toolchain=replace(facts.toolchain, kim=kim))
        assert packages.missing(["kim-api"], facts, options) == ([] if met else [NEEDS["kim-api"]])

    @pytest.mark.parametrize(("version", "told"), [("2.3.0", 0), ("2.4.2", 1)])
    def test_models_that_conda_refuses_beside_a_newer_kim_api_are_told_of(
        self, version: str, told: int, environment: Path
    ) -> None:
        options = DepsOptions(provider="conda")
        facts = survey(options.places)
        kim = replace(facts.toolchain.kim, where=environment, version=version, problem=None)
        facts = replace(facts, toolchain=replace(facts.toolchain, kim=kim))
        steps = packages.plan([NEEDS["openkim-models"]], options)
        hints = packages.hints(steps, options, facts)
        assert len(hints) == told
        assert all("kim-api-collections-management install user" in hint for hint in hints)

    def test_a_failure_shows_what_conda_said(self, bare: PackagesMachine) -> None:
        bare.conda("echo 'PackagesNotFoundError: vim'; exit 1")
        outcome = bare.install("deps", "--with", "xxd")
        assert outcome.code == PackageInstallError.exit_code
        assert "PackagesNotFoundError: vim" in outcome.err
        assert "deps-packages.log" in outcome.err

    def test_a_full_disk_is_said_plainly(self, bare: PackagesMachine) -> None:
        bare.conda("echo '[Errno 28] No space left on device'; exit 1")
        outcome = bare.install("deps", "--with", "xxd")
        assert outcome.code == DiskFullError.exit_code
        assert "no space left" in outcome.err

    def test_an_installation_that_brought_nothing_is_no_success(
        self, bare: PackagesMachine
    ) -> None:
        bare.conda("")
        outcome = bare.install("deps", "--with", "xxd")
        assert outcome.code == PackageInstallError.exit_code
        assert "but cannot be found" in outcome.err


class TestApt:
    def test_lists_are_fetched_only_if_they_are_too_old(self, bare: PackagesMachine) -> None:
        bare.program("sudo", 'while [ "$1" = -n ]; do shift; done; exec "$@"')
        (bare.programs / "env").symlink_to("/usr/bin/env")
        (bare.programs / "true").symlink_to("/bin/true")
        known = f'[ -e "{bare.folder}/lists" ]'
        bare.program(
            "apt-get",
            f'if [ "$1" = update ]; then : > "{bare.folder}/lists"; exit; fi\n'
            f'case "$*" in *--simulate) {known}; exit ;; esac\n'
            f"{known} || exit 100\n{INSTALLS_XXD}",
        )
        words = ("deps", "--with", "xxd", "--provider", "apt")
        planned = bare.install(*words, "--dry-run")
        assert planned.code == 0, planned.err
        _title, update, install = planned.out.splitlines()
        assert update.endswith("env DEBIAN_FRONTEND=noninteractive apt-get update")
        assert install.endswith(" xxd")
        (step,) = json.loads(bare.install(*words, "--dry-run", "--json").out)["packages"]
        assert shlex.join(step["before"][0]) == update
        assert "update" not in bare.called()
        bare.calls.unlink()
        outcome = bare.install(*words)
        assert outcome.code == 0, outcome.err
        verbs = [word for word in bare.called() if word in ("install", "update", "--simulate")]
        assert verbs == ["install", "--simulate", "update", "install"]
        assert "-y" in bare.called()

    @pytest.fixture
    def step(self, monkeypatch: pytest.MonkeyPatch) -> packages.Step:
        """By an apt that knows all packages."""
        monkeypatch.setattr(providers, "superuser", lambda: ())
        monkeypatch.setattr(providers.shutil, "which", lambda name: f"/usr/bin/{name}")
        monkeypatch.setattr(providers, "dpkg_was_interrupted", lambda: False)
        monkeypatch.setattr(packages, "_would_work", lambda _step: True)
        monkeypatch.setattr(packages, "_PAUSE", 0.0)
        apt = providers.apt()
        return packages.Step(apt, ("xxd",), tuple(apt.command(["xxd"])))

    def test_lists_are_fetched_anew_where_they_name_what_is_no_more(
        self, step: packages.Step
    ) -> None:
        """A mirror has removed the version that the lists name: apt simulates it, and fails."""
        run: list[str] = []

        def execute(command: Sequence[str], title: str) -> None:
            run.append("update" if "update" in command else "install")
            if run == ["install"]:
                raise PackageInstallError("E: Failed to fetch http://m/xxd.deb  404  Not Found")

        step.run("installing xxd", execute)
        assert run == ["install", "update", "install"]

    def test_another_apt_is_waited_for(
        self, step: packages.Step, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """As it runs on a machine that has just been started."""
        tries: list[Sequence[str]] = []

        def execute(command: Sequence[str], title: str) -> None:
            tries.append(command)
            if len(tries) < 3:
                raise PackageInstallError("E: Could not get lock /var/lib/apt/lists/lock.")

        step.run("installing xxd", execute)
        assert tries == [step.command] * 3
        assert "waiting for another apt" in capsys.readouterr().err

    def test_any_other_failure_is_final(self, step: packages.Step) -> None:
        def execute(command: Sequence[str], title: str) -> None:
            raise PackageInstallError("E: Unable to locate package xxd")

        with pytest.raises(PackageInstallError, match="Unable to locate"):
            step.run("installing xxd", execute)

    def test_without_root_the_command_to_type_is_shown(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(providers, "superuser", lambda: None)
        monkeypatch.setattr(providers.shutil, "which", lambda name: f"/usr/bin/{name}")
        monkeypatch.delenv("CONDA_PREFIX", raising=False)
        with pytest.raises(NoProviderError) as caught:
            packages.plan([NEEDS["kim-api"]], DepsOptions())
        assert "sudo asks for a password" in caught.value.message
        assert "sudo apt-get install --no-install-recommends libkim-api-dev" in caught.value.remedy
        assert "libkim-api-dev" in caught.value.remedy


class TestChoice:
    def test_nothing_missing_runs_nothing(self, bare: PackagesMachine) -> None:
        bare.conda()
        bare.program("xxd")
        outcome = bare.install("deps", "--with", "xxd")
        assert (outcome.code, outcome.out.splitlines()[0]) == (0, "Nothing is missing.")
        assert bare.called() == []

    def test_nobody_who_can_is_an_error_with_every_reason(self, bare: PackagesMachine) -> None:
        outcome = bare.install("deps", "--with", "xxd")
        assert outcome.code == NoProviderError.exit_code
        assert "apt: this system has no apt-get" in outcome.err
        assert "conda: no conda environment is active" in outcome.err

    def test_pip_is_not_asked_for_what_it_has_not(self, bare: PackagesMachine) -> None:
        outcome = bare.install("deps", "--with", "xxd", "--provider", "pip")
        assert outcome.code == NoProviderError.exit_code
        assert "pip has no package for it" in outcome.err
        assert "conda and apt" in outcome.err

    def test_a_torch_that_the_user_chose_is_not_replaced(self, bare: PackagesMachine) -> None:
        bare.conda()
        bare.environment["TORCH_ROOT"] = str(bare.folder / "nowhere")
        outcome = bare.install("deps", "--with", "torch")
        assert outcome.code == NoTorchError.exit_code
        assert bare.called() == []

    def test_an_unknown_name_is_told_with_the_known_ones(self, bare: PackagesMachine) -> None:
        outcome = bare.install("deps", "--with", "lamps")
        assert outcome.code == 2
        assert "lammps" in outcome.err

    def test_torch_comes_from_the_index_that_is_named(self) -> None:
        options = DepsOptions(provider="pip", torch_index="https://example.org/whl/cpu")
        steps = packages.plan([NEEDS["torch"], NEEDS["vesin"]], options)
        first, second = (step.command for step in steps)
        assert first[-3:] == ("--index-url", "https://example.org/whl/cpu", "torch")
        assert second[-1] == "vesin"
        assert "--index-url" not in second

    @pytest.mark.parametrize(
        ("index", "driver", "told"),
        [(None, None, 1), (None, Path("/usr/lib/libcuda.so.1"), 0), (packages.CPU_INDEX, None, 0)],
    )
    def test_gigabytes_that_no_gpu_here_uses_are_told(
        self, index: str | None, driver: Path | None, told: int
    ) -> None:
        options = DepsOptions(provider="pip", torch_index=index)
        facts = replace(
            survey(options.places), others=(Finding("nvidia-driver", "driver", where=driver),)
        )
        hints = packages.hints(packages.plan([NEEDS["torch"]], options), options, facts)
        assert len(hints) == told
        assert all(f"--torch-index {packages.CPU_INDEX}" in hint for hint in hints)
        assert not packages.hints(packages.plan([NEEDS["vesin"]], options), options, facts)

    def test_a_python_of_the_system_is_not_touched(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        write(tmp_path / "EXTERNALLY-MANAGED")
        monkeypatch.setattr(sys, "prefix", sys.base_prefix)
        monkeypatch.setattr(sysconfig, "get_path", lambda _name: str(tmp_path))
        assert "virtual environment" in providers.pip().obstacle


def test_pip_installs_into_the_active_environment(tmp_path: Path) -> None:
    home = tmp_path / ODD_NAME
    run = {"check": True, "capture_output": True, "text": True, "cwd": tmp_path}
    python = seed(home) / "bin/python"
    for name in ("vesin", "pybind11"):
        make_wheel(tmp_path / "wheels", name, "9.9", {f"{name}/__init__.py": ""})
    env = {
        **os.environ,
        "PYTHONPATH": str(REPOSITORY),
        "XDG_CACHE_HOME": str(tmp_path),
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(tmp_path / "wheels"),
        "PIP_CONFIG_FILE": "/dev/null",
    }
    words = ["deps", "--with", "vesin,pybind11", "--json", "--provider", "pip"]
    done = subprocess.run([python, "-m", "torchml_installer", *words], env=env, **run)
    (step,) = json.loads(done.stdout)["packages"]
    assert (step["provider"], step["needs"]) == ("pip", ["vesin", "pybind11"])
    subprocess.run([python, "-c", "import vesin, pybind11"], **run)


def test_what_a_folder_lacks_is_named_with_the_way_to_bring_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "/wheels")
    error = PackageInstallError(
        "pip: installing kimpy failed (exit code 1):\n    Looking in links: /wheels\n"
        "    ERROR: No matching distribution found for kimpy\n  log: deps.log"
    )
    offline.explain(error, "pip", ["kimpy"])
    lines = error.message.splitlines()
    assert lines[1:] == ["    there is no kimpy in /wheels", "  log: deps.log"]
    assert "pip download -d DIR kimpy" in error.remedy


class TestSettingsOfPip:
    """A user's own, which have packages of their own installed elsewhere."""

    @pytest.fixture
    def home(self, tmp_path: Path) -> Path:
        for name in ("vesin", "cmake"):
            make_wheel(tmp_path / "wheels", name, "9.9", {f"{name}/__init__.py": ""})
        return seed(tmp_path / ODD_NAME)

    @staticmethod
    def run(home: Path, *words: str, **settings: str) -> Outcome:
        folder = home.parent
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder / "home"),
            "PYTHONPATH": str(REPOSITORY),
            "XDG_CACHE_HOME": str(folder / "cache"),
            "XDG_DATA_HOME": str(folder / "data"),
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(folder / "wheels"),
            **settings,
        }
        done = subprocess.run(
            [home / "bin/python", *words],
            env=environment,
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    @pytest.mark.parametrize("name", ["user", "target", "prefix", "root"])
    @pytest.mark.parametrize("file", [False, True], ids=["variable", "file"])
    def test_packages_go_where_this_python_finds_them(
        self, home: Path, tmp_path: Path, name: str, file: bool
    ) -> None:
        value = "true" if name == "user" else str(tmp_path / "elsewhere")
        if file:
            write(tmp_path / "home/.config/pip/pip.conf", f"[install]\n{name} = {value}\n")
            settings = {}
        else:
            settings = {f"PIP_{name.upper()}": value}
        words = ("-m", "torchml_installer", "deps", "--with", "vesin", "--provider", "pip")
        outcome = self.run(home, *words, **settings)
        assert outcome.code == 0, outcome.err
        (packages,) = home.glob("lib/python3*/site-packages")
        assert (packages / "vesin").is_dir()
        assert not (tmp_path / "elsewhere").exists()

    def test_they_do_not_disturb_what_has_a_folder_of_its_own(
        self, home: Path, tmp_path: Path
    ) -> None:
        names = ("user", "target", "prefix", "root")
        settings = {f"PIP_{name.upper()}": str(tmp_path / "elsewhere") for name in names}
        settings["PIP_USER"] = "1"
        program = (
            "import subprocess, sys; from torchml_installer.deps import pip; "
            "command = pip.install_command('--target', 'own', 'cmake'); "
            "sys.exit(subprocess.run(command).returncode)"
        )
        outcome = self.run(home, "-c", program, **settings)
        assert outcome.code == 0, outcome.err
        assert (tmp_path / "own/cmake").is_dir()
        assert not (tmp_path / "elsewhere").exists()

    def test_what_was_not_installed_is_not_claimed(self, home: Path, tmp_path: Path) -> None:
        """pip ends without an error where its settings have it only say what it would do."""
        program = (
            "from pathlib import Path; "
            "from torchml_installer.driver import python_module as module; "
            "module.install_dependencies(module.ProjectFacts('1', ('vesin',)), Path('log'))"
        )
        outcome = self.run(home, "-c", program, PIP_DRY_RUN="1")
        assert "pip installed vesin without an error, but " in outcome.err
        outcome = self.run(home, "-m", "torchml_installer", "deps", "--with", "vesin", "--provider",
                           "pip", PIP_DRY_RUN="1")  # fmt: skip
        assert outcome.code == PackageInstallError.exit_code
        assert "pip installed vesin without an error, but " in outcome.err
        assert "Unset what makes pip install elsewhere: PIP_DRY_RUN" in outcome.err


class TestWithoutPip:
    """An environment that uv made."""

    @pytest.fixture
    def environment(self, tmp_path: Path) -> dict[str, str]:
        home = seed(tmp_path / ODD_NAME)
        shutil.rmtree(next(home.glob("lib/python3*/site-packages/pip")))
        make_wheel(tmp_path / "wheels", "vesin", "0.9", {"vesin/__init__.py": ""})
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin/uv").symlink_to(find_uv_bin())
        return {
            "PATH": "/usr/bin:/bin",
            "HOME": str(tmp_path),
            "PYTHONPATH": str(REPOSITORY),
            "XDG_CACHE_HOME": str(tmp_path / "cache"),
            "XDG_DATA_HOME": str(tmp_path / "data"),
            "UV_OFFLINE": "1",
            "UV_FIND_LINKS": str(tmp_path / "wheels"),
        }

    @staticmethod
    def run(folder: Path, environment: dict[str, str], *words: str) -> Outcome:
        command = [folder / ODD_NAME / "bin/python", "-m", "torchml_installer", *words]
        done = subprocess.run(
            command, env=environment, cwd=folder, capture_output=True, text=True, check=False
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    def test_uv_installs_and_removes(self, environment: dict[str, str], tmp_path: Path) -> None:
        environment["PATH"] = f"{tmp_path}/bin:{environment['PATH']}"
        words = ("deps", "--with", "vesin", "--provider", "pip")
        planned = self.run(tmp_path, environment, *words, "--dry-run")
        assert f"{tmp_path}/bin/uv pip install --python " in planned.out
        assert self.run(tmp_path, environment, *words).code == 0
        assert "vesin 0.9" in self.run(tmp_path, environment, "uninstall").out
        outcome = self.run(tmp_path, environment, "uninstall", "--all")
        assert outcome.code == 0, outcome.err
        assert not list((tmp_path / ODD_NAME).glob("lib/python3*/site-packages/vesin*"))

    def test_without_uv_ensurepip_is_named(
        self, environment: dict[str, str], tmp_path: Path
    ) -> None:
        for words in (("--with", "vesin", "--provider", "pip"), ("--with", "libdescriptor")):
            outcome = self.run(tmp_path, environment, "deps", *words)
            assert outcome.code in (NoProviderError.exit_code, DownloadFailedError.exit_code)
            assert "has no pip" in outcome.err
            assert "bin/python' -m ensurepip`" in outcome.err.replace("\"'", "'")


class TestLibtorch:
    @pytest.fixture
    def archive(self, bare: PackagesMachine) -> Path:
        return self.zipped(bare.folder, make_torch(bare.folder / "tree/libtorch", "2.13.0+cpu"))

    @staticmethod
    def zipped(folder: Path, root: Path) -> Path:
        path = folder / f"{ODD_NAME}.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for file in sorted(root.rglob("*")):
                archive.write(file, file.relative_to(root.parent))
        return path

    @staticmethod
    def digest(path: Path) -> str:
        return hashlib.sha256(path.read_bytes()).hexdigest()

    def test_a_file_is_unpacked_where_doctor_finds_it(
        self, bare: PackagesMachine, archive: Path
    ) -> None:
        del bare.environment["TORCH_ROOT"]
        bare.program("xxd")
        words = ["--libtorch", archive, "--sha256", self.digest(archive)]
        outcome = bare.install("deps", *words, "--with", "xxd")
        assert outcome.code == 0, outcome.err
        assert "checking libtorch's archive ...\n" in outcome.err  # gigabytes take a while
        root = Path(bare.environment["XDG_DATA_HOME"]) / "torchml-install/deps/libtorch"
        assert (root / "lib/libtorch_cpu.so").is_file()
        assert f"export TORCH_ROOT={root}" in outcome.out
        (receipt,) = Path(bare.environment["XDG_DATA_HOME"]).glob("*/receipts/*")
        assert json.loads(receipt.read_text())["made_from"]["sha256"] == self.digest(archive)
        script = write(
            bare.folder / "look.py",
            "from torchml_installer.detect import torch\n"
            "torch.python_torch_folder = lambda: None\n"
            "found = torch.detect()\nprint(found.where, found.how)\n",
        )
        assert bare.install(script=script).out.split()[:1] == [str(root)]
        assert bare.install("uninstall", "libtorch").code == 0
        assert not root.exists()

    def test_a_dry_run_shows_what_would_do_the_same(
        self, bare: PackagesMachine, archive: Path
    ) -> None:
        """The commands are run here."""
        prefix = bare.folder / "my prefix"
        options = ["--sha256", self.digest(archive), "--prefix", prefix, "--with", "torch"]
        words = ["deps", "--libtorch", archive.as_uri(), *options, "--dry-run", "--json"]
        (planned,) = json.loads(bare.install(*words).out)["outcomes"]
        assert planned["state"] == "planned"
        assert not prefix.exists()
        fetch, check, unpack = planned["commands"]
        Path(fetch[-2]).parent.mkdir(parents=True)
        for command in (fetch, check, unpack):
            if not shutil.which(command[0]):
                break
            subprocess.run(command, check=True, capture_output=True)
        if shutil.which("curl") and shutil.which("unzip"):
            assert (prefix / "libtorch/lib/libtorch_cpu.so").is_file()

    def test_an_address_needs_its_checksum(self, bare: PackagesMachine, archive: Path) -> None:
        outcome = bare.install("deps", "--libtorch", archive.as_uri())
        assert outcome.code == BadOptionError.exit_code
        wanted = self.digest(archive)
        prefix = bare.folder / "prefix"
        words = ["deps", "--prefix", prefix, "--libtorch", archive.as_uri(), "--sha256", wanted]
        bare.install(*words)
        assert (prefix / "libtorch/include/torch/script.h").is_file()
        bad = bare.install(*words[:-1], wanted[::-1])
        assert bad.code == DownloadFailedError.exit_code
        assert f"its sha256 is {wanted}" in bad.err
        assert (prefix / "libtorch/include/torch/script.h").is_file()

    def test_a_libtorch_that_somebody_else_put_there_is_not_replaced(
        self, bare: PackagesMachine, archive: Path
    ) -> None:
        prefix = bare.folder / "opt"
        theirs = write(make_torch(prefix / "libtorch", "2.1.0") / "mine.txt")
        bare.program("xxd")
        words = ["deps", "--prefix", prefix, "--libtorch", archive, "--with", "xxd"]
        for more in ([], ["--dry-run"]):
            outcome = bare.install(*words, *more)
            assert outcome.code == OutputExistsError.exit_code
            assert f"error: {prefix}/libtorch already exists" in outcome.err
            assert "--force" in outcome.err
            assert f"--torch-root {prefix}/libtorch" in outcome.err
        assert theirs.exists()
        for more in (["--force"], []):  # the second time it is ours
            outcome = bare.install(*words, *more)
            assert outcome.code == 0, outcome.err
        assert not theirs.exists()

    def test_a_libtorch_that_is_unpacked_already_is_named_otherwise(
        self, bare: PackagesMachine
    ) -> None:
        folder = make_torch(bare.folder / "an unpacked one")
        outcome = bare.install("deps", "--libtorch", folder)
        assert outcome.code == DownloadFailedError.exit_code
        assert f"error: {folder} is a folder, not an archive.\n" in outcome.err
        assert f"`torchml-install driver --torch-root '{folder}'`" in outcome.err

    @pytest.mark.parametrize(
        ("content", "expected"),
        [(b"PK not really", "not a complete .zip"), (b"", "not a complete .zip")],
    )
    def test_what_is_no_archive_is_told(
        self, bare: PackagesMachine, content: bytes, expected: str
    ) -> None:
        path = bare.folder / "libtorch.zip"
        path.write_bytes(content)
        outcome = bare.install("deps", "--libtorch", path)
        assert outcome.code == DownloadFailedError.exit_code
        assert expected in outcome.err

    @pytest.mark.parametrize(
        ("damage", "expected"),
        [
            ("flipped", "invalid"),
            ("cut", "not a zip file"),
            ("encrypted", "is encrypted"),
            ("method", "compression method is not supported"),
        ],
    )
    def test_an_archive_that_is_damaged_inside_is_told(
        self, bare: PackagesMachine, damage: str, expected: str
    ) -> None:
        path = bare.folder / "libtorch.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
            made.writestr("libtorch/lib/libtorch_cpu.so", os.urandom(500) * 40)
        content = bytearray(path.read_bytes())
        entry, listed = content.index(b"PK\x03\x04"), content.index(b"PK\x01\x02")
        if damage == "flipped":
            middle = (entry + listed) // 2
            content[middle - 300 : middle] = bytes(300)
        elif damage == "cut":
            del content[listed:]
        elif damage == "encrypted":
            content[entry + 6] |= 1
            content[listed + 8] |= 1
        else:
            content[entry + 8] = content[listed + 10] = 99
        path.write_bytes(content)
        outcome = bare.install("deps", "--libtorch", path)
        assert outcome.code == DownloadFailedError.exit_code, outcome.err
        assert f"{path} is not a complete .zip archive" in outcome.err
        assert expected in outcome.err

    def test_an_answer_that_is_cut_off_is_told(self, bare: PackagesMachine) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            url = f"http://127.0.0.1:{server.getsockname()[1]}/libtorch.zip"

            def answer() -> None:
                connection, _ = server.accept()
                with connection:
                    connection.recv(4096)
                    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                    connection.sendall(head + b"ffff\r\nPK")

            with ThreadPoolExecutor() as pool:
                answered = pool.submit(answer)
                outcome = bare.install("deps", "--libtorch", url, "--sha256", "0" * 64)
                answered.result()
        assert outcome.code == DownloadFailedError.exit_code, outcome.err
        assert f"Cannot download {url}: IncompleteRead" in outcome.err
        assert "--libtorch FILE" in outcome.err

    @pytest.mark.parametrize(
        ("url", "expected"),
        [
            ("http://127.0.0.1:1/a b.zip", "can't contain control characters"),
            ("http://127.0.0.1:port/a.zip", "nonnumeric port"),
            ("http://[::1/a.zip", "Invalid IPv6 URL"),
            ("file://elsewhere/a.zip", "file"),
        ],
    )
    def test_an_address_that_is_none_is_told(
        self, bare: PackagesMachine, url: str, expected: str
    ) -> None:
        outcome = bare.install("deps", "--libtorch", url, "--sha256", "0" * 64)
        assert outcome.code == DownloadFailedError.exit_code, outcome.err
        assert f"Cannot download {url}: " in outcome.err
        assert expected in outcome.err

    def test_a_server_that_speaks_no_tls_is_told(self, bare: PackagesMachine) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            url = f"https://127.0.0.1:{server.getsockname()[1]}/libtorch.zip"

            def answer() -> None:
                connection, _ = server.accept()
                with connection:
                    connection.recv(4096)
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

            with ThreadPoolExecutor() as pool:
                answered = pool.submit(answer)
                outcome = bare.install("deps", "--libtorch", url, "--sha256", "0" * 64)
                answered.result()
        assert outcome.code == DownloadFailedError.exit_code, outcome.err
        assert "SSL" in outcome.err

    def test_an_archive_of_something_else_is_told(self, bare: PackagesMachine) -> None:
        write(bare.folder / "tree/numpy/version.py")
        outcome = bare.install(
            "deps", "--libtorch", self.zipped(bare.folder, bare.folder / "tree/numpy")
        )
        assert outcome.code == DownloadFailedError.exit_code
        assert "is not a libtorch" in outcome.err

    def test_a_libtorch_with_the_old_abi_is_refused(self, bare: PackagesMachine) -> None:
        root = make_torch(bare.folder / "tree/libtorch", config=OLD_ABI)
        outcome = bare.install("deps", "--libtorch", self.zipped(bare.folder, root))
        assert outcome.code == OldAbiTorchError.exit_code
        data = Path(bare.environment["XDG_DATA_HOME"]) / "torchml-install"
        assert not (data / "deps/libtorch").exists()
