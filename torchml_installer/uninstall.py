"""``uninstall``: removes what the receipts list, and nothing else."""

from __future__ import annotations

import contextlib
import shlex
import shutil
import subprocess
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torchml_installer.deps import pip
from torchml_installer.errors import NotInstalledError, NotPermittedError
from torchml_installer.support import build_folder, console, receipts
from torchml_installer.support.paths import cache_folder, data_folder, temporary_caches
from torchml_installer.support.receipts import Receipt


@dataclass(frozen=True)
class Removal:
    """What happens, or would happen, to one installed item.

    removed: files and folders to delete; for Python packages, names and versions. kept: what stays,
    with the reason.
    """

    receipt: Receipt
    removed: tuple[Path | str, ...] = ()
    kept: tuple[tuple[Path | str, str], ...] = ()

    def as_json(self, state: str) -> dict[str, Any]:
        """state: "present" in a list, "planned" in a dry run, or "removed"."""
        return {
            "kind": self.receipt.kind,
            "name": self.receipt.name,
            "state": state,
            "removed": [str(place) for place in self.removed],
            "kept": {str(place): reason for place, reason in self.kept},
        }


def installed(names: Sequence[str] = ()) -> list[Receipt]:
    """The receipts with these names, or all. Raises NotInstalledError for a name without one."""
    pip.claim_interrupted()
    known = receipts.read_all()
    missing = sorted(set(names) - {receipt.name for receipt in known})
    if missing:
        have = ", ".join(dict.fromkeys(receipt.name for receipt in known))
        listed = f"It has installed: {have}." if have else "It has not installed anything."
        raise NotInstalledError(
            f"torchml-install has no record of installing {', '.join(missing)}.",
            f"{listed} Remove what KIM's own commands installed with "
            "`kim-api-collections-management remove NAME`.",
        )
    return [receipt for receipt in known if not names or receipt.name in names]


def in_place(chosen: Sequence[Receipt]) -> list[Receipt]:
    """Those that are still installed, at least in part: a user may have deleted folders."""
    return [
        receipt
        for receipt in chosen
        if any(place.is_symlink() or place.exists() for place in receipt.files)
        or (receipt.packages and _packages(receipt)[0])
    ]


def uninstall(
    chosen: Sequence[Receipt], *, force: bool = False, dry_run: bool = False
) -> list[Removal]:
    """Removes items and their receipts.

    Keeps a file that has changed since its installation, unless ``force``. Removes models before
    their drivers. Raises NotPermittedError.
    """
    order = {"model": 0, "driver": 1, "python-module": 2, "library": 3, pip.KIND: 4}
    ordered = sorted(chosen, key=lambda receipt: order.get(receipt.kind, len(order)))
    gone = {receipt.name for receipt in ordered if receipt.kind == "python-module"}
    return [
        _remove_packages(receipt, gone, dry_run=dry_run)
        if receipt.kind == pip.KIND
        else _remove(receipt, force=force, dry_run=dry_run)
        for receipt in ordered
    ]


def caches() -> list[Path]:
    """The folders of builds, logs and temporary files; none is inside another one."""
    # Builds may be elsewhere, see ``build_folder.default_parent``.
    cache, builds = cache_folder(), build_folder.default_parent()
    found: list[Path] = []
    for folder in (cache, builds, *temporary_caches()):
        if folder.is_dir() and not any(folder.is_relative_to(other) for other in found):
            found.append(folder)
    return found


def remove_caches() -> list[Path]:
    """Removes builds, logs and temporary files; returns their folders.

    Waits for other runs that build or download there.
    """
    present = caches()
    with contextlib.ExitStack() as held:
        # Each only once: this process would wait for itself.
        patterns = ("*.lock", "*/*.lock")
        found = (lock for folder in present for name in patterns for lock in folder.glob(name))
        locks = {lock.resolve() for lock in found}
        for lock in sorted(locks):
            held.enter_context(build_folder.locked(lock.with_suffix("")))
        for folder in present:
            with _permission(folder):
                shutil.rmtree(folder)
            if folder.parent.name.startswith("torchml-install-"):
                with contextlib.suppress(OSError):
                    folder.parent.rmdir()
    return present


def _remove(receipt: Receipt, *, force: bool, dry_run: bool) -> Removal:
    removed: list[Path] = []
    kept: list[tuple[Path, str]] = []
    for place in receipt.files:
        reason = None if force else _reason_to_keep(receipt, place)
        if reason is not None:
            kept.append((place, reason))
        elif place.is_symlink() or place.exists():
            removed.append(place)
    if not dry_run:
        if receipt.kind == "python-module" and removed:
            _remove_python_module(receipt)
        for place in removed:
            _delete(place, receipt.kind)
        if not kept:
            _forget(receipt)
    return Removal(receipt, tuple(removed), tuple(kept))


def _forget(receipt: Receipt) -> None:
    if receipt.path is None:
        return
    with _permission(receipt.path):
        receipt.path.unlink(missing_ok=True)
    # The folder of receipts and this program's data folder, once empty.
    with contextlib.suppress(OSError):
        receipt.path.parent.rmdir()
        receipt.path.parent.parent.rmdir()


def _remove_packages(receipt: Receipt, gone: Container[str], *, dry_run: bool) -> Removal:
    """Removes with pip what it installed for us, except what other packages need now.

    gone: packages whose requirements no longer count.
    """
    names, kept = _packages(receipt, gone)
    if not dry_run:
        if names and not _uninstall_with_pip(receipt, names):
            kept += [(name, "could not be removed with pip") for name in names]
            names = []
        else:
            _forget(receipt)
    removed = [f"{name} {receipt.packages[name]}" for name in names]
    return Removal(receipt, tuple(removed), tuple(kept))


def _packages(
    receipt: Receipt, gone: Container[str] = ()
) -> tuple[list[str], list[tuple[Path | str, str]]]:
    """(names to remove, those that stay with the reason)."""
    present = pip.installed(receipt.made_from.get("python", "")) or {}
    own = {name for name, then in receipt.packages.items() if present.get(name, ("",))[0] == then}
    kept: list[tuple[Path | str, str]] = [
        (name, f"is version {present[name][0]} now; version {then} was installed")
        for name, then in receipt.packages.items()
        if name in present and name not in own
    ]
    # Packages that stay need others, which in turn need others.
    staying = [name for name in present if name not in own and name not in gone]
    for name in staying:
        for needed in present[name][1]:
            if needed in own:
                own.remove(needed)
                kept.append((needed, f"is needed by {name}"))
                staying.append(needed)
    return sorted(own), kept


def _reason_to_keep(receipt: Receipt, place: Path) -> str | None:
    recorded = receipt.digests.get(place)
    if recorded is None or not place.is_file():
        return None
    try:
        same = receipts.sha256(place) == recorded
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return None if same else "has changed since its installation; remove it with --force"


def _remove_python_module(receipt: Receipt) -> None:
    """Uninstalls with the pip of its Python; the caller deletes the files in any case."""
    if Path(receipt.made_from.get("python", "")).exists():
        _uninstall_with_pip(receipt, [receipt.name])


def _uninstall_with_pip(receipt: Receipt, names: Sequence[str]) -> bool:
    command = pip.uninstall_command(receipt.made_from.get("python", ""), names)
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        console.warn(f"`{shlex.join(command)}` failed: {done.stderr.strip()}")
    return done.returncode == 0


def _delete(place: Path, kind: str) -> None:
    """Deletes a file or a folder, and the item's folder if that leaves it empty.

    The parent of a library is the --prefix, which belongs to the user.
    """
    with _permission(place):
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)
    if kind != "library" or place.is_relative_to(data_folder()):
        with contextlib.suppress(OSError):
            place.parent.rmdir()


@contextlib.contextmanager
def _permission(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise NotPermittedError(
            f"Cannot remove {error.filename or place}: {error.strerror}."
        ) from error
