"""``model bench``: measures a portable model; ``torchml_driver.bench`` does the work."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torchml_installer.models import engine


def bench(
    folder: Path, atoms: Sequence[int], structure: Path | None = None, seconds: float = 2.0
) -> dict[str, Any]:
    """Measures steps of crystals with these numbers of atoms, or of the structure in a file.

    Returns ``device`` and ``sizes``: for each, atoms, particles (with images), steps,
    milliseconds (the median of a step; fastest, slowest), peak_memory (MiB),
    microseconds_per_atom, nanoseconds_per_day (with steps of 1 fs).

    Raises what ``engine.answer`` raises.
    """
    request = {
        "seconds": seconds,
        "atoms": list(atoms),
        "structure": None if structure is None else str(structure),
    }
    measured = engine.answer("bench", folder, request, title="measuring the model")
    assert isinstance(measured, dict)
    return measured
