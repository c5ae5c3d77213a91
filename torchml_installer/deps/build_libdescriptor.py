"""Makes a folder for ``LIBDESCRIPTOR_ROOT`` from libdescriptor's published wheel.

The wheel contains a module for three versions of Python, and the C++ library, which needs none of
them. This extracts the library, renames it, replaces its run path, which would search for libraries
below the current folder, and tests it before it is put in place.
"""

from __future__ import annotations

import hashlib
import json
import platform
import sys
import zipfile
from pathlib import Path

from torchml_installer.deps.archives import Archive
from torchml_installer.deps.record import DepsOptions, Outcome
from torchml_installer.detect import libdescriptor as detection
from torchml_installer.detect.known_extensions import RECORD, read_record
from torchml_installer.detect.known_libdescriptor import (
    LIBRARY,
    TITLE,
    VARIABLE,
    VERSION,
    default_prefix,
    library_in,
)
from torchml_installer.errors import (
    DownloadFailedError,
    LibdescriptorUnusableError,
)
from torchml_installer.support import build_folder, receipts
from torchml_installer.support.paths import cache_folder
from torchml_installer.support.placing import put_in_place, remove, require_replaceable, writing_to

WHEEL = Archive(
    "libdescriptor",
    VERSION,
    f"libdescriptor-{VERSION}-py3-none-manylinux_2_5_x86_64.whl",
    "880abe892571856ef0c79cb05e39420763c6faf28b63582eca1bd6e778f1534d",
    # The file's platform: on other machines, _require_platform explains.
    ("--only-binary", ":all:", "--platform", "manylinux_2_5_x86_64"),
)
#: The library in the wheel that needs only the system's libraries.
MEMBER = "libdescriptor.libs/libdescriptor-67dcd8c6.so"
METADATA = f"libdescriptor-{VERSION}.dist-info/METADATA"
#: Text in that library → its replacement; both end with a zero byte.
RENAMES = {
    b"libdescriptor-67dcd8c6.so": LIBRARY.encode(),
    b"libdescriptor.libs": b"$ORIGIN",
}
README = f"""\
libdescriptor {VERSION}, taken from {WHEEL.file}
(https://pypi.org/project/libdescriptor/{VERSION}/) by torchml-install.

Changed by torchml-install: the library's name ({LIBRARY}) and its run path ($ORIGIN).

libdescriptor is licensed under the GNU Lesser General Public License, version 2.1; source code and
licence: https://github.com/openkim/libdescriptor. METADATA is that of the wheel.
"""


def provide(_word: str, options: DepsOptions) -> Outcome:
    """Installs libdescriptor unless it is installed already.

    Raises LibdescriptorUnusableError if its library does not run or gives wrong results,
    DownloadFailedError and NotPermittedError.
    """
    prefix = (options.prefix or default_prefix()).absolute()
    root = prefix / TITLE
    wheel = cache_folder() / "downloads" / WHEEL.file
    commands = [WHEEL.download_command(wheel.parent)]
    if options.sources is not None:
        wheel, commands = options.sources.absolute() / WHEEL.file, []

    def outcome(state: str) -> Outcome:
        done = [] if state == "present" else commands
        switch = ("KIM_MODEL_DESCRIPTOR_BACKEND", "libdescriptor")
        return Outcome(
            "libdescriptor", VERSION, state, root, VARIABLE, done, switch, needs_build=False
        )

    _require_platform()
    ours = options.prefix is None or bool(read_record(root))
    require_replaceable(root, ours=ours, force=options.force)
    if options.dry_run:
        present = not options.force and _is_present(root)
        return outcome("present" if present else "planned")
    receipt = receipts.Receipt("library", TITLE, [root], {"wheel": str(wheel)})
    key = hashlib.sha256(str(prefix).encode(errors="surrogateescape")).hexdigest()[:12]
    work = build_folder.default_parent() / f"deps-{TITLE}-{key}"
    log = cache_folder() / "logs" / f"deps-{TITLE}.log"
    with build_folder.locked(work):
        if not options.force and _is_present(root):
            receipts.write_if_missing(receipt)
            return outcome("present")
        remove(work)
        log.unlink(missing_ok=True)
        try:
            with writing_to(prefix):
                prefix.mkdir(parents=True, exist_ok=True)
            if options.sources is None and not WHEEL.is_whole(wheel):
                WHEEL.download(wheel, log, verbose=options.verbose)
            WHEEL.require_whole(wheel)
            stage = work / "stage"
            unpack(wheel, stage)
            _require_right(stage)
            with writing_to(prefix):
                put_in_place(stage, root)
        finally:
            remove(work)
    receipts.write(receipt)
    return outcome("installed")


def unpack(wheel: Path, stage: Path) -> None:
    """Creates ``stage/lib/libdescriptor.so`` with its documents."""
    documents = stage / "share" / "doc" / "libdescriptor"
    documents.mkdir(parents=True)
    (stage / "lib").mkdir()
    with zipfile.ZipFile(wheel) as archive:
        content = rename(archive.read(MEMBER))
        (documents / "METADATA").write_bytes(archive.read(METADATA))
    (documents / "README").write_text(README, encoding="utf-8")
    library = stage / "lib" / LIBRARY
    library.write_bytes(content)
    library.chmod(0o755)
    record = json.dumps(_record(), indent=2)
    (stage / RECORD).write_text(record + "\n", encoding="utf-8")


def rename(library: bytes) -> bytes:
    """The library with its new name and run path, padded with zeros to the old length."""
    for old, new in RENAMES.items():
        if library.count(b"\0" + old + b"\0") != 1:
            raise DownloadFailedError(
                f"The library in {WHEEL.file} is not the expected one: it does not contain "
                f"{old.decode()} exactly once."
            )
        library = library.replace(b"\0" + old + b"\0", b"\0" + new.ljust(len(old), b"\0") + b"\0")
    return library


def _require_platform() -> None:
    machine = platform.machine()
    if sys.platform != "linux" or machine not in ("x86_64", "AMD64"):
        raise LibdescriptorUnusableError(
            "libdescriptor is published for Linux on x86_64 only; this machine is "
            f"{sys.platform} on {machine}.",
            "Use the driver's own descriptors, or build libdescriptor from its sources and set "
            f"{VARIABLE} to its installation.",
        )


def _require_right(stage: Path) -> None:
    problem = detection.problem_of(stage / "lib" / LIBRARY)
    if problem is not None:
        raise LibdescriptorUnusableError(
            f"The downloaded libdescriptor does not work here: {problem}.",
            "Use the driver's own descriptors: leave KIM_MODEL_DESCRIPTOR_BACKEND unset.",
        )


def _is_present(root: Path) -> bool:
    return library_in(root) is not None and read_record(root) == _record()


def _record() -> dict[str, str]:
    return {"package": "libdescriptor", "version": VERSION, "sha256": WHEEL.sha256}
