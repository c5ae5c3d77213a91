"""The recipes by themselves, as every tool that builds them reads them."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rattler_build", reason="py-rattler-build is not installed")
pytest.importorskip("ruamel.yaml", reason="check-jsonschema is not installed")

from rattler_build import PlatformConfig, RenderConfig, Stage0Recipe, VariantConfig
from ruamel.yaml import YAML

from ci.conda_packages import NAMES, RECIPES, any_true, rendered
from tests.support import ROOT
from torchml_installer.deps import build_libdescriptor as libdescriptor

README = RECIPES / "README.md"


def command(program: str) -> list[str]:
    """The words of the command in the README that starts with this program."""
    text = README.read_text().replace("\\\n", " ")
    (line,) = re.findall(rf"^{program} .+$", text, re.MULTILINE)
    return shlex.split(line, comments=True)


def test_conda_build_is_given_every_recipe_in_the_order_of_their_needs() -> None:
    """It looks for recipe.yaml in each folder on its command line, and not below it."""
    words = command("conda build")
    folders = [word for word in words if word.startswith("recipes/") and word[-5:] != ".yaml"]
    assert all((ROOT / folder / "recipe.yaml").is_file() for folder in folders)
    assert folders == [f"recipes/{name}" for name in NAMES]
    assert words[words.index("-c") + 1] == "conda-forge"


#: As https://docs.conda.io/projects/conda-build/en/latest/user-guide/v1-recipes.html lists them.
CONDA_BUILD_OPTIONS = {"--channel", "--output-folder", "--override-channels", "-c", "-m"}


def test_conda_build_is_given_options_that_it_has_for_recipes_of_this_format() -> None:
    options = {word for word in command("conda build") if word.startswith("-")}
    assert options <= CONDA_BUILD_OPTIONS


@pytest.mark.parametrize("name", NAMES)
def test_conda_build_renders_what_our_command_renders(name: str) -> None:
    """conda-build reads the file of variants, and calls the engine, in its own way."""
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
    """In the sources (the whole checkout) or the recipe, where rattler-build searches."""
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
    source = recipe["source"][0]
    assert source["sha256"] == libdescriptor.WHEEL.sha256
    assert source["file_name"] == libdescriptor.WHEEL.file
    assert recipe["about"]["license"] == "LGPL-2.1-only"
    assert "GNU Lesser General Public License, version 2.1" in libdescriptor.README
    text = (RECIPES / "torchml-libdescriptor/LGPL-2.1.txt").read_text()
    assert "GNU LESSER GENERAL PUBLIC LICENSE" in text
    assert "Version 2.1, February 1999" in text
    assert "END OF TERMS AND CONDITIONS" in text


@pytest.mark.parametrize("platform", ["osx-arm64", "win-64", "linux-aarch64", "linux-64"])
def test_nothing_is_built_where_it_could_not_be(platform: str) -> None:
    """Compilers are named only for Linux; libdescriptor's library is for x86_64."""
    built = {name for name in NAMES if rendered(name, {}, platform)}
    on_linux = {"torchml-installer", "torchml-driver", "torchml-example-models"}
    assert (
        built
        == {
            "osx-arm64": {"torchml-installer"},
            "win-64": {"torchml-installer"},
            "linux-aarch64": on_linux,
            "linux-64": set(NAMES),
        }[platform]
    )


def test_looking_at_the_recipes_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert rendered("torchml-driver", {}, "linux-64")
    assert list(tmp_path.iterdir()) == []


def test_a_condition_may_be_of_a_variant() -> None:
    variants = rendered("torchml-driver", {}, "linux-64")
    without_cuda = ['linux and torch_build == "cuda"']
    config = RenderConfig(platform=PlatformConfig(target_platform="linux-64"))
    builds = {
        variant.variant["torch_build"]: any_true(without_cuda, variant, config)
        for variant in variants
    }
    assert builds == {"cpu": False, "cuda": True}


def test_there_is_a_driver_for_each_python_mpi_and_torch() -> None:
    """By the build strings of conda-forge's Python, which are not cpython from 3.13 on."""
    made = {
        (str(variant.variant["python"]), variant.variant["mpi"], variant.variant["torch_build"])
        for variant in rendered("torchml-driver", {}, "linux-64")
    }
    pythons = [f"3.{minor}.* *_cpython" for minor in (10, 11, 12)]
    pythons += [f"3.{minor}.* *_cp3{minor}" for minor in (13, 14)]
    assert made == set(itertools.product(pythons, ("nompi", "openmpi", "mpich"), ("cpu", "cuda")))


@pytest.mark.parametrize(("mpi", "major"), [("openmpi", "5"), ("mpich", "4")])
def test_a_driver_is_built_with_one_major_version_of_its_mpi(mpi: str, major: str) -> None:
    """The one of conda-forge's other packages; by default, the newest would be used."""
    for variant in rendered("torchml-driver", {"mpi": [mpi]}, "linux-64"):
        assert mpi in variant.recipe.to_dict()["requirements"]["host"]
        assert variant.variant[mpi] == major


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_says_what_conda_forge_s_linter_asks_for(name: str) -> None:
    recipe = Stage0Recipe.from_file(RECIPES / name / "recipe.yaml").to_dict()
    about = recipe["about"]
    assert about["summary"][0].isupper() or about["summary"].startswith("libdescriptor")
    assert not about["summary"].endswith(".")
    assert about["license"] in ("BSD-3-Clause", "LGPL-2.1-only")
    assert about["license_file"]
    assert recipe["tests"]
    assert recipe["build"]["number"] is not None
    for source in recipe["source"]:
        assert "sha256" in source or not source.get("url"), "what is fetched has its hash stated"
    # Only known addresses and persons.
    addresses = {
        key: about[key] for key in about.keys() & {"homepage", "repository", "documentation"}
    }
    known = {"repository": "https://github.com/openkim/libdescriptor"}
    assert addresses == (known if name == "torchml-libdescriptor" else {})
    assert not recipe["extra"]


def specifications(listed: Iterable[Any]) -> Iterator[str]:
    """The specifications in a list of requirements, including conditional ones."""
    for entry in listed:
        if isinstance(entry, str):
            yield entry
        else:
            branches = [entry["then"], entry.get("else", [])]
            for branch in branches:
                yield from specifications([branch] if isinstance(branch, str) else branch)


#: Of https://github.com/conda-forge/conda-smithy/blob/main/LINTER.md, R-001 and R-009.
SECTIONS = (
    "schema_version",
    "context",
    "package",
    "source",
    "build",
    "requirements",
    "tests",
    "about",
)
ENVIRONMENTS = ("build", "host", "run")
_SPECIFICATION = r"[a-z0-9_.-]+( [^ ]+( [^ ]+)?)?"


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_is_written_as_conda_forge_s_linter_wants_it(name: str) -> None:
    """The rules of conda-smithy's linter, by number; only conda's index has conda-smithy."""
    path = RECIPES / name / "recipe.yaml"
    text = path.read_text()
    recipe = YAML(typ="safe").load(text)
    # Sections are in order, nothing else is there.
    assert list(recipe) == [section for section in SECTIONS if section in recipe]
    assert text.endswith("\n")
    assert not text.endswith("\n\n")
    assert re.fullmatch(r"[a-z0-9_.-]+", recipe["package"]["name"])
    assert all(isinstance(value, (str, int)) for value in recipe["context"].values())
    # Expressions have one space inside their braces, and no selector is a comment (R1-001).
    assert re.findall(r"\$\{\{(?! \S)|(?<!\S )\}\}|#\s*\[", text) == []
    requirements = recipe["requirements"]
    wanted = {
        key: list(specifications(requirements[key])) for key in ENVIRONMENTS if key in requirements
    }
    assert [key for key in requirements if key in ENVIRONMENTS] == list(wanted)
    for specification in itertools.chain(*wanted.values()):
        plain = re.sub(r"\$\{\{ .*? \}\}", "x", specification)
        assert re.fullmatch(_SPECIFICATION, plain), specification
    compiled = any("compiler(" in entry for entry in wanted.get("build", []))
    assert not compiled or '${{ stdlib("c") }}' in wanted["build"]
    # Who is built with a Python is run with it, and with any or any newer.
    pythons = {
        key: [entry for entry in wanted.get(key, []) if entry.split()[0] == "python"]
        for key in ("host", "run")
    }
    if recipe["build"].get("noarch") == "python":
        lowest = "${{ python_min }}"
        assert pythons == {"host": [f"python {lowest}.*"], "run": [f"python >={lowest}"]}
        assert "if:" not in text  # R1-002
    else:
        assert pythons in ({"host": ["python"], "run": ["python"]}, {"host": [], "run": []})


def test_the_package_without_binary_code_is_built_with_the_oldest_python() -> None:
    """As conda-forge's CFEP-25 has it, by the one value python_min."""
    (variant,) = rendered("torchml-installer", {"python_min": ["3.11"]}, "linux-64")
    requirements = variant.recipe.to_dict()["requirements"]
    assert "python 3.11.*" in requirements["host"]
    assert "python >=3.11" in requirements["run"]
    text = (RECIPES / "torchml-installer/recipe.yaml").read_text()
    assert "python_version: ${{ python_min }}.*" in text
    assert "- python ${{ python_min }}.*\n    script:" in text
