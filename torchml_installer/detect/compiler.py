"""The C++ compiler."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from torchml_installer import files
from torchml_installer.detect.programs import conda_environment, which
from torchml_installer.detect.record import Finding, Place, version_tuple
from torchml_installer.errors import CompilerTooOldError, NoCompilerError, TorchMLError
from torchml_installer.process import quick_output

#: The first release of each compiler that compiles torch's headers of that C++ standard.
_FIRST_RELEASE = {
    ("gcc", 17): 9,
    ("gcc", 20): 11,
    ("clang", 17): 9,
    ("clang", 20): 14,
    ("apple-clang", 17): 12,
    ("apple-clang", 20): 14,
}


@dataclass(frozen=True)
class CompilerFinding(Finding):
    """``where`` is the compiler's program."""

    family: str = ""


def detect(explicit: str | None = None, cxx_standard: int = 17) -> CompilerFinding:
    """Looks in order at --cxx, CXX, the compiler of the active Python's conda environment, and
    c++, g++, clang++ on PATH; the first that runs counts.

    cxx_standard: what torch's headers demand (17, 20, ...).
    """
    broken: CompilerFinding | None = None
    looked: list[Place] = []
    for word, how in _candidates(explicit):
        program = shutil.which(word) if os.sep in word else _on_path(word)
        if program is None:
            if how in ("--cxx", "CXX"):
                message = f"The C++ compiler {word} named by {how} does not exist."
                looked.append(Place(Path(word), how, "does not exist"))
                problem = NoCompilerError(message)
                return replace(_finding(how=how, problem=problem), looked=tuple(looked))
            looked.append(Place(Path(word), how, "no such program"))
            continue
        finding = inspect(Path(program), how, cxx_standard)
        refused = "" if finding.problem is None else finding.problem.message
        looked.append(Place(Path(program), how, refused))
        if not isinstance(finding.problem, NoCompilerError) or how in ("--cxx", "CXX"):
            return replace(finding, looked=tuple(looked))
        broken = broken or finding
    if broken is not None:
        return replace(broken, looked=tuple(looked))
    message = "No C++ compiler found: there is no c++, g++ or clang++ on PATH."
    return replace(_finding(problem=NoCompilerError(message)), looked=tuple(looked))


def inspect(program: Path, how: str, cxx_standard: int) -> CompilerFinding:
    """Which compiler that is, and whether it knows the C++ standard."""
    text = quick_output([program, "--version"])
    match = re.search(r"\d+\.\d+(?:\.\d+)?", _without_parentheses(text or ""))
    if text is None or match is None:
        message = f"The C++ compiler {program} ({how}) does not run."
        return _finding(where=program, how=how, problem=NoCompilerError(message))
    version = match[0]
    family = "gcc"
    if "Apple" in text:
        family = "apple-clang"
    elif "clang" in text:
        family = "clang"
    problem: TorchMLError | None = None
    least = _FIRST_RELEASE.get((family, cxx_standard))
    if least is not None and version_tuple(version) < (least,):
        problem = CompilerTooOldError(
            f"The C++ compiler {program} ({family} {version}) is too old: this torch is written "
            f"in C++{cxx_standard} and needs {family} {least} or newer."
        )
    return _finding(where=program, how=how, version=version, problem=problem, family=family)


def c_compiler_beside(cxx: Path) -> Path | None:
    """The C compiler that belongs to a C++ compiler: ``g++-12`` → ``gcc-12``, ``c++`` → ``cc``."""
    name = cxx.name
    for plus, plain in (("clang++", "clang"), ("g++", "gcc"), ("c++", "cc")):
        if plus in name:
            sibling = cxx.with_name(name.replace(plus, plain))
            return sibling if files.exists(sibling) else None
    return None


def _finding(
    *,
    where: Path | None = None,
    how: str = "",
    version: str = "",
    problem: TorchMLError | None = None,
    family: str = "",
) -> CompilerFinding:
    return CompilerFinding(
        name="compiler",
        title="C++ compiler",
        needed=True,
        where=where,
        how=how,
        version=f"{family} {version}".strip(),
        problem=problem,
        family=family,
    )


def _candidates(explicit: str | None) -> Iterator[tuple[str, str]]:
    if explicit is not None:
        yield explicit, "--cxx"
    if value := os.environ.get("CXX"):
        # CXX may hold a launcher or flags ("ccache g++ -m64"), also a path with spaces.
        yield value if files.exists(Path(value)) else _program_in(value), "CXX"
    if (environment := conda_environment()) is not None:
        # As conda-forge names it; activating the environment would put it into CXX.
        for compiler in files.matching(environment / "bin", "*-conda-*-c++"):
            yield str(compiler), "the active Python"
    for name in ("c++", "g++", "clang++"):
        yield name, "PATH"


def _program_in(command: str) -> str:
    """The compiler in ``ccache g++ -m64``; the whole where it cannot be told."""
    try:
        words = [word for word in shlex.split(command) if not word.startswith("-")]
    except ValueError:  # a quote that is not closed
        return command
    return words[-1] if words else command


def _on_path(name: str) -> str | None:
    found = which(name)
    return str(found[0]) if found else None


def _without_parentheses(text: str) -> str:
    # "c++ (Debian 12.2.0-14) 12.2.0": the packager's version is not the compiler's.
    return re.sub(r"\([^)]*\)", "", text)
