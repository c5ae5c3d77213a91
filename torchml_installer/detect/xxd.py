"""xxd, with which KIM's build turns a model's files into C sources. Without it, CMake does the
work, slowly for large models. KIM-API 2.4 and newer have their own program for it."""

from __future__ import annotations

from torchml_installer.detect.programs import places, which
from torchml_installer.detect.record import Finding


def detect() -> Finding:
    found = which("xxd")
    return Finding(
        name="xxd",
        title="xxd",
        where=found[0] if found else None,
        how=found[1] if found else "",
        looked=places("xxd"),
        hint="KIM-API before 2.4 installs large models faster with it: `sudo apt install xxd`.",
    )
