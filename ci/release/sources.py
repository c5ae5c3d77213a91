"""The sources of a release: the files in git, with modes and times that depend on nothing else."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from ci.release.errors import ReleaseError


def git(root: Path, *arguments: str) -> str:
    """The output of a git command. Raises ReleaseError if it fails."""
    command = ["git", "-C", str(root), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ReleaseError(f"`{' '.join(command)}` failed: {done.stderr.strip()}")
    return done.stdout


@dataclass(frozen=True)
class Commit:
    """The commit of a release. epoch: the commit's time, in seconds since 1970."""

    name: str
    epoch: int

    @classmethod
    def head(cls, root: Path) -> Commit:
        name, _, epoch = git(root, "log", "-1", "--format=%H %ct").strip().partition(" ")
        return cls(name, int(epoch))


def changes(root: Path, version: str) -> str:
    """The entry of a version in CHANGELOG.md; empty if there is none."""
    text = (root / "CHANGELOG.md").read_text("utf-8")
    # "## 0.1.0", with or without a date.
    heading = rf"^## \[?{re.escape(version)}\]?(?:[ \t][^\n]*)?\n(.*?)(?=^## |\Z)"
    found = re.search(heading, text, re.MULTILINE | re.DOTALL)
    return found[1].strip() if found else ""


def refuse_what_is_no_release(root: Path, version: str) -> None:
    """Raises ReleaseError unless the commit can be released as that version."""
    dirty = git(root, "status", "--porcelain").splitlines()
    if dirty:
        listed = "\n".join(f"    {line}" for line in dirty[:10])
        more = f"\n    and {len(dirty) - 10} more" if len(dirty) > 10 else ""
        raise ReleaseError(
            f"The working tree has uncommitted changes:\n{listed}{more}\n"
            "Commit them, or stash them with `git stash --include-untracked`. To try out the tree "
            "as it is, use `--draft`."
        )
    if not changes(root, version):
        raise ReleaseError(
            f"CHANGELOG.md has no entry for {version}, so users could not see what is new. Rename "
            f"the heading `## Unreleased` to `## {version}`, and commit it."
        )
    for tag in (f"v{version}", version):
        tagged = git(root, "tag", "--list", tag, "--format=%(objectname) %(*objectname)").split()
        head = Commit.head(root).name
        # An annotated tag is a separate object; its commit comes second.
        if tagged and tagged[-1] != head:
            raise ReleaseError(
                f"{version} is already released: the tag {tag} is on commit {tagged[-1][:12]}, but "
                f"this is {head[:12]}. A published version is never replaced. Choose another one "
                "with `python -m ci.release --set-version NEXT`."
            )


def export(root: Path, target: Path, epoch: int) -> None:
    """Copies tracked files and, in a draft, untracked ones, but no ignored files."""
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
