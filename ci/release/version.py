"""The version: defined in ``pyproject.toml``, and repeated where tools cannot read that file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ci.release.errors import ReleaseError

SOURCE = "pyproject.toml"


@dataclass(frozen=True)
class Place:
    """A file with the version; the pattern has two groups: the text before it, and the version."""

    path: str
    pattern: str = r'^(version = ")([^"]+)'

    def find(self, root: Path) -> str:
        """The version in the file. Raises ReleaseError if there is none."""
        found = re.search(self.pattern, (root / self.path).read_text("utf-8"), re.MULTILINE)
        if found is None:
            raise ReleaseError(
                f"{self.path} has no version (nothing matches {self.pattern}). Restore it, or "
                "adapt ci/release/version.py."
            )
        return found[2]

    def write(self, root: Path, version: str) -> None:
        path = root / self.path
        text = path.read_text("utf-8")
        changed = re.sub(self.pattern, rf"\g<1>{version}", text, flags=re.MULTILINE)
        path.write_text(changed, "utf-8")


_RECIPE = r'^(  version: ")([^"]+)'
_SPACK = r'^(    version\(")([^"]+)'
#: Versions in the names of tags: a template from a release fetches that release.
_TAG = r"((?:ref|default): v|ci/github@v)(\d[\w.]*)"
PLACES = (
    Place(SOURCE),
    Place("torchml_installer/__init__.py", r'^(__version__ = ")([^"]+)'),
    Place("driver_src/pyproject.toml"),
    Place("CITATION.cff", r"^(version: )(\S+)"),
    Place("recipes/torchml-installer/recipe.yaml", _RECIPE),
    Place("recipes/torchml-driver/recipe.yaml", _RECIPE),
    Place("recipes/torchml-example-models/recipe.yaml", _RECIPE),
    Place("recipes/spack/spack_repo/torchml/packages/torchml_installer/package.py", _SPACK),
    Place("recipes/spack/spack_repo/torchml/packages/torchml_driver/package.py", _SPACK),
    Place("ci/github/action.yml", _TAG),
    Place("ci/gitlab.yml", _TAG),
)


def version_of(root: Path) -> str:
    """The version of a tree. Raises ReleaseError if its files disagree."""
    version = PLACES[0].find(root)
    if not re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc)\d+)?", version):
        raise ReleaseError(
            f"{SOURCE}: {version!r} is not a valid version. Write one such as 1.2.3 or 1.2.3rc1."
        )
    others = [
        f"{place.path} says {found}"
        for place in PLACES[1:]
        if (found := place.find(root)) != version
    ]
    if others:
        raise ReleaseError(
            f"{SOURCE} says {version}, but {', '.join(others)}. "
            f"`python -m ci.release --set-version {version}` writes it everywhere."
        )
    return version


def set_version(root: Path, version: str) -> None:
    """Writes the version into every file that repeats it."""
    for place in PLACES:
        place.find(root)
    for place in PLACES:
        place.write(root, version)
    version_of(root)
