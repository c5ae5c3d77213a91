"""The driver works with every KIM-API since 2.2: it uses nothing that the headers call
deprecated."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.support import ROOT

SOURCES = ROOT / "driver_src" / "src" / "kim"


def headers() -> Path:
    flags = subprocess.run(
        ["pkg-config", "--cflags-only-I", "libkim-api"], capture_output=True, text=True, check=True
    )
    (folder,) = (word[2:] for word in flags.stdout.split() if word.endswith("kim-api"))
    return Path(folder)


def deprecated_routines() -> set[str]:
    """The functions whose documentation, before the declaration, says so."""
    found = set()
    for header in headers().glob("*.hpp"):
        for part in header.read_text().split("\\deprecated")[1:]:
            code = "\n".join(line for line in part.splitlines()[1:] if "///" not in line)
            name = re.search(r"(\w+)\s*\(", code)
            assert name is not None, header
            found.add(name[1])
    return found


def test_no_routine_is_called_that_kim_calls_deprecated() -> None:
    deprecated = deprecated_routines()
    assert "GetParameterFileName" in deprecated
    calls = {
        name
        for file in SOURCES.glob("*.cpp")
        for name in re.findall(r"(?:\.|->|::)(\w+)\s*\(", file.read_text())
    }
    assert {"GetParameterFileBasename", "SetRoutinePointer"} <= calls
    assert calls & deprecated == set()
