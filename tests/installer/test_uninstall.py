"""`uninstall` removes what receipts tell, and nothing that somebody else put there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.clean.machines import seed
from tests.installer.synthetic_machines import (
    ODD_NAME,
    REPOSITORY,
    Machine,
    make_torchscript,
    make_wheel,
    write,
)
from torchml_installer import uninstall
from torchml_installer.deps import pip
from torchml_installer.errors import NotInstalledError
from torchml_installer.models.pack import PackOptions, pack
from torchml_installer.support import receipts

NAME = "SW_demo__MO_000000000000_000"


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of this program's own files, empty."""
    folder = tmp_path / "data"
    monkeypatch.setenv("XDG_DATA_HOME", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


def installed(folder: Path, name: str = "Demo", kind: str = "driver") -> Path:
    """An item with one library, and its receipt."""
    library = write(folder / name / "library.so", f"the library of {name}")
    receipts.write(receipts.Receipt(kind, name, (library,), {"torch": "2.13.0"}))
    return library


@pytest.mark.usefixtures("data", "own_temporaries")
class TestReceipts:
    def test_an_item_goes_with_its_folder_and_its_receipt(self, tmp_path: Path) -> None:
        library = installed(tmp_path / ODD_NAME)
        other = write(library.parent.parent / "Theirs/library.so")
        (removal,) = uninstall.uninstall(uninstall.installed(["Demo"]))
        assert removal.removed == (library,)
        assert not library.parent.exists()
        assert other.exists()
        assert receipts.read_all() == []

    def test_nothing_is_left_of_the_place_that_receipts_are_kept_in(
        self, data: Path, tmp_path: Path
    ) -> None:
        installed(tmp_path)
        uninstall.uninstall(uninstall.installed())
        assert not (data / "torchml-install").exists()

    def test_caches_are_told_once(self, tmp_path: Path) -> None:
        write(tmp_path / "cache/torchml-install/build/log.txt")
        assert uninstall.remove_caches().count(tmp_path / "cache/torchml-install") == 1

    def test_caches_that_somebody_builds_in_are_waited_for(
        self, data: Path, tmp_path: Path
    ) -> None:
        """As `driver` holds its build, in another process."""
        builds = tmp_path / "cache/torchml-install/build"
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        hold = (
            "import sys; from pathlib import Path\n"
            "from torchml_installer.support import build_folder\n"
            "with build_folder.locked(Path(sys.argv[1])):\n"
            "    print('held', flush=True); sys.stdin.read(1)\n"
            "    print(Path(sys.argv[1]).parent.is_dir())\n"
        )
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        command = [sys.executable, "-c", hold, str(builds / "abc")]
        holder = subprocess.Popen(command, env=environment, cwd=tmp_path, text=True, **pipes)
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        command = [sys.executable, "-m", "torchml_installer", "uninstall", "--all"]
        removing = subprocess.Popen(command, env=environment, cwd=tmp_path, text=True, **pipes)
        assert removing.stderr is not None
        assert "waiting for another torchml-install" in removing.stderr.readline()
        said, _ = holder.communicate("x", timeout=30)
        assert said == "True\n"
        removing.communicate(timeout=30)
        assert removing.returncode == 0
        assert not builds.exists()

    def test_a_folder_that_the_user_named_stays(self, tmp_path: Path) -> None:
        root = tmp_path / "my prefix/libtorch"
        write(root / "lib/libtorch_cpu.so")
        receipts.write(receipts.Receipt("library", "libtorch", (root,), {}))
        uninstall.uninstall(uninstall.installed())
        assert not root.exists()
        assert root.parent.is_dir()

    def test_what_others_put_beside_it_stays(self, tmp_path: Path) -> None:
        library = installed(tmp_path)
        note = write(library.parent / "notes.txt")
        uninstall.uninstall(uninstall.installed())
        assert not library.exists()
        assert note.exists()

    def test_a_file_that_was_replaced_since_stays_unless_forced(self, tmp_path: Path) -> None:
        library = installed(tmp_path)
        library.write_text("built by somebody else")
        (removal,) = uninstall.uninstall(uninstall.installed())
        assert removal.removed == ()
        assert "has changed since its installation" in removal.kept[0][1]
        assert library.exists()
        uninstall.uninstall(uninstall.installed(), force=True)
        assert not library.exists()
        assert receipts.read_all() == []

    def test_a_dry_run_removes_nothing(self, tmp_path: Path) -> None:
        library = installed(tmp_path)
        (removal,) = uninstall.uninstall(uninstall.installed(), dry_run=True)
        assert removal.removed == (library,)
        assert library.exists()
        assert len(receipts.read_all()) == 1

    def test_what_is_gone_already_is_not_listed(self, tmp_path: Path) -> None:
        installed(tmp_path, "Gone").unlink()
        installed(tmp_path, "There")
        (receipt,) = uninstall.in_place(uninstall.installed())
        assert receipt.name == "There"

    def test_what_is_gone_already_loses_its_receipt(self, tmp_path: Path) -> None:
        installed(tmp_path).unlink()
        (removal,) = uninstall.uninstall(uninstall.installed())
        assert removal.removed == ()
        assert receipts.read_all() == []

    def test_models_go_before_the_drivers_they_need(self, tmp_path: Path) -> None:
        installed(tmp_path / "a", "A", "driver")
        installed(tmp_path / "b", "B", "model")
        removals = uninstall.uninstall(uninstall.installed())
        assert [removal.receipt.name for removal in removals] == ["B", "A"]

    def test_an_unknown_name_is_answered_with_those_there_are(self, tmp_path: Path) -> None:
        installed(tmp_path)
        with pytest.raises(NotInstalledError, match="Other") as caught:
            uninstall.installed(["Other"])
        assert caught.value.remedy is not None
        assert "Demo" in caught.value.remedy

    def test_a_broken_receipt_is_told_and_left_alone(
        self, data: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        broken = write(data / "torchml-install/receipts/driver-x.json", "{")
        assert receipts.read_all() == []
        assert str(broken) in capsys.readouterr().err
        assert broken.exists()


def test_what_was_interrupted_is_finished_the_next_time(tmp_path: Path, data: Path) -> None:
    """Killed among thousands of files: what the receipt names is removed by another run."""
    folder = tmp_path / "libtorch"
    for number in range(100):
        (folder / f"{number}").mkdir(parents=True)
        for file in range(50):
            (folder / f"{number}/{file}").touch()
    receipts.write(receipts.Receipt("library", "libtorch", (folder,), {}))
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "XDG_DATA_HOME": str(data)}
    command = [sys.executable, "-m", "torchml_installer", "uninstall", "libtorch"]
    killed = subprocess.Popen(command, env=environment, cwd=tmp_path)
    while len(list(folder.iterdir())) == 100:
        assert killed.poll() is None
        time.sleep(0.001)
    killed.kill()
    killed.wait()
    left = len(list(folder.iterdir()))
    assert 0 < left < 100
    subprocess.run(command, env=environment, cwd=tmp_path, check=True)
    assert not folder.exists()
    assert receipts.read_all() == []


def test_of_a_run_that_was_killed_only_what_it_was_asked_for_is_claimed(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything else that is new may be the user's own."""
    had = {"numpy": ("2.0", []), "click": ("8.1", [])}
    monkeypatch.setattr(pip, "installed", lambda *_: had)
    pending = receipts.pending(pip.KIND, sys.executable)
    with pip.recorded(["Torch_Scatter>=2"]):
        note = pending.read_text()
    assert not pending.exists()
    write(pending, note)  # as SIGKILL leaves it
    new = {"torch-scatter": ("2.1", ["scipy"]), "scipy": ("1.9", ["numpy"]), "mine": ("1", [])}
    monkeypatch.setattr(pip, "installed", lambda *_: {**had, **new})
    pip.claim_interrupted()
    (receipt,) = receipts.read_all()
    assert receipt.packages == {"torch-scatter": "2.1", "scipy": "1.9"}
    assert receipt.made_from == {"python": sys.executable}
    assert not pending.exists()
    write(pending, "{")
    pip.claim_interrupted()
    assert not pending.exists()


@pytest.mark.skipif(
    not (shutil.which("kim-api-collections-management") and shutil.which("cmake")),
    reason="needs the KIM-API and CMake",
)
def test_an_installed_model_is_removed_for_kim_too(machine: Machine, tmp_path: Path) -> None:
    file = make_torchscript(tmp_path / "a.pt")
    folder = pack(PackOptions(file, ("Si",), 3.77, name=NAME, output=tmp_path)).folder
    place = tmp_path / "collection" / NAME
    outcome = machine.install("model", "install", folder, "--collection", "environment")
    assert outcome.code == 0, outcome.err

    listed = machine.install("uninstall")
    assert f"installed: model {NAME}" in listed.out
    assert place.exists()
    (answer,) = json.loads(machine.install("uninstall", "--json").out)
    assert answer["state"] == "present"
    (answer,) = json.loads(machine.install("uninstall", NAME, "--dry-run", "--json").out)
    assert (answer["name"], answer["state"]) == (NAME, "planned")
    assert place.exists()

    outcome = machine.install("uninstall", NAME)
    assert f"removed model {NAME}" in outcome.out
    assert not place.exists()
    assert machine.install("uninstall", NAME).code == NotInstalledError.exit_code
    caches = tmp_path / "cache/torchml-install"
    told = machine.install("uninstall", "--all", "--dry-run").out
    assert f"would remove caches in {caches}\n" in told
    assert caches.exists()
    outcome = machine.install("uninstall", "--all")
    assert outcome.code == 0
    assert f"removed caches in {caches}\n" in outcome.out
    assert not caches.exists()


def test_the_python_module_is_forgotten_by_pip_too(tmp_path: Path, data: Path) -> None:
    python = seed(tmp_path / "venv") / "bin" / "python"
    wheel = make_wheel(tmp_path, "torchml_driver", "1", {"torchml_driver/__init__.py": ""})
    pip = [str(python), "-m", "pip"]
    subprocess.run([*pip, "install", "-q", "--no-index", str(wheel)], check=True)
    show = "import torchml_driver; print(torchml_driver.__path__[0])"
    place = subprocess.run(
        [str(python), "-c", show], check=True, capture_output=True, text=True, cwd=data.parent
    ).stdout.strip()
    receipts.write(
        receipts.Receipt("python-module", "torchml-driver", (Path(place),), {"python": str(python)})
    )
    uninstall.uninstall(uninstall.installed())
    assert not Path(place).exists()
    listed = subprocess.run([*pip, "list"], check=True, capture_output=True, text=True).stdout
    assert "torchml" not in listed
