"""``model install`` interrupted at any moment, and two runs of it at once."""

from __future__ import annotations

import signal
import subprocess
import threading
from pathlib import Path

import pytest

from tests.clean.conftest import DriverRuns
from tests.clean.test_interruptions import WISHES, end_at, start
from tests.installer.synthetic_machines import make_torchscript
from torchml_installer.errors import InterruptedByUserError, OutputExistsError
from torchml_installer.models.pack import PackOptions, pack
from torchml_installer.support.kim_items import put_in_place

MOMENTS = (("configuring", 0.0), ("building", 0.1), ("collecting", 0.0))


class ModelRuns:
    """A packed model, and KIM's own build of it on a clean machine."""

    def __init__(self, driver: DriverRuns, folder: Path) -> None:
        file = make_torchscript(folder / "Model.pt")
        options = PackOptions(
            file=file, elements=("Si",), cutoff=3.0, name="Model", output=folder / "packed"
        )
        options.output.mkdir()
        self.driver = driver
        self.packed = pack(options).folder
        self.collection = folder / "models"
        self.environment = {
            **driver.environment,
            "KIM_API_PORTABLE_MODELS_DIR": str(self.collection),
        }
        del self.environment["KIM_API_CMAKE_PREFIX_DIR"]

    def start(self, *options: str) -> subprocess.Popen[str]:
        words = ["model", "install", self.packed, "--collection", "environment", *options]
        return start(self.driver.clean, self.driver.clean.command(*words), self.environment)

    def finish(self, *options: str) -> tuple[int, str]:
        process = self.start(*options)
        said = process.communicate(timeout=60)[1]
        return process.returncode, said

    def installed(self) -> dict[str, bytes]:
        """The model's files; an incomplete folder counts as none."""
        return {path.name: path.read_bytes() for path in self.collection.glob("Model/*")}

    def staged(self) -> list[Path]:
        return list(self.collection.glob(".torchml-staging-*"))


@pytest.fixture
def model(driver: DriverRuns, tmp_path: Path) -> ModelRuns:
    clean = driver.clean
    places = ("/usr/libexec/kim-api", "/usr/lib/*/libexec/kim-api")
    if not any(list(clean.path("/").glob(place.lstrip("/"))) for place in places):
        pytest.skip("there is no KIM-API on this machine")
    return ModelRuns(driver, tmp_path)


@pytest.mark.parametrize("wish", WISHES)
def test_an_interrupted_model_is_not_half_installed_and_the_next_run_goes_on(
    model: ModelRuns, wish: signal.Signals
) -> None:
    for word, delay in MOMENTS:
        code, said = end_at(model.start("--force"), word, delay, wish)
        if wish == signal.SIGKILL:
            assert code == -signal.SIGKILL
        elif code != 0:  # too late is possible
            assert code == InterruptedByUserError.exit_code, said
            assert "Traceback" not in said
            assert model.staged() == []
        if code != 0:
            assert model.installed() == {}
    code, said = model.finish("--force")
    assert code == 0, said
    assert len(model.installed()) > 0


def test_of_two_models_installed_at_once_one_is_there_whole(model: ModelRuns) -> None:
    runs = [model.start() for _ in range(2)]
    said = [run.communicate(timeout=60)[1] for run in runs]
    assert {run.returncode for run in runs} <= {0, OutputExistsError.exit_code}, said
    assert 0 in [run.returncode for run in runs], said
    assert "Traceback" not in "".join(said)
    assert model.staged() == []
    files = model.installed()
    assert model.finish("--force")[0] == 0
    assert files.keys() == model.installed().keys()


def test_who_comes_second_to_a_new_name_does_not_remove_what_the_first_installed(
    tmp_path: Path,
) -> None:
    for number in range(100):
        folder = tmp_path / f"collection-{number}"
        stages = [folder / f".stage-{who}" for who in range(2)]
        for who, stage in enumerate(stages):
            (stage / "Model").mkdir(parents=True)
            (stage / "Model/library.so").write_text(f"{who}")
        gate = threading.Barrier(2)
        failures: list[BaseException] = []

        def install(
            stage: Path,
            folder: Path = folder,
            gate: threading.Barrier = gate,
            failures: list[BaseException] = failures,
        ) -> None:
            gate.wait()
            try:
                put_in_place([stage / "Model"], folder, stage)
            except OSError as error:
                failures.append(error)

        threads = [threading.Thread(target=install, args=(stage,)) for stage in stages]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert (folder / "Model/library.so").read_text() in ("0", "1")
