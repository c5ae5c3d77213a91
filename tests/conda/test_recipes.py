"""The recipes by themselves: what every tool that builds them makes of them."""

from __future__ import annotations

import re
import shlex

import pytest

pytest.importorskip("rattler_build", reason="py-rattler-build is not installed")

from rattler_build import PlatformConfig, RenderConfig, Stage0Recipe, VariantConfig

from ci.conda_packages import NAMES, RECIPES, rendered
from tests.support import ROOT

README = RECIPES / "README.md"


def command(program: str) -> list[str]:
    """The words of the command in the README that starts so."""
    text = README.read_text().replace("\\\n", " ")
    (line,) = re.findall(rf"^{program} .+$", text, re.MULTILINE)
    return shlex.split(line, comments=True)


def test_conda_build_is_given_every_recipe_in_the_order_of_their_needs() -> None:
    """It looks for recipe.yaml in each folder that it is given, and not below it."""
    words = command("conda build")
    folders = [word for word in words if word.startswith("recipes/") and word[-5:] != ".yaml"]
    assert all((ROOT / folder / "recipe.yaml").is_file() for folder in folders)
    assert folders == [f"recipes/{name}" for name in NAMES]
    assert words[words.index("-c") + 1] == "conda-forge"


@pytest.mark.parametrize("name", NAMES)
def test_conda_build_renders_what_our_command_renders(name: str) -> None:
    """conda-build reads the file of variants, and calls the engine, another way than we do."""
    words = command("conda build")
    variants = VariantConfig.from_file(ROOT / words[words.index("-m") + 1])
    platform = PlatformConfig(
        target_platform="linux-64", build_platform="linux-64", host_platform="linux-64"
    )
    recipe = Stage0Recipe.from_file(RECIPES / name / "recipe.yaml")
    theirs = recipe.render(variants, RenderConfig(platform=platform))
    ours = rendered(name, {}, "linux-64")
    assert [variant.recipe.to_dict() for variant in theirs] == [
        variant.recipe.to_dict() for variant in ours
    ]
