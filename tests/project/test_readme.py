"""The README's first screens: pictures that show what the tables say, and versions."""

from __future__ import annotations

import importlib.util
import re
import sys
from types import ModuleType

import pytest

from docs import readme_drawing
from tests.support import ROOT
from torchml_installer.detect import cmake, kim_api, torch


def plots() -> ModuleType:
    """benchmarks/plots.py."""
    spec = importlib.util.spec_from_file_location("readme_plots", ROOT / "benchmarks/plots.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # which dataclasses ask for
    spec.loader.exec_module(module)
    return module


def readme() -> str:
    return (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_picture_is_the_one_that_its_script_draws(theme: str) -> None:
    drawn = readme_drawing.in_theme(readme_drawing.drawing(), theme)
    path = ROOT / f"docs/images/model-to-simulator-{theme}.svg"
    assert path.read_text(encoding="utf-8") == drawn, "python -m docs.readme_drawing"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_plot_shows_what_the_tables_say(theme: str) -> None:
    drawn = plots().drawn(theme)
    path = ROOT / f"docs/images/speed-{theme}.svg"
    assert path.read_text(encoding="utf-8") == drawn, "python benchmarks/plots.py"


def test_the_readme_fits_two_screens_and_shows_its_pictures() -> None:
    text = readme()
    assert len(text.splitlines()) <= 150
    shown = set(re.findall(r"docs/images/[\w-]+\.svg", text))
    assert shown == {f"docs/images/{path.name}" for path in (ROOT / "docs/images").glob("*.svg")}


def test_the_readme_states_the_versions_that_the_code_accepts() -> None:
    text = readme()
    for name, version in (
        ("torch", torch.MINIMUM),
        ("torch", torch.NEWEST),
        ("KIM-API", kim_api.MINIMUM),
        ("CMake", cmake.MINIMUM),
    ):
        (line,) = re.findall(rf"^\| {name} \|.*$", text, re.MULTILINE)
        assert ".".join(map(str, version)) in line, name
    wanted = re.search(
        r'^requires-python = ">=([\d.]+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE
    )
    assert wanted is not None
    (line,) = re.findall(r"^\| Python \|.*$", text, re.MULTILINE)
    assert wanted[1] in line
