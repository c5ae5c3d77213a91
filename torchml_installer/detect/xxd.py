"""xxd: with it KIM's build turns a model's files into C sources; without it that takes CMake
itself, which is slow for large models. From 2.4 on, KIM-API has a program of its own for that."""

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
        hint="KIM-API before 2.4 installs large models slowly without it: `sudo apt install xxd`.",
    )
