"""The user's Python, whose torch, packages and headers are used, and the reason for the choice."""

from __future__ import annotations

from pathlib import Path

from torchml_installer.detect.record import Finding, Place
from torchml_installer.errors import KnownProblemError
from torchml_installer.support.user_python import in_tool_environment, user_python


def detect() -> Finding:
    """The Python of VIRTUAL_ENV or CONDA_PREFIX, or the one that runs this program."""
    python = user_python()
    passed = tuple(Place(folder, how, reason) for folder, how, reason in python.passed)
    problem = None
    if (explanation := in_tool_environment(python)) is not None:
        problem = KnownProblemError(*explanation)
    return Finding(
        name="python",
        title="Python",
        where=Path(python.executable),
        how=python.how if python.is_own else f"{python.how}, not torchml-install's own",
        version=python.release,
        problem=problem,
        looked=(*passed, Place(Path(python.executable), f"{python.how}: {python.why}")),
    )
