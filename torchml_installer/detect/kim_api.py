"""KIM-API: its CMake packages for building items, and the program that knows its collections."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from torchml_installer import files
from torchml_installer.detect.programs import conda_environment, which, which_all
from torchml_installer.detect.record import Finding, Place, version_tuple
from torchml_installer.errors import NoKimApiError, TorchMLError
from torchml_installer.process import quick_output

MINIMUM = (2, 2)
_CMAKE_PARENTS = ("share/cmake", "lib/cmake", "lib/*/cmake", "lib64/cmake")
_LIBEXEC = ("libexec/kim-api", "lib/*/libexec/kim-api", "lib/libexec/kim-api")


@dataclass(frozen=True)
class KimFinding(Finding):
    """``where`` is the prefix (``/usr``, a conda environment)."""

    collections_info: Path | None = None


def detect(explicit: Path | None = None) -> KimFinding:
    """Looks in order at --kim-root, KIM_API_CMAKE_PREFIX_DIR, CONDA_PREFIX, the active Python's
    conda environment, pkg-config, the prefixes of the programs on PATH, /usr/local and /usr.
    """
    incomplete: KimFinding | None = None
    looked: list[Place] = []
    for prefix, how in _candidates(explicit):
        finding = inspect(prefix, how)
        if finding is None:
            looked.append(Place(prefix, how, "there is no KIM-API"))
        else:
            refused = "" if finding.problem is None else finding.problem.message
            looked.append(Place(prefix, how, refused))
        named = how in ("--kim-root", "KIM_API_CMAKE_PREFIX_DIR")
        if finding is None and named:
            reason = files.obstacle(prefix)
            problem = NoKimApiError(
                f"There is no KIM-API in {prefix} ({how}){f': {reason}' if reason else ''}."
            )
            return replace(_finding(how=how, problem=problem), looked=tuple(looked))
        if finding is None:
            continue
        # A place that the user named is never passed over for another one.
        if finding.usable or named:
            return replace(finding, looked=tuple(looked))
        incomplete = incomplete or finding
    if incomplete is not None:
        return replace(incomplete, looked=tuple(looked))
    places = "KIM_API_CMAKE_PREFIX_DIR, CONDA_PREFIX, pkg-config, PATH, /usr/local and /usr"
    problem = NoKimApiError(f"No KIM-API found: looked at {places}.")
    return replace(_finding(problem=problem), looked=tuple(looked))


def inspect(prefix: Path, how: str) -> KimFinding | None:
    """The KIM-API under ``prefix``, None if there is none at all."""
    config = _first(prefix, _CMAKE_PARENTS, "kim-api/kim-api-config.cmake")
    items = _first(prefix, _CMAKE_PARENTS, "kim-api-items/kim-api-items-config.cmake")
    info = _first(prefix, _LIBEXEC, "kim-api-collections-info")
    if info is None and config is None:
        return None
    version = _version(config) if config else ""
    problem: TorchMLError | None = None
    if config is None or items is None:
        problem = NoKimApiError(
            f"The KIM-API in {prefix} lacks the files needed to build drivers and models "
            "(cmake/kim-api-items)."
        )
    elif info is None:
        problem = NoKimApiError(
            f"The KIM-API in {prefix} lacks the program kim-api-collections-info."
        )
    elif version and version_tuple(version) < MINIMUM:
        problem = NoKimApiError(f"The KIM-API in {prefix} is {version}; 2.2 or newer is needed.")
    return _finding(where=prefix, how=how, version=version, problem=problem, info=info)


def _finding(
    *,
    where: Path | None = None,
    how: str = "",
    version: str = "",
    problem: TorchMLError | None = None,
    info: Path | None = None,
) -> KimFinding:
    return KimFinding(
        name="kim-api",
        title="KIM-API",
        needed=True,
        where=where,
        how=how,
        version=version,
        problem=problem,
        collections_info=info,
    )


def _candidates(explicit: Path | None) -> Iterator[tuple[Path, str]]:
    if explicit is not None:
        yield _prefix_above(explicit.absolute()), "--kim-root"
    if value := os.environ.get("KIM_API_CMAKE_PREFIX_DIR"):
        yield _prefix_above(Path(value).absolute()), "KIM_API_CMAKE_PREFIX_DIR"
    if value := os.environ.get("CONDA_PREFIX"):
        yield Path(value), "CONDA_PREFIX"
    if (environment := conda_environment()) is not None:
        yield environment, "the active Python"
    pkg_config = which("pkg-config")
    if pkg_config and (
        value := quick_output([pkg_config[0], "--variable=prefix", "libkim-api"], timeout=3)
    ):
        # Debian's file says /usr/lib/x86_64-linux-gnu/pkgconfig/../../../
        yield Path(os.path.normpath(value)), "pkg-config"
    for program, _how in which_all("kim-api-collections-management"):
        yield program.resolve().parent.parent, "PATH"
    yield Path("/usr/local"), "/usr/local"
    yield Path("/usr"), "/usr"


def _prefix_above(folder: Path) -> Path:
    """The installation prefix of a folder such as ``PREFIX/share/cmake``, which KIM's own
    activation script puts into KIM_API_CMAKE_PREFIX_DIR."""
    for candidate in (folder, *list(folder.parents)[:4]):
        if _first(candidate, _LIBEXEC, "kim-api-collections-info"):
            return candidate
    return folder


def _first(prefix: Path, parents: tuple[str, ...], name: str) -> Path | None:
    for pattern in parents:
        for folder in files.matching(prefix, pattern):
            if files.is_file(folder / name):
                return folder / name
    return None


def _version(config: Path) -> str:
    try:
        text = config.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    match = re.search(r'KIM-API_VERSION_STRING\s+"(\d+(?:\.\d+)*)', text)
    return match[1] if match else ""
