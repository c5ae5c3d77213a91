"""xxd, with which KIM's own CMake code, before 2.4, turns a model's files into C sources. Without
it, CMake does the work, slowly for large models. Where ``models/embed.cmake`` lets the assembler
embed the files, neither is needed."""

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
        hint="Only for models that other programs packed, where KIM's own command installs them: "
        "before KIM-API 2.4, it does so faster with xxd (`sudo apt install xxd`).",
    )
