"""libtorch: PyTorch's C++ libraries and headers. Reads torch's files, and never imports torch."""

from __future__ import annotations

import dataclasses
import importlib.machinery
import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from torchml_installer.detect.record import (
    Finding,
    Place,
    correction,
    named_by,
    once,
    version_tuple,
)
from torchml_installer.errors import (
    IncompleteTorchError,
    NoTorchError,
    OldAbiTorchError,
    TorchMLError,
    TorchTooOldError,
)
from torchml_installer.support import files, receipts
from torchml_installer.support.paths import data_folder
from torchml_installer.support.user_python import in_tool_environment, user_python

# LibtorchPlaces.cmake repeats everything up to SYSTEM, and the order of the search; a test compares
# the two.
MINIMUM = (1, 13)
#: The newest release that the driver was built and tested with.
NEWEST = (2, 15)
#: Variables that modules set: EasyBuild's first, then Spack's and those of hand-written modules.
MODULES = (
    *("EBROOTPYTORCH", "PY_TORCH_ROOT", "PYTORCH_ROOT", "PYTORCH_HOME", "LIBTORCH_ROOT"),
    *("LIBTORCH_HOME", "LIBTORCH", "CMAKE_PREFIX_PATH"),
)
#: The system's folders, and why there.
SYSTEM = (
    (Path("/usr"), "Debian's libtorch-dev"),
    (Path("/usr/local"), "/usr/local"),
    (Path("/opt/libtorch"), "/opt"),
)
_PLACES = (
    "the active Python, CONDA_PREFIX, modules, what `torchml-install deps` installed, /usr, "
    "/usr/local and /opt/libtorch"
)
#: How a user names a libtorch; no other place counts then.
_NAMED = ("--torch-root", "TORCH_ROOT", "Torch_ROOT")
_CMAKE_FOLDERS = ("share/cmake/Torch", "lib/cmake/Torch", "lib/*/cmake/Torch")
_LIBRARY_FOLDERS = ("lib", "lib64", "lib/*-linux-gnu*")
#: Headers that state the C++ standard they demand, in releases old and new.
_GUARDED_HEADERS = ("include/ATen/ATen.h", "include/torch/csrc/api/include/torch/all.h")


@dataclass(frozen=True)
class TorchFinding(Finding):
    """``where`` is the root, the value of ``TORCH_ROOT``: it holds include/ and lib/."""

    old_abi: bool = False
    cxx_standard: int = 17
    #: Other usable installations, for the remedy of an unusable one.
    alternatives: tuple[Path, ...] = ()

    @property
    def newer_than_tested(self) -> bool:
        return version_tuple(self.version)[:2] > NEWEST


def detect(explicit: Path | None = None) -> TorchFinding:
    """Searches, in order: --torch-root, TORCH_ROOT, Torch_ROOT, the active Python, CONDA_PREFIX,
    the variables of modules, what ``deps --libtorch`` unpacked, /usr (Debian), /usr/local and
    /opt/libtorch. Takes the first installation, usable or not: silently taking a second one would
    build against another torch than the user runs.

    Builds with KIM's own command and with pip search in the same order, see LibtorchPlaces.cmake.
    They do not know the options, an active environment behind another Python on PATH, or the
    libtorch of ``deps --prefix``.
    """
    first: TorchFinding | None = None
    alternatives: list[Path] = []
    looked: list[Place] = []
    for place in once(_candidates(explicit)):
        if place.refused:
            looked.append(place)
            continue
        finding = inspect(place.where, place.how)
        named = place.how in _NAMED
        refused = "" if finding.problem is None else finding.problem.message
        if isinstance(finding.problem, NoTorchError):
            refused = refused.rpartition(f"({place.how}): ")[2].rstrip(".")
        if first is not None and not refused:
            refused = f"{finding.version or 'a torch'}: an earlier one is used"
        looked.append(dataclasses.replace(place, refused=refused))
        if first is None and (named or not isinstance(finding.problem, NoTorchError)):
            first = finding
        elif finding.usable:
            alternatives.append(place.where)
    if first is None:
        problem = NoTorchError(f"No libtorch found. Searched {_PLACES}.")
        if (explanation := in_tool_environment(user_python())) is not None:
            problem.remedy = f"{explanation[1]} If there is none: {problem.remedy}"
        return dataclasses.replace(_finding(problem=problem), looked=tuple(looked))
    if first.how in _NAMED and isinstance(first.problem, NoTorchError):
        first.problem.remedy = correction(first.how, "--torch-root", alternatives)
    elif alternatives and first.problem is not None:
        other = shlex.quote(str(alternatives[0]))
        first.problem.remedy += f" This one works: --torch-root {other}"
    return dataclasses.replace(first, alternatives=tuple(alternatives), looked=tuple(looked))


def inspect(root: Path, how: str) -> TorchFinding:
    """Examines the libtorch in ``root``."""
    library = _library(root, "libtorch_cpu.so")
    header = root / "include/ATen/ATen.h"
    if library is None and not files.is_file(header):
        lacks = "the folder has neither include/ATen nor lib/"
        if not files.exists(root):
            lacks = "the folder does not exist"
        reason = files.obstacle(root) or lacks
        message = f"There is no libtorch in {root} ({how}): {reason}."
        return _finding(how=how, problem=NoTorchError(message))
    problem: TorchMLError | None = None
    old_abi = _has_old_abi(root)
    version = _version(root)
    if library is None or _library(root, "libc10.so") is None:
        missing = "libtorch_cpu" if library is None else "libc10"
        problem = IncompleteTorchError(f"The torch in {root} lacks the library {missing}.")
    elif not files.is_file(header) or not files.is_file(root / "include/torch/script.h"):
        problem = IncompleteTorchError(
            f"The torch in {root} lacks its C++ headers (include/torch/script.h)."
        )
    elif version and version_tuple(version) < MINIMUM:
        problem = TorchTooOldError(
            f"The torch in {root} is version {version}; the driver needs 1.13 or newer."
        )
    elif old_abi:
        problem = OldAbiTorchError(
            f"torch {version} in {root} uses the old C++ ABI (_GLIBCXX_USE_CXX11_ABI=0), and "
            "cannot be linked with the KIM-API."
        )
    standard = _cxx_standard(root)
    details = {
        "build": _build(root),
        "C++ ABI": "old" if old_abi else "C++11",
        "C++ standard": str(standard),
    }
    return _finding(
        where=root,
        how=how,
        version=version,
        problem=problem,
        details=details,
        old_abi=old_abi,
        cxx_standard=standard,
    )


def _finding(
    *,
    where: Path | None = None,
    how: str = "",
    version: str = "",
    problem: TorchMLError | None = None,
    details: dict[str, str] | None = None,
    old_abi: bool = False,
    cxx_standard: int = 17,
) -> TorchFinding:
    return TorchFinding(
        name="torch",
        title="libtorch",
        needed=True,
        where=where,
        how=how,
        version=version,
        problem=problem,
        details=details or {},
        old_abi=old_abi,
        cxx_standard=cxx_standard,
    )


def _candidates(explicit: Path | None) -> Iterator[Place]:
    """Folders to search, and places that lead to none, with the reason."""
    if explicit is not None:
        yield Place(explicit.absolute(), "--torch-root")
    for variable in ("TORCH_ROOT", "Torch_ROOT"):
        yield named_by(variable)
    if (package := python_torch_folder()) is None:
        yield Place(user_python().prefix, "the active Python", "it has no package torch")
    else:
        yield Place(_root_of_package(package), "the active Python")
    yield named_by("CONDA_PREFIX")
    yield from _of_modules()
    roots = (deps_folder(), *receipts.library_roots("libtorch"))
    for root in dict.fromkeys(roots):
        yield Place(root, "torchml-install deps")
    yield from (Place(root, how) for root, how in SYSTEM)


def _root_of_package(package: Path) -> Path:
    """The installation that a Python package belongs to.

    conda-forge and Debian split torch: its libraries and headers are in the lib/ and include/ of
    the environment or the system, and the package contains at most links to the libraries.
    """
    if files.is_dir(package / "include/ATen"):
        return package
    if _library(user_python().prefix, "libtorch_cpu.so") is not None:
        return user_python().prefix
    library = package / "lib/libtorch_cpu.so"
    folder = files.resolved(library).parent
    if folder.match("lib/*-linux-gnu*"):
        folder = folder.parent
    return folder.parent if files.is_file(library) and folder.name in ("lib", "lib64") else package


def _of_modules() -> Iterator[Place]:
    """Places from the variables of a cluster's modules: EasyBuild's, Spack's, hand-written ones."""
    named = [
        (Path(part), variable)
        for variable in MODULES
        for part in os.environ.get(variable, "").split(os.pathsep)
        if part
    ]
    if not named:
        others = f"not set, and neither is any of {', '.join(MODULES[1:])}"
        yield Place(Path(f"${MODULES[0]}"), "modules", others)
    for folder, variable in named:
        how = f"the module {variable}"
        # torch.utils.cmake_prefix_path is the folder share/cmake of the Python package.
        root = folder.parents[1] if folder.parts[-2:] == ("share", "cmake") else folder
        packages = files.matching(root, "lib/python3*/site-packages/torch")
        for place in packages or [root]:
            yield Place(place, how)


def deps_folder() -> Path:
    """The folder into which ``deps --libtorch`` unpacks an archive."""
    return data_folder() / "deps" / "libtorch"


def python_torch_folder() -> Path | None:
    """The folder of the package ``torch`` of the active Python, without importing it."""
    try:
        spec = user_python().find_spec("torch")
    except (ImportError, ValueError):
        return None
    return _package_folder(spec)


def _package_folder(spec: importlib.machinery.ModuleSpec | None) -> Path | None:
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))


def _library(root: Path, name: str) -> Path | None:
    for pattern in _LIBRARY_FOLDERS:
        for folder in files.matching(root, pattern):
            if files.is_file(folder / name):
                return folder / name
    return None


def library_folder(root: Path | None) -> Path | None:
    """The folder of a libtorch's libraries; None if it has none."""
    library = None if root is None else _library(root, "libtorch_cpu.so")
    return None if library is None else library.parent


def shared_libraries(root: Path) -> list[Path]:
    """Every library of a libtorch; first libc10, which is small and has the most common symbols."""
    found = [
        library
        for pattern in _LIBRARY_FOLDERS
        for folder in files.matching(root, pattern)
        for name in ("libc10*", "libtorch*")
        for library in files.matching(folder, f"{name}.so")
    ]
    return list(dict.fromkeys(found))


def _text(path: Path, limit: int = 200_000) -> str:
    """The beginning of a text file; empty when it cannot be read."""
    try:
        with path.open(encoding="utf-8", errors="replace") as stream:
            return stream.read(limit)
    except OSError:
        return ""


def _cmake_text(root: Path, name: str) -> str:
    for pattern in _CMAKE_FOLDERS:
        for folder in files.matching(root, pattern):
            if text := _text(folder / name):
                return text
    return ""


def _has_old_abi(root: Path) -> bool:
    # Recent releases have the new ABI and do not mention it.
    return "_GLIBCXX_USE_CXX11_ABI=0" in _cmake_text(root, "TorchConfig.cmake")


def _version(root: Path) -> str:
    sources = (
        (_text(root / "version.py"), r"__version__\s*(?::[^=]*)?=\s*['\"]([^'\"]+)"),
        (_text(root / "build-version", 100), r"\A\s*(\d\S*)"),
        (
            _text(root / "include/torch/csrc/api/include/torch/version.h"),
            r'define\s+TORCH_VERSION\s+"([^"]+)"',
        ),
        (
            _text(root / "include/torch/headeronly/version.h"),
            r'define\s+TORCH_VERSION\s+"([^"]+)"',
        ),
        (_cmake_text(root, "TorchConfigVersion.cmake"), r'PACKAGE_VERSION\s+"([^"]+)"'),
    )
    for text, pattern in sources:
        if match := re.search(pattern, text):
            return match[1]
    return ""


def _build(root: Path) -> str:
    text = _text(root / "version.py")
    for name, key in (("CUDA", "cuda"), ("ROCm", "hip"), ("XPU", "xpu")):
        if match := re.search(rf"^{key}\b[^=\n]*=\s*['\"]([^'\"]+)", text, re.MULTILINE):
            return f"{name} {match[1]}"
    for name, library in (("CUDA", "libtorch_cuda"), ("ROCm", "libtorch_hip")):
        if _library(root, f"{library}.so") is not None:
            return name
    return "CPU"


def _cxx_standard(root: Path) -> int:
    """The C++ standard (17, 20, ...) that this torch demands of code that includes it.

    The highest of those in the headers' guards and TorchConfig.cmake. The headers use C++20 since
    2.8, though some releases state 17 in both places.
    """
    standards = [17]
    if version_tuple(_version(root)) >= (2, 8):
        standards.append(20)
    guard = re.compile(r"__cplusplus\s*<\s*20(\d\d)\d\dL")
    for header in _GUARDED_HEADERS:
        standards.extend(int(year) for year in guard.findall(_text(root / header)))
    text = _cmake_text(root, "TorchConfig.cmake")
    for pattern in (r"CXX_STANDARD\s+(\d\d)\b", r"cxx_std_(\d\d)\b"):
        standards.extend(int(value) for value in re.findall(pattern, text))
    # 98 is the only standard older than 11, and larger as a number.
    return max(value for value in standards if value < 90)
