"""The sources of a release: what is in git, with modes and times that depend on nothing else."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from ci.release.errors import ReleaseError


def git(root: Path, *arguments: str) -> str:
    """What a git command prints. Raises ReleaseError if it fails."""
    command = ["git", "-C", str(root), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ReleaseError(f"`{' '.join(command)}` failed: {done.stderr.strip()}")
    return done.stdout


@dataclass(frozen=True)
class Commit:
    """What is released. epoch: the commit's time, in seconds since 1970."""

    name: str
    epoch: int

    @classmethod
    def head(cls, root: Path) -> Commit:
        name, _, epoch = git(root, "log", "-1", "--format=%H %ct").strip().partition(" ")
        return cls(name, int(epoch))


def changes(root: Path, version: str) -> str:
    """What CHANGELOG.md says of a version; empty if there is no such entry."""
    text = (root / "CHANGELOG.md").read_text("utf-8")
    # "## 0.1.0", with a date after it or not.
    heading = rf"^## \[?{re.escape(version)}\]?(?:[ \t].*)?\n(.*?)(?=^## |\Z)"
    found = re.search(heading, text, re.MULTILINE | re.DOTALL)
    return found[1].strip() if found else ""


def refuse_what_is_no_release(root: Path, version: str) -> None:
    """Raises ReleaseError unless the commit can become the release of that version."""
    dirty = git(root, "status", "--porcelain").splitlines()
    if dirty:
        listed = "\n".join(f"    {line}" for line in dirty[:10])
        more = f"\n    and {len(dirty) - 10} more" if len(dirty) > 10 else ""
        raise ReleaseError(
            f"The working tree has what is not committed:\n{listed}{more}\n"
            "Commit it, or stash it with `git stash --include-untracked`; `--draft` builds the "
            "tree as it is, for a try."
        )
    if not changes(root, version):
        raise ReleaseError(
            f"CHANGELOG.md has no entry for {version}: users could not see what is new. Rename the "
            f"heading `## Unreleased` to `## {version}`, and commit it."
        )
    for tag in (f"v{version}", version):
        tagged = git(root, "tag", "--list", tag, "--format=%(objectname) %(*objectname)").split()
        head = Commit.head(root).name
        # An annotated tag is an object of its own, the commit comes second.
        if tagged and tagged[-1] != head:
            raise ReleaseError(
                f"{version} is released already: the tag {tag} is on {tagged[-1][:12]}, this is "
                f"{head[:12]}. `python -m ci.release --set-version NEXT` gives this one another "
                "version; what is published is never replaced."
            )


def export(root: Path, target: Path, epoch: int) -> None:
    """Copies what git tracks, and (in a draft) what it would, but nothing that it ignores."""
    listed = git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in sorted({name for name in listed.split("\0") if name}):
        source, copy = root / name, target / name
        if not source.is_file():
            continue
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, copy)
        copy.chmod(0o755 if os.access(source, os.X_OK) else 0o644)
    for parent, folders, files in os.walk(target, topdown=False):
        for path in [Path(parent, name) for name in (*files, *folders)]:
            if path.is_dir():
                path.chmod(0o755)
            os.utime(path, (epoch, epoch))
