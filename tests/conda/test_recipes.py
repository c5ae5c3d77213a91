"""The recipes by themselves: what every tool that builds them makes of them."""

from __future__ import annotations

import re
import shlex

import pytest

pytest.importorskip("rattler_build", reason="py-rattler-build is not installed")

from rattler_build import PlatformConfig, RenderConfig, Stage0Recipe, VariantConfig

from ci.conda_packages import NAMES, RECIPES, rendered
from tests.support import ROOT
from torchml_installer.deps import libdescriptor

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


@pytest.mark.parametrize("name", NAMES)
def test_every_package_carries_its_licence(name: str) -> None:
    """Searched for, as rattler-build does, in the sources (the whole checkout) and the recipe."""
    for variant in rendered(name, {}, "linux-64"):
        about = variant.recipe.to_dict()["about"]
        files = about["license_file"]
        for file in [files] if isinstance(files, str) else files:
            assert any((folder / file).is_file() for folder in (ROOT, RECIPES / name)), file


def test_libdescriptor_s_recipe_takes_the_wheel_that_the_installer_takes() -> None:
    """The same version, file and licence; the licence's text is with it."""
    (variant,) = rendered("torchml-libdescriptor", {}, "linux-64")
    recipe = variant.recipe.to_dict()
    assert recipe["package"]["version"] == libdescriptor.VERSION
    (source,) = recipe["source"]
    assert source["sha256"] == libdescriptor.WHEEL.sha256
    assert source["file_name"] == libdescriptor.WHEEL.file
    assert recipe["about"]["license"] == "LGPL-2.1-only"
    assert "GNU Lesser General Public License, version 2.1" in libdescriptor.README
    text = (RECIPES / "torchml-libdescriptor/LGPL-2.1.txt").read_text()
    assert "GNU LESSER GENERAL PUBLIC LICENSE" in text
    assert "Version 2.1, February 1999" in text
    assert "END OF TERMS AND CONDITIONS" in text
