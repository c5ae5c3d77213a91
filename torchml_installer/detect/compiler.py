"""The C++ compiler."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from torchml_installer.detect.compiler_family import (
    STANDARDS,
    family_of,
    first_release,
    newest_compiled,
    newest_standard,
)
from torchml_installer.detect.programs import conda_environments, search_path, which, which_all
from torchml_installer.detect.record import Finding, Place, correction, version_tuple
from torchml_installer.errors import CompilerTooOldError, NoCompilerError, TorchMLError
from torchml_installer.support import files
from torchml_installer.support.process import quick_output

#: How a user chooses a compiler; no other one counts then.
_NAMED = ("--cxx", "CXX")
_COMPILER = re.compile(r"[gc]\+\+|clang|icpx|nvc\+\+")
_NUMBERED = re.compile(r"(g\+\+|clang\+\+)-(\d+(?:\.\d+)?)")


@dataclass(frozen=True)
class CompilerFinding(Finding):
    """``where`` is the compiler's program, even if that does not run."""

    family: str = ""
    #: The newest C++ standard that it supports (17, 20, ...); None if unknown.
    newest_standard: int | None = None

    @property
    def runs(self) -> bool:
        return not isinstance(self.problem, NoCompilerError)


def detect(
    explicit: str | None = None, cxx_standard: int = 17, *, thorough: bool = True
) -> CompilerFinding:
    """Searches, in order: --cxx, CXX, the compilers of CONDA_PREFIX and of the active Python's
    conda environment, c++, g++ and clang++ on PATH, those with a number (g++-13; the newest first),
    icpx and nvc++. Uses the first that runs, and lists the others with the standard they support.

    cxx_standard: what torch's headers need (17, 20, ...). thorough: also examine the compilers
    after a usable one.
    """
    candidates = list(_candidates(explicit))
    programs = [_program(word) for word, _ in candidates]
    if not thorough and programs and programs[0] is not None:
        first = inspect(programs[0], candidates[0][1], cxx_standard)
        if first.usable and first.newest_standard is not None:
            return replace(first, looked=(Place(programs[0], first.how),))
    # c++, g++ and g++-12 are often links to one program, which needs to run only once.
    asked = {_behind(program): program for program in reversed(programs) if program}
    with ThreadPoolExecutor() as pool:
        answers = dict(zip(asked, pool.map(_version_text, asked.values()), strict=True))
    found = [
        _told_by(answers[_behind(program)], program, how, cxx_standard)
        if program
        else _missing(word, how)
        for (word, how), program in zip(candidates, programs, strict=True)
    ]
    chosen = next((one for one in found if one.how in _NAMED or one.runs), None)
    if chosen is None:
        # A compiler that does not run explains more than none.
        chosen = next((one for one in found if one.where is not None), None)
    looked = tuple(
        Place(one.where or Path(word), how, _refused(one, taken=one is chosen))
        for (word, how), one in zip(candidates, found, strict=True)
    )
    if chosen is None:
        message = "No C++ compiler found: PATH has no c++, g++ or clang++."
        return replace(_finding(problem=NoCompilerError(message)), looked=looked)
    judged = _asked(chosen, cxx_standard)
    others = [one.where for one in found if one.usable and one is not chosen and one.where]
    if isinstance(judged.problem, CompilerTooOldError) and others:
        judged.problem.remedy += f" This one works: --cxx {shlex.quote(str(others[0]))}"
    elif isinstance(judged.problem, NoCompilerError) and judged.how in _NAMED:
        judged.problem.remedy = correction(judged.how, "--cxx", others)
    return replace(judged, looked=looked)


def _behind(program: Path) -> Path:
    """The compiler behind a link, unless the target is not named like a compiler (ccache)."""
    behind = files.resolved(program)
    return behind if _COMPILER.search(behind.name) else program


def _version_text(program: Path) -> str | None:
    return quick_output([program, "--version"])


def inspect(program: Path, how: str, cxx_standard: int) -> CompilerFinding:
    """The compiler at that path, and whether its release supports the C++ standard."""
    return _told_by(_version_text(program), program, how, cxx_standard)


def _told_by(text: str | None, program: Path, how: str, cxx_standard: int) -> CompilerFinding:
    """The compiler that prints this for ``--version``."""
    match = re.search(r"\d+\.\d+(?:\.\d+)?", _without_parentheses(text or ""))
    if text is None or match is None:
        message = f"The C++ compiler {program} ({how}) does not run."
        return _finding(where=program, how=how, problem=NoCompilerError(message))
    family = family_of(text)
    found = _finding(where=program, how=how, version=match[0], family=family)
    return _judged(found, newest_standard(family, match[0]), cxx_standard)


def _judged(found: CompilerFinding, newest: int | None, cxx_standard: int) -> CompilerFinding:
    """``found``, with the standard it supports and whether that is enough."""
    if newest is None:
        return found
    problem: TorchMLError | None = None
    if newest < cxx_standard and cxx_standard in STANDARDS:
        least = first_release(found.family, cxx_standard)
        wanted = f"{found.family} {least} or newer" if least else "a compiler that supports it"
        problem = CompilerTooOldError(
            f"The C++ compiler {found.where} ({found.version}) is too old: the headers of this "
            f"torch need C++{cxx_standard}, that is {wanted}."
        )
    details = {"newest C++ standard": str(newest)}
    return replace(found, newest_standard=newest, problem=problem, details=details)


def _asked(found: CompilerFinding, cxx_standard: int) -> CompilerFinding:
    """``found``; tests the compiler for the standard it supports if its release is unknown."""
    if found.where is None or not found.runs or found.newest_standard is not None:
        return found
    return _judged(found, newest_compiled(found.where), cxx_standard)


def _program(word: str) -> Path | None:
    program = shutil.which(word) if os.sep in word else _on_path(word)
    return Path(program) if program else None


def _missing(word: str, how: str) -> CompilerFinding:
    message = "no such program"
    if how in _NAMED:
        there = os.sep in word and files.exists(Path(word))
        what = "is not an executable program" if there else "does not exist"
        if not there and how == "--cxx" and len(word.split()) > 1:
            what += ": --cxx takes a program without flags; put flags into CXXFLAGS"
        message = f"The C++ compiler {word} given by {how} {what}."
    return _finding(how=how, problem=NoCompilerError(message))


def _refused(found: CompilerFinding, *, taken: bool) -> str:
    if taken or not found.runs:
        return "" if found.problem is None else found.problem.message
    newest = found.newest_standard
    reaches = f"up to C++{newest}" if newest else "its C++ standard was not checked"
    return f"{found.version}, {reaches}: an earlier one is used"


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
    """Names or paths, and why they are considered."""
    if explicit is not None:
        yield explicit, "--cxx"
    if value := os.environ.get("CXX"):
        # CXX may contain a launcher or flags ("ccache g++ -m64"), also a path with spaces.
        yield value if files.exists(Path(value)) else _program_in(value), "CXX"
    for environment, how in conda_environments():
        # As conda-forge names it; activating the environment would put it into CXX.
        for compiler in files.matching(environment / "bin", "*-conda-*-c++"):
            yield str(compiler), how
    for name in ("c++", "g++", "clang++", *_numbered(), "icpx", "nvc++"):
        yield from _all_on_path(name)


def _program_in(command: str) -> str:
    """The compiler in ``ccache g++ -m64``; the whole text if it is unclear."""
    try:
        words = [word for word in shlex.split(command) if not word.startswith("-")]
    except ValueError:  # an unclosed quote
        return command
    return words[-1] if words else command


def _on_path(name: str) -> str | None:
    found = which(name)
    return str(found[0]) if found else None


def _all_on_path(name: str) -> list[tuple[str, str]]:
    return [(str(path), how) for path, how in which_all(name)] or [(name, "PATH")]


def _numbered() -> list[str]:
    """The names with a number, g++ before clang++, the newest first."""
    found = {
        (match[1] == "g++", version_tuple(match[2])): match[0]
        for folder, _ in search_path()
        for name in files.names(folder)
        if (match := _NUMBERED.fullmatch(name))
    }
    return [found[key] for key in sorted(found, reverse=True)]


def _without_parentheses(text: str) -> str:
    # "c++ (Debian 12.2.0-14) 12.2.0": the version in parentheses is the package's.
    return re.sub(r"\([^)]*\)", "", text)
