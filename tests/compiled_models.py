"""Models compiled to .pt2 packages.

That takes a minute each: what was compiled by this torch from these sources is kept.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import torch

from tests import graph_models
from tests.structures import CUTOFF
from tests.support import EXAMPLE, KEPT, ROOT


def compile_command(
    *arguments: str | Path, temporary: Path | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    """temporary: the folder of temporary files, if not the system's."""
    return subprocess.run(
        [sys.executable, "-m", "torchml_installer", "model", "compile", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, **({"TMPDIR": str(temporary)} if temporary else {}), **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def compiled(name: str, *arguments: str | Path) -> Path:
    """A package of this torch, made once."""
    digest = hashlib.sha256(f"{torch.__version__} {sys.version} {arguments}".encode())
    sources = (ROOT / "torchml_installer/models/aot").glob("*.py")
    for source in (*sorted(sources), EXAMPLE / "stillinger_weber.py", graph_models.__file__):
        digest.update(Path(source).read_bytes())
    path = KEPT / "compiled" / digest.hexdigest()[:16] / f"{name}.pt2"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.parent / "temporary"
        temporary.mkdir(exist_ok=True)
        done = compile_command(*arguments, "--output", path, temporary=temporary)
        assert done.returncode == 0, done.stderr
        left = list(temporary.iterdir())
        assert not left, f"compiling leaves {left} behind"
    return path


def compiled_stillinger_weber() -> Path:
    source = EXAMPLE / "stillinger_weber.py"
    return compiled("sw", f"{source}:StillingerWeber", "--elements", "Si", "--cutoff", str(CUTOFF))
