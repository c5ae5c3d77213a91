"""Whose Python counts: the active environment's, not that of pipx or uv for this program alone."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.clean.machines import seed
from tests.installer.synthetic_machines import (
    ODD_NAME,
    REPOSITORY,
    Outcome,
    make_torch,
    make_wheel,
    write,
)
from torchml_installer import errors
from torchml_installer.support import user_python
from torchml_installer.support.user_python import MINIMUM

#: What each tool writes into an environment of its own.
RECEIPTS = {"pipx": "pipx_metadata.json", "uv": "uv-receipt.toml"}


class Tool:
    """torchml-install in an environment of its own, and another one that is active."""

    def __init__(self, folder: Path, receipt: str) -> None:
        self.folder = folder
        self.home = seed(folder / "tool")
        write(self.home / receipt)
        write(packages_of(self.home) / "checkout.pth", f"{REPOSITORY}\n")
        run = "from torchml_installer.cli import main\nmain()\n"
        start = f"#!{self.home}/bin/python\n"
        self.program = write(self.home / "bin/torchml-install", start + run, executable=True)
        self.active = seed(folder / ODD_NAME.replace('"', "").replace("$", ""))
        self.python = self.active / "bin/python"
        self.environment = {
            "PATH": f"{self.active}/bin:{os.environ['PATH']}",
            "HOME": str(folder / "home"),
            "XDG_CACHE_HOME": str(folder / "cache"),
            "XDG_DATA_HOME": str(folder / "data"),
            "VIRTUAL_ENV": str(self.active),
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(folder / "wheels"),
        }

    def run(self, *words: str | Path) -> Outcome:
        done = subprocess.run(
            [self.program, *words],
            env=self.environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    def findings(self) -> dict[str, dict[str, Any]]:
        report = json.loads(self.run("doctor", "--json").out)
        return {item["name"]: item for item in report["findings"]}


def packages_of(prefix: Path) -> Path:
    (found,) = prefix.glob("lib/python3*/site-packages")
    return found


@pytest.fixture(params=RECEIPTS)
def tool(request: pytest.FixtureRequest, tmp_path: Path) -> Tool:
    return Tool(tmp_path, RECEIPTS[request.param])


@pytest.fixture
def one_tool(tmp_path: Path) -> Tool:
    return Tool(tmp_path, RECEIPTS["uv"])


def test_the_active_environment_s_torch_and_packages_are_found(tool: Tool) -> None:
    torch = packages_of(tool.active) / "torch"
    write(make_torch(torch) / "__init__.py")
    found = tool.findings()
    assert (found["torch"]["where"], found["torch"]["how"]) == (str(torch), "the active Python")
    python = found["python"]
    assert (python["where"], python["usable"]) == (str(tool.python), True)
    assert python["how"] == "VIRTUAL_ENV, not torchml-install's own"
    (name,) = {name for name, file in RECEIPTS.items() if (tool.home / file).exists()}
    assert f"{tool.home}, which {name} created for it alone" in python["looked"][-1]["how"]
    install = f"`{shlex.quote(str(tool.python))} -m pip install vesin`."
    assert found["vesin"]["next_step"].endswith(install)


def test_packages_are_installed_where_the_user_s_programs_find_them(one_tool: Tool) -> None:
    make_wheel(one_tool.folder / "wheels", "vesin", "0.9", {"vesin/__init__.py": ""})
    outcome = one_tool.run("deps", "--with", "vesin", "--provider", "pip")
    assert outcome.code == 0, outcome.err
    assert f"using {one_tool.python} (VIRTUAL_ENV)" in outcome.err
    assert (packages_of(one_tool.active) / "vesin").is_dir()
    assert not (packages_of(one_tool.home) / "vesin").exists()
    # What is recorded is that Python's, and taken away from it again.
    outcome = one_tool.run("uninstall", "--all")
    assert outcome.code == 0, outcome.err
    assert not (packages_of(one_tool.active) / "vesin").exists()


def test_without_an_active_environment_it_says_what_to_activate(one_tool: Tool) -> None:
    del one_tool.environment["VIRTUAL_ENV"]
    outcome = one_tool.run("doctor")
    words = " ".join(outcome.out.split())
    assert "Python: torchml-install runs in an environment that uv created for it alone" in words
    assert "Activate the environment that has your torch (`conda activate NAME`" in words
    outcome = one_tool.run("deps", "--with", "vesin", "--provider", "pip")
    assert outcome.code == errors.NoProviderError.exit_code
    assert "activate the environment that has your torch" in outcome.err


def test_a_torch_that_was_put_beside_the_tool_is_used(one_tool: Tool) -> None:
    """As `pipx inject` and `uv tool install --with torch` do."""
    del one_tool.environment["VIRTUAL_ENV"]
    write(make_torch(packages_of(one_tool.home) / "torch") / "__init__.py")
    found = one_tool.findings()
    assert found["torch"]["where"] == str(packages_of(one_tool.home) / "torch")
    assert found["python"]["usable"]


def test_models_are_verified_by_the_active_python(one_tool: Tool) -> None:
    module = packages_of(one_tool.active) / "torchml_driver"
    write(module / "__init__.py")
    check = {
        "name": "ran in",
        "passed": True,
        "deviation": 0.0,
        "tolerance": 0.0,
        "unit": "",
    }
    answer = f"{{'result': [{{**{check!r}, 'explanation': sys.prefix}}]}}"
    program = "import json, sys\nrequest = json.load(open(sys.argv[2]))\n"
    program += f"json.dump({answer}, open(request['answer'], 'w'))\n"
    write(module / "verify.py", program)
    model = write(one_tool.folder / "model/model.param").parent
    outcome = one_tool.run("model", "verify", "--json", model)
    assert str(one_tool.active) in outcome.out, outcome.err
    shutil.rmtree(module)
    outcome = one_tool.run("model", "verify", model)
    assert f"{one_tool.python} does not have the driver's Python module" in outcome.err


COMPILE = ("model", "compile", "model.py:Model", "--elements", "Si", "--cutoff", "4.0")


def test_models_are_compiled_by_the_active_python(one_tool: Tool) -> None:
    """What runs there is the driver's module, and nothing of the tool's."""
    shutil.rmtree(packages_of(one_tool.active) / "rich")
    write(packages_of(one_tool.active) / "torch/__init__.py")
    module = packages_of(one_tool.active) / "torchml_driver"
    write(module / "__init__.py")
    said = "sys.exit(f'module of {sys.prefix}, ' + str(importlib.util.find_spec('rich')))\n"
    write(module / "compile.py", f"import importlib.util, sys\n{said}")
    outcome = one_tool.run(*COMPILE)
    assert outcome.code == errors.RunFailedError.exit_code
    assert f"module of {one_tool.active}, None" in outcome.err


def test_compiling_asks_for_torch_first_and_then_for_the_module(one_tool: Tool) -> None:
    packages = packages_of(one_tool.active)
    outcome = one_tool.run(*COMPILE)
    assert outcome.code == errors.NoTorchError.exit_code
    assert f"{one_tool.python} has no torch" in outcome.err
    write(packages / "torch/__init__.py")
    notes = write(packages / "torch-2.6.0.dist-info/METADATA", "Name: torch\nVersion: 2.6.0\n")
    outcome = one_tool.run(*COMPILE)
    assert outcome.code == errors.TorchTooOldError.exit_code
    assert (
        "torch 2.6.0 is too old to compile models for the driver: that takes 2.7 or newer."
        in outcome.err
    )
    notes.write_text("Name: torch\nVersion: 2.13.0\n")
    outcome = one_tool.run(*COMPILE)
    assert outcome.code == errors.PythonModuleError.exit_code
    assert "Python module torchml_driver, which runs the model." in outcome.err
    assert "Install it with `torchml-install driver`." in outcome.err


def test_a_module_of_an_older_release_is_told(one_tool: Tool) -> None:
    packages = packages_of(one_tool.active)
    write(packages / "torch/__init__.py")
    write(packages / "torchml_driver/__init__.py")
    older = "import argparse\nparser = argparse.ArgumentParser()\n"
    older += "parser.add_argument('model')\nparser.parse_args()\n"
    write(packages / "torchml_driver/verify.py", older)
    model = write(one_tool.folder / "model/model.param").parent
    for command in (COMPILE, ("model", "verify", model)):
        outcome = one_tool.run(*command)
        assert outcome.code == errors.PythonModuleError.exit_code, outcome.err
        assert "is older than this command" in outcome.err
        assert "Update it with `torchml-install driver`" in outcome.err


class TestChoice:
    """Which one counts where several may."""

    @pytest.fixture
    def other(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clean_environment: object
    ) -> Path:
        """An environment that is active, before this Python's on PATH."""
        folder = seed(tmp_path / "other")
        monkeypatch.setenv("VIRTUAL_ENV", str(folder))
        own = Path(sys.executable).parent
        monkeypatch.setenv("PATH", os.pathsep.join(map(str, (folder / "bin", own, "/usr/bin"))))
        return folder

    @staticmethod
    def chosen() -> tuple[Path, str]:
        python = user_python.user_python()
        return python.prefix, python.how

    def test_one_that_was_started_by_its_own_name_counts(self, other: Path) -> None:
        """`python -m torchml_installer`, and programs that use this package."""
        assert self.chosen() == (Path(sys.prefix), "torchml-install's own")
        (passed,) = user_python.user_python().passed
        assert passed == (other, "VIRTUAL_ENV", f"{sys.executable} was started by its own name")

    def test_a_command_that_path_leads_to_serves_the_active_environment(
        self, other: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "argv", [str(Path(sys.executable).parent / "torchml-install")])
        assert self.chosen() == (other, "VIRTUAL_ENV")

    def test_a_command_that_was_named_by_its_path_serves_its_own(
        self, other: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PATH", f"{other}/bin:/usr/bin")
        monkeypatch.setattr(sys, "argv", [str(Path(sys.executable).parent / "torchml-install")])
        assert self.chosen() == (Path(sys.prefix), "torchml-install's own")

    def test_a_link_to_a_command_serves_the_active_environment(
        self, other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        link = tmp_path / "bin/torchml-install"
        link.parent.mkdir()
        link.symlink_to(Path(sys.executable).parent / "torchml-install")
        monkeypatch.setenv("PATH", f"{other}/bin:/usr/bin")
        monkeypatch.setattr(sys, "argv", [str(link)])
        assert self.chosen() == (other, "VIRTUAL_ENV")

    def test_of_two_that_are_active_the_first_on_path_counts(
        self, other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        conda = seed(tmp_path / "conda")
        monkeypatch.setenv("CONDA_PREFIX", str(conda))
        monkeypatch.setattr(sys, "argv", [str(Path(sys.executable).parent / "torchml-install")])
        monkeypatch.setenv("PATH", f"{other}/bin:{conda}/bin:{Path(sys.executable).parent}")
        assert self.chosen() == (other, "VIRTUAL_ENV")
        monkeypatch.setenv("PATH", f"{conda}/bin:{other}/bin:{Path(sys.executable).parent}")
        assert self.chosen() == (conda, "CONDA_PREFIX")

    @pytest.mark.parametrize(
        ("program", "reason"),
        [("", "it has no bin/python"), ("#!/bin/sh\nexit 1\n", "its bin/python does not run")],
    )
    def test_an_environment_without_a_python_that_runs_is_passed_by(
        self, other: Path, monkeypatch: pytest.MonkeyPatch, program: str, reason: str
    ) -> None:
        (other / "bin/python").unlink()
        if program:
            write(other / "bin/python", program, executable=True)
        monkeypatch.setattr(sys, "argv", [str(Path(sys.executable).parent / "torchml-install")])
        assert self.chosen() == (Path(sys.prefix), "torchml-install's own")
        assert user_python.user_python().passed == ((other, "VIRTUAL_ENV", reason),)

    def test_packages_installed_for_developers_are_found(
        self, other: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """pip's editable installations may bring a finder, and no folder on the path."""
        finder = (
            "import sys, importlib.util as u\n"
            "class Finder:\n"
            "    def find_spec(name, path=None, target=None):\n"
            "        if name == 'far':\n"
            f"            return u.spec_from_file_location(name, '{other}/src/far/__init__.py')\n"
            "sys.meta_path.append(Finder)\n"
        )
        write(packages_of(other) / "far_finder.py", finder)
        write(packages_of(other) / "far.pth", "import far_finder\n")
        write(other / "src/far/__init__.py")
        monkeypatch.setattr(sys, "argv", [str(Path(sys.executable).parent / "torchml-install")])
        user_python.look_again()
        spec = user_python.user_python().find_spec("far")
        assert spec is not None
        assert spec.origin == f"{other}/src/far/__init__.py"
        assert not user_python.user_python().has("farther")


def test_a_python_that_is_too_old_is_named_with_the_release_that_will_do(
    one_tool: Tool, tmp_path: Path
) -> None:
    old = (
        f'#!/bin/sh\nexec {one_tool.home}/bin/python -c "import sys, json; sys.version_info = '
        "type('V', (tuple,), {})((3, 9, 1)); sys.argv = sys.argv[1:]; "
        'import platform; platform.python_version = lambda: \'3.9.1\'; exec(sys.argv[1])" "$@"\n'
    )
    one_tool.python.unlink()
    write(one_tool.python, old, executable=True)
    outcome = one_tool.run(
        "model", "compile", "model.py:Model", "--elements", "Si", "--cutoff", "4"
    )
    assert outcome.code == errors.NoTorchError.exit_code, outcome.err
    least = ".".join(map(str, MINIMUM))
    assert f"is Python 3.9.1; {least} or newer is needed" in outcome.err
