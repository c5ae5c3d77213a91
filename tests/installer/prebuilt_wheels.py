"""Wheels of prebuilt drivers for synthetic machines: a library that loads, and nothing of torch."""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.installer.synthetic_machines import make_wheel

#: As in the stand-in for the driver's sources.
VERSION = "1.2.3"
NAME = "TorchML_prebuilt_name_".ljust(64, "0")
ROOM = 512


def make_library(folder: Path) -> bytes:
    """A library with the placeholders of a prebuilt driver, compiled once in this folder."""
    made = folder / "driver.so"
    if not made.exists():
        folder.mkdir(parents=True, exist_ok=True)
        source = folder / "driver.c"
        source.write_text(f'const char torchml_name[] = "{NAME}";\n')
        run_path = "$ORIGIN/prebuilt/".ljust(ROOM, "0")
        options = ["-shared", "-fPIC", f"-Wl,-rpath,{run_path},--disable-new-dtags"]
        subprocess.run(["cc", *options, source, "-o", made], check=True)
    return made.read_bytes()


def make_prebuilt(
    folder: Path,
    library: bytes,
    *,
    torches: Sequence[str] = ("2.12", "2.13"),
    version: str = VERSION,
    machine: str | None = None,
    glibc: str = "2.17",
    schema: int = 1,
    room: int = ROOM,
) -> Path:
    """A wheel in this folder."""
    facts = {
        "schema": schema,
        "version": version,
        "machine": machine or platform.machine(),
        "glibc": glibc,
        "name_placeholder": NAME,
        "run_path_room": room,
        "known_energy": {"2.2": "known-energy-2.2", "2.4": "known-energy-2.4"},
        "builds": [{"torch": one, "folder": f"torch-{one}", "modules": {}} for one in torches],
    }
    members: dict[str, str | bytes] = {
        "torchml_driver/__init__.py": "",
        "torchml_driver/prebuilt/facts.json": json.dumps(facts),
    }
    for one in torches:
        place = f"torchml_driver/prebuilt/torch-{one}/libkim-api-model-driver.so"
        members[place] = library + one.encode()
    for since in ("2.2", "2.4"):
        place = f"torchml_driver/prebuilt/known-energy-{since}/libkim-api-portable-model.so"
        members[place] = b""
    return make_wheel(folder, "torchml_driver", version, members)
