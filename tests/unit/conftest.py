"""The C++ programs of this folder, built."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.support import KEPT, ROOT, build_driver_tree

PROGRAMS = ("torchml_unit_tests", "torchml_read_files")


@pytest.fixture(scope="session")
def programs() -> Path:
    """The folder with the programs; compiling them takes some 20 seconds, once.

    With the sanitizers, if the driver is to have them (``python -m tests.sanitize``).
    """
    pytest.importorskip("torch", reason="they are linked with a libtorch")
    compiler = shutil.which(os.environ.get("CXX", "c++"))
    if compiler is None:
        pytest.skip("there is no C++ compiler")
    if not _has_doctest(compiler):
        pytest.skip("doctest is not installed (`apt install doctest-dev`)")
    sanitizers = os.environ.get("TORCHML_SANITIZE", "")
    build = build_driver_tree(
        KEPT / ("unit-tests-sanitized" if sanitizers else "unit-tests"),
        targets=PROGRAMS,
        TORCHML_UNIT_TESTS=ROOT / "tests" / "unit",
        TORCHML_KIM="OFF",
        TORCHML_SANITIZE=sanitizers,
    )
    return build / "unit_tests"


def _has_doctest(compiler: str) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "probe.cpp")
        source.write_text("#include <doctest/doctest.h>\n")
        command = [compiler, "-fsyntax-only", str(source)]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
