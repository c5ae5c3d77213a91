"""Environment modules of clusters (Lmod, Tcl modules), which affect what is found."""

from __future__ import annotations

import os
from pathlib import Path

from torchml_installer.detect.record import Finding, Place
from torchml_installer.support import files


def detect() -> Finding:
    """Checks LMOD_CMD and MODULESHOME; LOADEDMODULES lists what is loaded."""
    looked: list[Place] = []
    for name, family in (("LMOD_CMD", "Lmod"), ("MODULESHOME", "modules")):
        value = os.environ.get(name)
        if not value:
            looked.append(Place(Path(f"${name}"), name, "not set"))
            continue
        if not files.exists(Path(value)):
            looked.append(Place(Path(value), name, "does not exist"))
            continue
        looked.append(Place(Path(value), name))
        loaded = [word for word in os.environ.get("LOADEDMODULES", "").split(":") if word]
        version = os.environ.get("LMOD_VERSION", "") if family == "Lmod" else ""
        return Finding(
            name="modules",
            title="modules",
            where=Path(value),
            how=name,
            version=f"{family} {version}".strip(),
            details={"loaded": " ".join(loaded) or "none"},
            looked=tuple(looked),
        )
    return Finding(
        name="modules",
        title="modules",
        hint="Not needed: environment modules are for clusters.",
        looked=tuple(looked),
    )
