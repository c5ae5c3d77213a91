"""A package has the same lowest version everywhere in the project: that of its pyproject files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import ROOT
from torchml_installer.detect import cmake, kim_api, torch
from torchml_installer.driver.python_module import BACKEND, BACKEND_LEAST

PROJECTS = (ROOT / "pyproject.toml", ROOT / "driver_src/pyproject.toml")
#: The installer has the lowest versions of what is no Python package.
OTHERS = {
    "cmake": cmake.MINIMUM,
    "kim-api": kim_api.MINIMUM,
    "torch": torch.MINIMUM,
}
#: Other files that name lowest versions.
NAMED_IN = (
    *sorted((ROOT / "recipes").glob("*/recipe.yaml")),
    *sorted((ROOT / "recipes/spack").rglob("package.py")),
    *sorted((ROOT / "env_templates").glob("environment-*.yml")),
    ROOT / "env_templates/pixi.toml",
    ROOT / "tests/conda/channel/__main__.py",
)
#: "vesin>=0.4", "- python-vesin >=0.4", 'pybind11 = ">=2.12"' and Spack's "py-pybind11@2.12:".
_BOUND = re.compile(
    r"(?<![\w.-])([A-Za-z][\w.-]*)(?:\[[\w,-]+\])?"
    r"(?: = \"| )?(?:>=|@)(\d[\w.]*\d|\d)(?=[\",:;\s]|$)",
    re.MULTILINE,
)


def bounds(path: Path) -> Iterator[tuple[str, str]]:
    """(package, lowest version) for each that a file names, by PyPI's name."""
    for name, version in _BOUND.findall(path.read_text(encoding="utf-8")):
        plain = name.lower().removeprefix("python-")
        if path.name == "package.py":
            plain = plain.removeprefix("py-")
        yield plain, version


def project_bounds() -> dict[str, str]:
    """The combined list. Raises AssertionError if the two projects disagree."""
    found = {name: ".".join(map(str, version)) for name, version in OTHERS.items()}
    for path in PROJECTS:
        for name, version in bounds(path):
            if name != "python":
                assert found.setdefault(name, version) == version, f"{name} in {path}"
    return found


def test_both_projects_name_the_same_versions() -> None:
    found = project_bounds()
    assert {"vesin", "pybind11", "numpy", "click", "cmake", BACKEND} <= set(found)
    assert found[BACKEND] == BACKEND_LEAST


@pytest.mark.parametrize("path", NAMED_IN, ids=lambda path: str(path.relative_to(ROOT)))
def test_lowest_versions_are_the_project_s(path: Path) -> None:
    known = project_bounds()
    # Only the tests of conda packages use these.
    named = {name: version for name, version in bounds(path) if name in known}
    assert named == {name: known[name] for name in named}


def test_bounds_are_read_in_every_spelling(tmp_path: Path) -> None:
    lines = {
        'requires = ["scikit-build-core>=0.11", "pybind11>=2.12"]': {
            "scikit-build-core": "0.11",
            "pybind11": "2.12",
        },
        '  "cyclonedx-python-lib[json-validation]>=11",': {"cyclonedx-python-lib": "11"},
        "    - python-vesin >=0.4": {"vesin": "0.4"},
        'cmake = ">=3.18"': {"cmake": "3.18"},
        "  - libtorch 2.13.*": {},
    }
    for number, (line, expected) in enumerate(lines.items()):
        file = tmp_path / f"{number}.yml"
        file.write_text(f"{line}\n")
        assert dict(bounds(file)) == expected
    spack = tmp_path / "package.py"
    spack.write_text('depends_on("py-pybind11@2.12:", type="build")\n')
    assert dict(bounds(spack)) == {"pybind11": "2.12"}
