"""Which C++ compiler a program is, and the newest C++ standard that it supports."""

from __future__ import annotations

import re
from pathlib import Path

from torchml_installer.detect import probe
from torchml_installer.detect.record import version_tuple

#: The standards that matter here, the newest first.
STANDARDS = (23, 20, 17)
#: The first release of each compiler that compiles torch's headers of that C++ standard.
_FIRST_RELEASE = {
    ("gcc", 17): 9,
    ("gcc", 20): 11,
    ("gcc", 23): 13,
    ("clang", 17): 9,
    ("clang", 20): 14,
    ("clang", 23): 17,
    ("apple-clang", 17): 12,
    ("apple-clang", 20): 14,
    ("apple-clang", 23): 16,
}
#: A first line that means gcc: "x86_64-conda-linux-gnu-c++ (conda-forge gcc 12.3.0-3) 12.3.0".
_GCC = re.compile(r"\A\S*(?:g\+\+|c\+\+|gcc|cc)\S* \(")


def family_of(text: str) -> str:
    """The family of a compiler, from what it prints for ``--version``; "" if unknown."""
    for words, family in (
        ("Apple", "apple-clang"),
        ("oneAPI DPC++/C++", "icpx"),
        ("(ICC)", "icpc"),
        ("nvc++", "nvc++"),
        ("clang", "clang"),
        ("Free Software Foundation", "gcc"),
    ):
        if words in text:
            return family
    return "gcc" if _GCC.match(text) else ""


def first_release(family: str, standard: int) -> int | None:
    """The first release that supports the standard; None if unknown."""
    return _FIRST_RELEASE.get((family, standard))


def newest_standard(family: str, version: str) -> int | None:
    """By the compiler's release; 14 if it supports none of STANDARDS, None if unknown."""
    if first_release(family, STANDARDS[-1]) is None:
        return None
    reached = (
        standard
        for standard in STANDARDS
        if version_tuple(version) >= (_FIRST_RELEASE[family, standard],)
    )
    return next(reached, 14)


def newest_compiled(program: Path) -> int:
    """By compiling, which takes a moment; 14 if it supports none of STANDARDS."""
    return next((standard for standard in STANDARDS if _compiles(program, standard)), 14)


def _compiles(program: Path, standard: int) -> bool:
    # Some compilers accept an option long before they support the standard.
    before = {23: 202002, 20: 201703, 17: 201402}[standard]
    source = f"#if __cplusplus <= {before}L\n#error too old\n#endif\nint main() {{ return 0; }}\n"
    return probe.links(program, source, [f"-std=c++{standard}"])
