"""Builds the Python packages: sdists and wheels of the installer and the module."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
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


def torch_here() -> tuple[Path, str]:
    """The folder and the version ("2.13.0") of this Python's torch. Raises ReleaseError."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        raise ReleaseError(
            f"{sys.executable} has no torch, which building the wheel of torchml-driver needs. "
            "Run `pip install torch`, or leave out the wheel with `--without driver-wheel`."
        )
    # A local version ("2.13.0+cpu") names the GPUs; the driver links what all builds include.
    return Path(spec.origin).parent, importlib.metadata.version("torch").split("+")[0]


def driver_wheel(sources: Path, output: Path, env: Mapping[str, str]) -> Path:
    """Compiles the wheel of ``torchml_driver`` for this Python and this torch.

    libtorch's C++ interface changes between minor versions. So the wheel requires the torch that it
    was linked with, and says so in a local version (0.1.0+torch2.13), as other wheels for torch do.
    PyPI accepts neither local versions nor the tag linux_x86_64: the wheel is for a private index
    or a release's page.
    """
    folder, version = torch_here()
    series = ".".join(version.split(".")[:2])
    project = _driver_project(sources, output.parent / "driver-wheel")
    path = project / "pyproject.toml"
    text = re.sub(
        r'^version = "([^"]+)"',
        rf'version = "\1+torch{series}"',
        path.read_text("utf-8"),
        flags=re.MULTILINE,
    )
    text = text.replace("\ndependencies = [", f'\ndependencies = ["torch=={series}.*", ', 1)
    path.write_text(text, "utf-8")
    packages = folder.parent
    # Paths get into programs through __FILE__, in the driver's sources and in torch's headers.
    flags = " ".join(
        f"-ffile-prefix-map={place}={name}"
        for place, name in ((packages, "site-packages"), (project, "torchml-driver"))
    )
    settings = (
        f"cmake.define.TORCH_ROOT={folder}",
        "cmake.define.TORCHML_TORCH_RUN_PATH=$ORIGIN/../torch/lib",
        # Write the final run path at once: replacing it later would leave padding of its length.
        "cmake.define.CMAKE_BUILD_WITH_INSTALL_RPATH=ON",
        "cmake.build-type=Release",
        f"build-dir={project / 'build'}",
    )
    made = build(
        "wheel",
        project,
        output,
        {**env, "CXXFLAGS": f"{os.environ.get('CXXFLAGS', '')} {flags}".strip()},
        settings,
    )
    shutil.rmtree(project)
    return made


def check_metadata(paths: Sequence[Path], env: Mapping[str, str]) -> None:
    """Raises ReleaseError if PyPI would reject the packages' metadata."""
    command = [sys.executable, "-m", "twine", "check", "--strict", *paths]
    run(command, paths[0].parent, env)
