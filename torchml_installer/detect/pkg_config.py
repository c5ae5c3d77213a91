"""pkg-config: one of the ways to find the KIM-API."""

from __future__ import annotations

from torchml_installer.detect.programs import places, which
from torchml_installer.detect.record import Finding
from torchml_installer.support.process import quick_output


def detect() -> Finding:
    found = which("pkg-config")
    version = quick_output([found[0], "--version"], timeout=3) if found else None
    return Finding(
        name="pkg-config",
        title="pkg-config",
        where=found[0] if found else None,
        how=found[1] if found else "",
        version=version or "",
        looked=places("pkg-config"),
        hint="Helps to find a KIM-API in an unusual place: `sudo apt install pkg-config`.",
    )
