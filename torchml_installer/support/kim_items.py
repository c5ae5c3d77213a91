"""KIM's collections: the folders in which the KIM-API searches for drivers and models.

The KIM-API's own program ``kim-api-collections-info`` lists them.
"""

from __future__ import annotations

import contextlib
import enum
import errno
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from torchml_installer.errors import (
    CollectionNotWritableError,
    CollectionUnsetError,
    LibraryNotLoadableError,
    NoKimApiError,
)
from torchml_installer.support import files


class Collection(str, enum.Enum):
    """KIM's collections of items, by the names in its own tools."""

    USER = "user"
    ENVIRONMENT = "environment"
    SYSTEM = "system"


class ItemKind(str, enum.Enum):
    """The kinds of items used here, by their names in ``kim-api-collections-info``."""

    DRIVER = "model_drivers"
    MODEL = "portable_models"

    @property
    def library(self) -> str:
        """The file name of an item's library."""
        return f"libkim-api-{self.value.removesuffix('s').replace('_', '-')}.so"


_QUESTION = {
    Collection.USER: "config_file",
    Collection.ENVIRONMENT: "env",
    Collection.SYSTEM: "system",
}
#: The variables that name the folders of the environment collection.
VARIABLES = {
    ItemKind.DRIVER: "KIM_API_MODEL_DRIVERS_DIR",
    ItemKind.MODEL: "KIM_API_PORTABLE_MODELS_DIR",
}


@dataclass(frozen=True)
class InstalledItem:
    """One line of KIM's list: an item in ``folder/name``."""

    collection: str
    name: str
    folder: Path


@dataclass(frozen=True)
class Collections:
    """Answers of ``kim-api-collections-info`` (the path ``program``).

    patience: seconds to wait for an answer.
    """

    program: Path
    patience: float = 60.0

    def folder(self, collection: Collection, kind: ItemKind) -> Path:
        """The folder into which KIM installs items of that kind: the collection's first.

        Raises CollectionUnsetError if the collection has none.
        """
        lines = self._ask(_QUESTION[collection], kind.value).splitlines()
        folders = [line for line in lines if line.strip()]
        if folders:
            # No strip: a folder's name may end in a space.
            return Path(folders[0])
        if collection is Collection.ENVIRONMENT:
            raise CollectionUnsetError(
                f"The environment collection has no folder: {VARIABLES[kind]} is not set.",
                f"Set it, for example `export {VARIABLES[kind]}=$HOME/kim/{kind.value}`, "
                "or use --collection user.",
            )
        raise CollectionUnsetError(
            f"The {collection.value} collection has no folder for {kind.value}.",
            "Choose another one with --collection; `kim-api-collections-management list` shows "
            "them.",
        )

    def find(self, kind: ItemKind, name: str) -> InstalledItem | None:
        """Where KIM finds the item of that name: in the first collection that has it."""
        text = self._ask(kind.value, "find", name).strip()
        # "user NAME /folder with spaces"; the name contains no space.
        collection, separator, rest = text.partition(f" {name} ")
        if not separator:
            return None
        return InstalledItem(collection, name, Path(rest.splitlines()[0]))

    def require_loadable(self, library: Path) -> None:
        """Raises LibraryNotLoadableError if KIM's own test cannot load an item's library."""
        program = self.program.with_name("kim-api-shared-library-test")
        if not program.exists():
            return
        done = subprocess.run(
            [str(program), str(library)],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        if done.returncode != 0:
            lines = os.fsdecode(done.stdout).strip().splitlines()
            reason = lines[-1] if lines else f"exit code {done.returncode}"
            raise LibraryNotLoadableError(f"The new library cannot be loaded: {reason}")

    def _ask(self, *question: str) -> str:
        # Run in the root folder: the current one is a collection too ("CWD"), whose items a program
        # that starts elsewhere will not find.
        try:
            done = subprocess.run(
                [str(self.program), *question],
                cwd="/",
                env=_absolute_environment(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=self.patience,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise NoKimApiError(
                f"{self.program} did not answer within {self.patience:g} seconds.",
                "It reads KIM's collections. Check whether one of their folders, such as your "
                f"home, is on a file server that hangs; try `{self.program} {' '.join(question)}`.",
            ) from error
        except OSError as error:
            raise NoKimApiError(f"{self.program} does not run: {error}.") from error
        if done.returncode != 0:
            reason = os.fsdecode(done.stderr).strip() or f"exit code {done.returncode}"
            raise NoKimApiError(f"{self.program} {' '.join(question)} failed: {reason}.")
        return os.fsdecode(done.stdout)


def _absolute_environment() -> dict[str, str]:
    """The environment, with absolute paths in the collections' variables."""
    environment = dict(os.environ)
    for variable in VARIABLES.values():
        if folders := environment.get(variable):
            absolute = (str(Path(part).absolute()) for part in folders.split(os.pathsep) if part)
            environment[variable] = os.pathsep.join(absolute)
    return environment


def nearest_folder(path: Path) -> Path:
    """The path itself if it exists, else the nearest of its parents that does."""
    return next(place for place in (path, *path.parents) if files.exists(place))


_STAGING = ".torchml-staging-"
#: Longer than any build takes, in seconds.
_LEFT_BEHIND = 24 * 3600.0


def _remove_leftovers(folder: Path) -> None:
    """Removes leftovers of killed runs, but nothing recent: other runs may be active, even on other
    machines."""
    for stage in folder.glob(f"{_STAGING}*"):
        with contextlib.suppress(OSError):
            if time.time() - stage.stat().st_mtime > _LEFT_BEHIND:
                shutil.rmtree(stage, ignore_errors=True)


@contextlib.contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """A fresh folder inside a collection, removed afterwards.

    It is on the same file system, so that items can be renamed into place. KIM does not take it for
    an item. Raises CollectionNotWritableError.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(folder)
        stage = Path(tempfile.mkdtemp(prefix=_STAGING, dir=folder))
    except (PermissionError, NotADirectoryError, FileExistsError) as error:
        raise CollectionNotWritableError(
            f"Cannot write to the collection {folder}: {error.strerror}."
        ) from error
    except OSError as error:
        # A read-only file system (EROFS) is not a PermissionError.
        if error.errno == errno.EROFS:
            raise CollectionNotWritableError(
                f"Cannot write to the collection {folder}: {error.strerror}."
            ) from error
        raise
    try:
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def put_in_place(staged: Sequence[Path], folder: Path, stage: Path) -> None:
    """Moves staged items (folders) into a collection: all of them, or none.

    For a new item, renames its folder. For an existing item, replaces each file by a rename, so
    that it exists at every moment: a simulation that starts meanwhile finds the old or the new one,
    and a running one keeps its open file. After any failure, including Ctrl-C, the items are as
    before.
    """
    undo = contextlib.ExitStack()
    try:
        for item in staged:
            _put_one(item, folder / item.name, stage / f"old-{item.name}", undo)
    except BaseException:
        undo.close()
        raise
    undo.pop_all()


def _moved(item: Path, target: Path) -> bool:
    """Renames a folder; False if another run has created the target meanwhile."""
    try:
        item.rename(target)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        return False
    return True


def _remove_moved(item: Path, target: Path) -> None:
    """Undoes the rename of a folder, but nothing that another run did."""
    if not item.exists():
        shutil.rmtree(target, ignore_errors=True)


def _keep(place: Path, saved: Path) -> None:
    """A hard link to a file; a copy on file systems without hard links (FAT, some file servers)."""
    try:
        os.link(place, saved)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
            raise
        shutil.copy2(place, saved)


def _put_one(item: Path, target: Path, kept: Path, undo: contextlib.ExitStack) -> None:
    try:
        if not target.exists():
            undo.callback(_remove_moved, item, target)
            if _moved(item, target):
                return
        kept.mkdir()
        for source in sorted(path for path in item.rglob("*") if path.is_file()):
            place = target / source.relative_to(item)
            place.parent.mkdir(parents=True, exist_ok=True)
            if place.exists():
                saved = kept / source.name
                _keep(place, saved)
                undo.callback(os.replace, saved, place)
            else:
                undo.callback(place.unlink, missing_ok=True)
            source.replace(place)
    except PermissionError as error:
        raise CollectionNotWritableError(f"Cannot write to {target}: {error.strerror}.") from error
