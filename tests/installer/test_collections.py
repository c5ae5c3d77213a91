"""Items are put into KIM's collections in one step, or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tests.installer.synthetic_machines import ODD_NAME, make_kim, write
from torchml_installer.errors import CollectionNotWritableError, CollectionUnsetError
from torchml_installer.support.kim_items import (
    Collection,
    Collections,
    ItemKind,
    put_in_place,
    staging,
)

LIBRARY = "libkim-api-model-driver.so"


@pytest.fixture
def kim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Collections:
    monkeypatch.delenv("KIM_API_MODEL_DRIVERS_DIR", raising=False)
    prefix = make_kim(tmp_path / ODD_NAME)
    return Collections(prefix / "libexec/kim-api/kim-api-collections-info")


def test_folders_are_those_that_kim_itself_names(
    kim: Collections, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = tmp_path / ODD_NAME / "user/model_drivers"
    assert kim.folder(Collection.USER, ItemKind.DRIVER) == user
    monkeypatch.setenv("KIM_API_MODEL_DRIVERS_DIR", str(tmp_path / "a b"))
    assert kim.folder(Collection.ENVIRONMENT, ItemKind.DRIVER) == tmp_path / "a b"


def test_a_relative_folder_in_the_environment_is_taken_from_here(
    kim: Collections, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KIM_API_MODEL_DRIVERS_DIR", "kim")
    assert kim.folder(Collection.ENVIRONMENT, ItemKind.DRIVER) == tmp_path / "kim"


def test_an_unset_environment_collection_names_the_variable_to_set(kim: Collections) -> None:
    with pytest.raises(CollectionUnsetError) as caught:
        kim.folder(Collection.ENVIRONMENT, ItemKind.DRIVER)
    assert "export KIM_API_MODEL_DRIVERS_DIR=" in caught.value.remedy


def test_installed_items_are_found_in_folders_with_blanks(
    kim: Collections, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KIM_API_MODEL_DRIVERS_DIR", str(tmp_path / "a b"))
    (tmp_path / "a b/Driver").mkdir(parents=True)
    found = kim.find(ItemKind.DRIVER, "Driver")
    assert found is not None
    assert (found.collection, found.folder) == ("environment", tmp_path / "a b")
    assert kim.find(ItemKind.DRIVER, "Other") is None


def put(folder: Path, **items: str) -> None:
    """Installs drivers whose library holds the given text."""
    with staging(folder) as stage:
        for name, text in items.items():
            write(stage / name / LIBRARY, text)
        put_in_place([stage / name for name in items], folder, stage)


def contents(folder: Path) -> dict[str, str]:
    return {item.name: (item / LIBRARY).read_text() for item in folder.iterdir()}


def test_new_items_appear_and_no_litter_stays(tmp_path: Path) -> None:
    put(tmp_path / "new/collection", A="1", B="2")
    assert contents(tmp_path / "new/collection") == {"A": "1", "B": "2"}


def test_a_running_simulation_keeps_the_library_it_has_opened(tmp_path: Path) -> None:
    put(tmp_path, A="old")
    with (tmp_path / "A" / LIBRARY).open() as opened:
        put(tmp_path, A="new")
        assert opened.read() == "old"
    assert contents(tmp_path) == {"A": "new"}


@pytest.mark.parametrize("failure", [OSError(28, "No space left"), KeyboardInterrupt()])
@pytest.mark.parametrize("links", [True, False])
def test_when_one_item_fails_all_are_as_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException, links: bool
) -> None:
    """Also on file systems without hard links, such as FAT."""

    def forbidden(source: Path, target: Path) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted", source, None, target)

    if not links:
        monkeypatch.setattr(os, "link", forbidden)
    put(tmp_path, A="oldest", B="oldest")
    put(tmp_path, A="old", B="old")
    replace = Path.replace

    def replace_until_b(self: Path, target: Path) -> Path:
        if "/B/" in str(target):
            raise failure
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", replace_until_b)
    with pytest.raises(type(failure)):
        put(tmp_path, A="new", C="new", B="new")
    assert contents(tmp_path) == {"A": "old", "B": "old"}


def test_a_collection_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    write(tmp_path / "file")
    with pytest.raises(CollectionNotWritableError) as caught, staging(tmp_path / "file/drivers"):
        pass
    assert "--collection user" in caught.value.remedy
