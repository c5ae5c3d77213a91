"""The conda packages, by ``ci/conda_packages.py``, packed anew so that they are reproducible."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from ci.release.conda_archive import repack
from ci.release.python_packages import run


def conda_packages(
    sources: Path,
    output: Path,
    env: Mapping[str, str],
    epoch: int,
    options: Sequence[str],
) -> list[Path]:
    """Builds and tests the recipes; ``output`` becomes a channel. options: of ci/conda_packages.py.

    Raises ReleaseError.
    """
    from rattler import index

    work = output.parent / "conda-build"
    run([sys.executable, "-m", "ci.conda_packages", work, *options], sources, env)
    made = []
    for package in sorted(work.glob("*/torchml-*.conda")):
        kept = output / package.parent.name / package.name
        kept.parent.mkdir(parents=True, exist_ok=True)
        package.rename(kept)
        repack(kept, epoch)
        made.append(kept)
    (output / "noarch").mkdir(exist_ok=True)
    asyncio.run(index.index_fs(output, write_zst=False, write_shards=False))
    return made
