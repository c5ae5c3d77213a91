"""KIM-API: its CMake packages for drivers and models, and the program that lists collections."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from torchml_installer.detect.programs import conda_environments, which, which_all
from torchml_installer.detect.record import Finding, Place, correction, once, version_tuple
from torchml_installer.errors import NoKimApiError, TorchMLError
from torchml_installer.support import files
from torchml_installer.support.process import quick_output

MINIMUM = (2, 2)
_VARIABLE = "KIM_API_CMAKE_PREFIX_DIR"
_PROGRAM = "kim-api-collections-management"
_CMAKE_PARENTS = ("share/cmake", "lib/cmake", "lib/*/cmake", "lib64/cmake")
_LIBRARIES = ("lib", "lib64", "lib/*-linux-gnu*")
_LIBEXEC = ("libexec/kim-api", "lib/*/libexec/kim-api", "lib/libexec/kim-api")


@dataclass(frozen=True)
class KimFinding(Finding):
    """``where`` is the prefix (``/usr``, a conda environment)."""

    collections_info: Path | None = None

    @property
    def library(self) -> Path | None:
        """The library libkim-api; None if the prefix has none."""
        if self.where is None:
            return None
        for pattern in _LIBRARIES:
            for folder in files.matching(self.where, pattern):
                for name in ("libkim-api.so.2", "libkim-api.so"):
                    if files.is_file(folder / name):
                        return folder / name
        return None


def detect(explicit: Path | None = None) -> KimFinding:
    """Searches, in order: --kim-root, KIM_API_CMAKE_PREFIX_DIR, CONDA_PREFIX, the active Python's
    conda environment, pkg-config, the prefixes of the programs on PATH, /usr/local and /usr.
    """
    chosen: KimFinding | None = None
    incomplete: KimFinding | None = None
    others: list[Path] = []
    looked: list[Place] = []
    for place in once(_candidates(explicit)):
        if place.refused:
            looked.append(place)
            continue
        finding = inspect(place.where, place.how)
        # Never replace a place that the user named by another one.
        named = place.how in ("--kim-root", _VARIABLE)
        if finding is None:
            refused = "no KIM-API there"
        elif finding.problem is not None:
            refused = finding.problem.message
        else:
            refused = f"{finding.version}: an earlier one is used" if chosen else ""
        looked.append(replace(place, refused=refused))
        if named and finding is None:
            reason = files.obstacle(place.where)
            message = f"There is no KIM-API in {place.where} ({place.how})"
            problem = NoKimApiError(f"{message}{f': {reason}' if reason else ''}.")
            finding = _finding(how=place.how, problem=problem)
        if finding is None:
            continue
        if chosen is None and (finding.usable or named):
            chosen = finding
        elif finding.usable:
            others.append(place.where)
        incomplete = incomplete or finding
    if chosen is not None and chosen.where is None and chosen.problem is not None:
        chosen.problem.remedy = correction(chosen.how, "--kim-root", others)
    chosen = chosen or incomplete
    if chosen is None:
        places = "KIM_API_CMAKE_PREFIX_DIR, CONDA_PREFIX, pkg-config, PATH, /usr/local and /usr"
        chosen = _finding(problem=NoKimApiError(f"No KIM-API found. Searched {places}."))
    return replace(chosen, looked=tuple(looked))


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
            f"The KIM-API in {prefix} lacks the files to build drivers and models "
            "(cmake/kim-api-items)."
        )
    elif info is None:
        problem = NoKimApiError(
            f"The KIM-API in {prefix} lacks the program kim-api-collections-info."
        )
    elif version and version_tuple(version) < MINIMUM:
        problem = NoKimApiError(
            f"The KIM-API in {prefix} is version {version}; the driver needs 2.2 or newer."
        )
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


def _candidates(explicit: Path | None) -> Iterator[Place]:
    """Prefixes to consider, and places without one, each with the reason."""
    if explicit is not None:
        yield Place(_prefix_above(explicit.absolute()), "--kim-root")
    if value := os.environ.get(_VARIABLE):
        yield Place(_prefix_above(Path(value).absolute()), _VARIABLE)
    else:
        yield Place(Path(f"${_VARIABLE}"), _VARIABLE, "not set")
    environments = conda_environments()
    if not environments:
        yield Place(Path("$CONDA_PREFIX"), "CONDA_PREFIX", "not set")
    for environment, how in environments:
        yield Place(environment, how)
    yield _by_pkg_config()
    programs = which_all(_PROGRAM)
    if not programs:
        yield Place(Path(_PROGRAM), "PATH", "no such program")
    for program, _how in programs:
        yield Place(program.resolve().parent.parent, "PATH")
    yield Place(Path("/usr/local"), "/usr/local")
    yield Place(Path("/usr"), "/usr")


def _by_pkg_config() -> Place:
    found = which("pkg-config")
    if found is None:
        return Place(Path("pkg-config"), "pkg-config", "no such program")
    value = quick_output([found[0], "--variable=prefix", "libkim-api"], timeout=3)
    if not value:
        return Place(found[0], "pkg-config", "it knows no libkim-api")
    # Debian's file has /usr/lib/x86_64-linux-gnu/pkgconfig/../../../
    return Place(Path(os.path.normpath(value)), "pkg-config")


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
