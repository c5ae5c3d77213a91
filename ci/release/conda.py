"""Builds the conda packages with ``ci/conda_packages.py``, and repacks them reproducibly."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from ci.release.conda_archive import repack
from ci.release.errors import ReleaseError
from ci.release.python_packages import run


def conda_packages(
    sources: Path,
    output: Path,
    env: Mapping[str, str],
    epoch: int,
    options: Sequence[str],
) -> list[Path]:
    """Builds and tests the recipes, in a folder beside the sources; ``output`` becomes a channel.

    options: for ci/conda_packages.py. Raises ReleaseError.
    """
    from rattler import index

    work = sources.with_name("conda-build")
    try:
        run([sys.executable, "-m", "ci.conda_packages", work, *options], sources, env)
    except ReleaseError as error:
        raise ReleaseError(_with_kept_logs(str(error), work)) from None
    made = []
    for package in sorted(work.glob("*/torchml-*.conda")):
        kept = output / package.parent.name / package.name
        kept.parent.mkdir(parents=True, exist_ok=True)
        package.rename(kept)
        repack(kept, epoch)
        made.append(kept)
    (output / "noarch").mkdir(exist_ok=True)
    asyncio.run(index.index_fs(output, write_zst=False, write_shards=False))
    for listing in output.glob("*/repodata.json"):
        _forget_time(listing)
    return made


def _with_kept_logs(said: str, work: Path) -> str:
    """The build's output, with logs kept that would go with the build's folder."""
    kept = Path(tempfile.mkdtemp(prefix="torchml-release-logs-"))
    for log in work.glob("*.log"):
        shutil.copy(log, kept)
    advice = (
        "A release builds with packages from conda-forge; use `--conda-channel URL` for others."
    )
    return f"{said.replace(str(work), str(kept))}\n{advice}"


def _forget_time(listing: Path) -> None:
    """Removes the time at which packages were listed, so that the listing is reproducible."""
    document = json.loads(listing.read_text("utf-8"))
    for kind in ("packages", "packages.conda"):
        for record in document.get(kind, {}).values():
            record.pop("indexed_timestamp", None)
    listing.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n", "utf-8")
