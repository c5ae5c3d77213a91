"""Linters, formatters and hooks have the same versions everywhere, and check all files."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from tests.support import ROOT, run

MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
LOCK = ROOT / "ci/requirements-dev.txt"


def pins(text: str) -> dict[str, set[str]]:
    """The versions that a text pins each package to."""
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"([\w-]+)==([\w.]+)", text):
        found.setdefault(name.lower().replace("_", "-"), set()).add(version)
    return found


def locked() -> dict[str, set[str]]:
    return pins("\n".join(re.findall(r"^[^ #].*", LOCK.read_text(encoding="utf-8"), re.MULTILINE)))


def extra(name: str) -> list[str]:
    """The requirements of one of pyproject.toml's extras."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    listed = re.search(rf"^{name} = \[\n(.*?)^\]", text, re.MULTILINE | re.DOTALL)
    assert listed is not None
    return re.findall(r'"([^"]+)"', listed[1])


def test_every_tool_of_the_lock_file_is_the_one_that_the_project_pins() -> None:
    assert extra("lint")
    for requirement in extra("lint"):
        name, _, version = requirement.partition("==")
        assert locked().get(name) == {version}, requirement
    for requirement in extra("test-installer"):
        assert re.split("[>=]", requirement)[0] in locked(), requirement


def test_the_site_is_built_with_pinned_versions_in_ci_too() -> None:
    lock = ROOT / "ci/requirements-docs.txt"
    text = "\n".join(re.findall(r"^[^ #].*", lock.read_text(encoding="utf-8"), re.MULTILINE))
    assert extra("docs")
    for requirement in extra("docs"):
        assert re.split("[>=]", requirement)[0] in pins(text), requirement
    assert not {"torch", "numpy"} & set(pins(text))
    assert "\nmake docs || failed=1\n" in (ROOT / ".ci/run").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [".pre-commit-config.yaml", "ci/provision.py"])
def test_hooks_and_environments_have_the_tools_of_the_lock_file(name: str) -> None:
    """provision.py chooses torch; the lock file has none."""
    pinned = pins((ROOT / name).read_text(encoding="utf-8"))
    pinned.pop("torch", None)
    assert pinned or name == "ci/provision.py"
    assert pinned == {package: locked().get(package) for package in pinned}


def test_every_tool_of_make_lint_is_a_hook() -> None:
    hooks = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    recipe = MAKEFILE.partition("\nlint: ")[2].partition("\n\n")[0]
    tools = set(re.findall(r"\$\(TOOL\)/([\w-]+)", recipe))
    assert tools == {"ruff", "mypy", "clang-format", "shellcheck"}
    assert {entry.split()[0] for entry in re.findall(r"entry: (.*)", hooks)} == tools


def make(*arguments: str, cwd: Path = ROOT, text: str = "") -> str:
    """The output of a make that is independent of a make that runs the tests."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return run(["make", *arguments], cwd=cwd, env=env, input=text)


def of_make(variable: str) -> set[str]:
    """The files that one of the Makefile's variables contains."""
    show = f"show:\n\t@printf '%s\\n' $({variable})\n"
    return set(
        run(["make", "-s", "-f", "Makefile", "-f", "-", "show"], input=show, cwd=ROOT).split()
    )


def tracked(*patterns: str) -> set[str]:
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a git checkout")
    return set(run(["git", "ls-files", *patterns], cwd=ROOT).split())


def test_make_formats_all_of_our_cxx() -> None:
    assert tracked("*.cpp", "*.hpp", "*.cc", "*.cxx", "*.h") <= of_make("CXX_SOURCES")


def test_make_checks_all_of_our_shell_scripts() -> None:
    assert tracked("*.sh", ".ci/run", "*.slurm") <= of_make("SHELL_SCRIPTS")


def test_bare_make_lists_every_target_and_makes_nothing(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    printed = make(cwd=tmp_path)
    phony = re.search(r"^\.PHONY: ((?:.*\\\n)*.*)", MAKEFILE, re.MULTILINE)
    assert phony is not None
    targets = set(phony[1].replace("\\", " ").split())
    assert set(re.findall(r"^  make ([\w-]+)", printed, re.MULTILINE)) == targets
    assert max(map(len, printed.splitlines())) <= 100
    assert [path.name for path in tmp_path.iterdir()] == ["Makefile"]
