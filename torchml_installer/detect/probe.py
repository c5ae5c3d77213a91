"""Builds a small program with a compiler, to predict the result of a build in an instant.

Success is remembered for that compiler and those options, so that ``doctor`` tests only once.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from torchml_installer.support.paths import cache_folder
from torchml_installer.support.process import plain_language_environment

_KEPT = 200


def links(
    compiler: Path,
    source: str,
    options: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> bool:
    """Whether the compiler makes a program of this C++ source.

    Uses CXXFLAGS and LDFLAGS as a build does. options: go last, where libraries belong.
    environment: variables for the compiler, in addition to those of this process.
    Also True if there was no room for temporary files to find out.
    """
    try:
        before = shlex.split(os.environ.get("CXXFLAGS", ""))
        after = [*shlex.split(os.environ.get("LDFLAGS", "")), *options]
    except ValueError:  # an unclosed quote: the build will report it
        return True
    facts = [compiler, _stamp(compiler), source, before, after]
    key = hashlib.sha256(repr(facts).encode()).hexdigest()[:20]
    if key in (known := _known()):
        return True
    try:
        place = (environment or {}).get("TMPDIR")
        with tempfile.TemporaryDirectory(prefix="torchml-probe-", dir=place) as folder:
            program = Path(folder, "probe.cpp")
            program.write_text(source, encoding="utf-8")
            command = [str(compiler), *before, str(program), "-o", f"{folder}/probe", *after]
            done = subprocess.run(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=plain_language_environment(environment),
                timeout=30.0,
                check=False,
            )
    except (OSError, subprocess.TimeoutExpired):
        return True
    if done.returncode != 0:
        return b"No space left on device" in done.stdout
    _remember([*known, key])
    return True


def _stamp(program: Path) -> str:
    try:
        facts = program.stat()
    except OSError:
        return ""
    return f"{program.resolve()} {facts.st_mtime_ns} {facts.st_size}"


def _file() -> Path:
    return cache_folder() / "probes.json"


def _known() -> list[str]:
    try:
        content = json.loads(_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [str(key) for key in content] if isinstance(content, list) else []


def _remember(keys: Sequence[str]) -> None:
    # If writing fails, or another process writes at the same time, only time is lost.
    try:
        _file().parent.mkdir(parents=True, exist_ok=True)
        partial = _file().with_suffix(f".{os.getpid()}.partial")
        partial.write_text(json.dumps(keys[-_KEPT:]), encoding="utf-8")
        partial.replace(_file())
    except OSError:
        return
