"""Unpacks a libtorch archive from pytorch.org where ``doctor`` finds it."""

from __future__ import annotations

import hashlib
import re
import shlex
import shutil
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from torchml_installer.deps.record import DepsOptions, Outcome
from torchml_installer.detect import torch
from torchml_installer.errors import (
    BadOptionError,
    DownloadFailedError,
)
from torchml_installer.support import build_folder, console, receipts
from torchml_installer.support.paths import cache_folder
from torchml_installer.support.placing import (
    partial_beside,
    put_in_place,
    remove,
    require_replaceable,
    require_room,
    writing_to,
)

_BLOCK = 1 << 20
_URL = re.compile(r"(https?|file)://")
_TIMEOUT = 60.0  # seconds without a byte


def provide(archive: str, sha256: str | None, options: DepsOptions) -> Outcome:
    """Installs the libtorch in a ``.zip`` file or at a URL.

    sha256: the expected one, in hexadecimal digits; a URL needs one.

    Raises BadOptionError, OutputExistsError if the prefix has a libtorch that is not ours,
    DownloadFailedError for an archive that is missing or not the expected one,
    the problem of a libtorch that the driver cannot use, and NotPermittedError.
    """
    sha256 = _checked(archive, sha256)
    root = torch.deps_folder()
    if options.prefix is not None:
        root = options.prefix.absolute() / "libtorch"
        ours = root in receipts.library_roots("libtorch")
        instead = f"To use what is there: `{_use(root)}`."
        require_replaceable(root, ours=ours, force=options.force, instead=instead)
    if options.dry_run:
        return _outcome("planned", root, archive, _by_hand(archive, sha256, root))
    key = hashlib.sha256(str(root).encode(errors="surrogateescape")).hexdigest()[:12]
    work = build_folder.default_parent() / f"deps-libtorch-{key}"
    with build_folder.locked(work):
        remove(work)
        try:
            with writing_to(root):
                root.parent.mkdir(parents=True, exist_ok=True)
            file = Path(archive)
            if _URL.match(archive):
                file = _download(archive, sha256 or "")
            with console.step("checking libtorch's archive"):
                sha256 = _require_checksum(file, sha256)
            stage = _unpack(file, work, root)
            finding = torch.inspect(stage, archive)
            if finding.problem is not None:
                raise finding.problem
            # Written first: if this run is killed, the next one must recognise the folder as ours.
            made_from = {"archive": archive, "sha256": sha256}
            receipts.write(receipts.Receipt("library", "libtorch", [root], made_from))
            with writing_to(root):
                put_in_place(stage, root)
        finally:
            remove(work)
    return _outcome("installed", root, archive)


def _use(root: Path) -> str:
    """The command that uses an existing libtorch."""
    return shlex.join(["torchml-install", "driver", "--torch-root", str(root)])


def _checked(archive: str, sha256: str | None) -> str | None:
    if sha256 is None:
        if _URL.match(archive):
            raise BadOptionError(
                "Downloading a libtorch needs a checksum.",
                "Add --sha256 with the 64 digits that its publisher lists.",
            )
    elif not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise BadOptionError(f"{sha256!r} is not a SHA-256: that has 64 hexadecimal digits.")
    if not _URL.match(archive) and Path(archive).is_dir():
        raise DownloadFailedError(
            f"{archive} is a folder, not an archive.",
            f"Use an unpacked libtorch where it is: `{_use(Path(archive).absolute())}`.",
        )
    if not _URL.match(archive) and not Path(archive).is_file():
        raise DownloadFailedError(
            f"There is no libtorch archive {archive}.",
            "Check the path. The archive is a .zip file from https://pytorch.org/get-started/locally/.",
        )
    return sha256.lower() if sha256 else None


def _outcome(
    state: str, root: Path, archive: str, commands: Sequence[Sequence[str]] = ()
) -> Outcome:
    version = torch.inspect(root, "").version if state == "installed" else archive
    return Outcome("libtorch", version, state, root, "TORCH_ROOT", commands)


def _by_hand(archive: str, sha256: str | None, root: Path) -> list[list[str]]:
    """Equivalent commands, only to show."""
    file, commands = archive, []
    if _URL.match(archive):
        file = str(_kept(sha256 or ""))
        commands.append(["curl", "--fail", "--location", "--output", file, archive])
    if sha256 is not None:
        commands.append(["sh", "-c", f"echo {sha256} '*'\"$0\" | sha256sum --check", file])
    return [*commands, ["unzip", file, "-d", str(root.parent)]]


def _kept(sha256: str) -> Path:
    return cache_folder() / "downloads" / f"libtorch-{sha256[:16]}.zip"


def _download(url: str, sha256: str) -> Path:
    """The file at a URL, kept under its checksum; an interrupted download leaves nothing."""
    kept = _kept(sha256)
    with partial_beside(kept) as folder, console.step("downloading libtorch", unit="MB") as shown:
        if kept.is_file() and receipts.sha256(kept) == sha256:
            return kept
        partial = folder / "libtorch.zip"
        done = 0
        with partial.open("wb") as out:
            for block, total in _blocks(url):
                done += out.write(block)
                shown.advance(done // 10**6, max(total, done) // 10**6)
        _require_checksum(partial, sha256)
        partial.replace(kept)
    return kept


def _blocks(url: str) -> Iterator[tuple[bytes, int]]:
    """The contents at a URL, with the announced number of bytes (0 if unknown).

    Raises only DownloadFailedError: errors of writing the blocks must stay apart.
    """
    # Imported here: most runs download nothing, and importing TLS takes a moment.
    import http.client
    import urllib.request

    done = 0
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT) as answer:
            total = int(answer.headers.get("Content-Length") or 0)
            while block := answer.read(_BLOCK):
                done += len(block)
                yield block, total
    # ValueError: invalid URLs. OSError includes errors of certificates and TLS.
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = str(getattr(error, "reason", "")) or str(error) or type(error).__name__
        raise DownloadFailedError(
            f"Cannot download {url}: {reason}.",
            "Check the URL and the network, or download the file elsewhere and name it with "
            "--libtorch FILE.",
        ) from error
    if total and done != total:
        raise DownloadFailedError(f"The download of {url} ended after {done} of {total} bytes.")


def _require_checksum(file: Path, sha256: str | None) -> str:
    """Returns the file's checksum; raises DownloadFailedError if it is not the expected one."""
    found = receipts.sha256(file)
    if sha256 is not None and found != sha256:
        raise DownloadFailedError(
            f"{file.name} is not the requested archive: its sha256 is {found}, not {sha256}.",
            "Compare the checksum with the publisher's, and download the file again.",
        )
    return found


def _unpack(file: Path, work: Path, root: Path) -> Path:
    """Unpacks into ``work`` if there is room; returns the folder with include/ and lib/."""
    try:
        with (
            zipfile.ZipFile(file) as archive,
            console.step("unpacking libtorch", unit="files") as shown,
        ):
            members = archive.infolist()
            size = sum(member.file_size for member in members)
            for place in (work, root):
                require_room(place, size, "libtorch cannot be unpacked")
            for number, member in enumerate(members, 1):
                archive.extract(member, work)
                shown.advance(number, len(members))
    # zlib.error: a damaged member. RuntimeError: it needs a password or an unknown method.
    except (zipfile.BadZipFile, EOFError, zlib.error, RuntimeError) as error:
        raise DownloadFailedError(
            f"{file} is not a complete .zip archive: {error}.",
            "Download it again from https://pytorch.org/get-started/locally/ (LibTorch).",
        ) from error
    for root in (work / "libtorch", work):
        if (root / "include").is_dir() and (root / "lib").is_dir():
            return root
    shutil.rmtree(work)
    raise DownloadFailedError(
        f"{file} is not a libtorch: it has no folders libtorch/include and libtorch/lib.",
        "Download one from https://pytorch.org/get-started/locally/ (LibTorch).",
    )
