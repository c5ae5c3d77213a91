"""Every folder of examples/ does what its page says: the same commands, the same results."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.examples import (
    EXAMPLES,
    EXPECTED,
    FOLDERS,
    MELTING,
    NOTEBOOK,
    PAGE,
    assert_as_expected,
    commands,
    expected,
    follow,
    prints_results,
    seconds,
    with_times,
)
from tests.support import DriverEnvironment

ANY_FOLDER = pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)


@pytest.fixture
def collection(
    driver_environment: DriverEnvironment, tmp_path: Path
) -> tuple[Path, dict[str, str]]:
    """A place to work in, and an environment with a collection of its own behind the driver's."""
    models = tmp_path / "collection"
    models.mkdir()
    for item in driver_environment.folder.iterdir():
        if item.name.startswith("TorchML__MD_"):
            shutil.copytree(item, models / item.name)
    names = ("KIM_API_MODEL_DRIVERS_DIR", "KIM_API_PORTABLE_MODELS_DIR")
    there = {**driver_environment.env, "OMP_NUM_THREADS": "1"}
    return tmp_path, {**there, **dict.fromkeys(names, str(models))}


def test_there_are_no_folders_without_a_page_and_expected_results() -> None:
    folders = [
        path for path in EXAMPLES.iterdir() if path.is_dir() and not path.name.startswith("__")
    ]
    notebooks = {notebook.parent: notebook.name for notebook in (NOTEBOOK, MELTING)}
    assert [
        f"{folder.name}/{name}"
        for folder in folders
        for name in ("README.md", notebooks.get(folder, EXPECTED))
        if not (folder / name).is_file()
    ] == []


@ANY_FOLDER
def test_every_command_that_prints_results_has_expected_ones(folder: Path) -> None:
    printing = [command for command in commands(folder) if prints_results(command)]
    assert printing
    assert [run.command for run in expected(folder)] == printing
    assert all(run.results for run in expected(folder))
    assert seconds(folder) > 0


def test_the_documentation_lists_every_example_with_its_time() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for folder in (*FOLDERS, NOTEBOOK.parent):
        assert f"| [{folder.name}](../examples/{folder.name}/README.md) |" in text
    assert with_times(text) == text, "run: python -m tests.examples --write"


@ANY_FOLDER
def test_the_first_energy_is_the_expected_one(
    folder: Path, collection: tuple[Path, dict[str, str]]
) -> None:
    """Made, packed, installed and run as the page says, without the steps of a simulation."""
    work, env = collection
    assert_as_expected(follow(folder, work, env, briefly=True), expected(folder))


@pytest.mark.slow
@ANY_FOLDER
def test_all_commands_print_the_expected_results(
    folder: Path, collection: tuple[Path, dict[str, str]]
) -> None:
    work, env = collection
    found = follow(folder, work, env)
    assert [len(run.results) for run in found] == [len(run.results) for run in expected(folder)]
    assert_as_expected(found, expected(folder))
