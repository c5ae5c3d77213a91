"""Builds the Python packages: sdists and wheels of the installer and the module."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from ci.release.errors import ReleaseError


def run(command: Sequence[str | Path], cwd: Path, env: Mapping[str, str]) -> None:
    """Runs a program. Raises ReleaseError, with the end of its output, if it fails."""
    words = [str(word) for word in command]
    done = subprocess.run(
        words,
        cwd=cwd,
        env=dict(env),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        tail = "\n".join(f"    {line}" for line in done.stdout.splitlines()[-30:])
        raise ReleaseError(f"`{' '.join(words)}` failed (exit code {done.returncode}):\n{tail}")


def build(
    kind: str, project: Path, output: Path, env: Mapping[str, str], settings: Sequence[str] = ()
) -> Path:
    """Builds one ``sdist`` or ``wheel`` with the installed build tools.

    Uses an empty folder first, in which the result is the only file.
    """
    alone = output / f".{kind}"
    command = [sys.executable, "-m", "build", f"--{kind}", "--no-isolation", "--outdir", alone]
    run([*command, *(f"-C{setting}" for setting in settings), project], project, env)
    (made,) = alone.iterdir()
    kept = output / made.name
    made.rename(kept)
    alone.rmdir()
    return kept


def installer(sources: Path, output: Path, env: Mapping[str, str]) -> list[Path]:
    """Builds the sdist and the wheel of torchml-installer."""
    return [build(kind, sources, output, env) for kind in ("sdist", "wheel")]


def driver_sdist(sources: Path, output: Path, env: Mapping[str, str]) -> Path:
    """Builds the sdist of the module ``torchml_driver`` and the KIM driver."""
    project = _driver_project(sources, output.parent / "driver-sdist")
    return build("sdist", project, output, env)


def _driver_project(sources: Path, target: Path) -> Path:
    """A copy of ``driver_src/`` with its license, for distribution by itself."""
    shutil.copytree(sources / "driver_src", target)
    shutil.copy2(sources / "LICENSE", target)
    return target


def check_metadata(paths: Sequence[Path], env: Mapping[str, str]) -> None:
    """Raises ReleaseError if PyPI would reject the packages' metadata."""
    command = [sys.executable, "-m", "twine", "check", "--strict", *paths]
    run(command, paths[0].parent, env)
