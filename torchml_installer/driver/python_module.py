"""Installs the built Python module ``torchml_driver`` into the user's Python, as a wheel.

A wheel, because pip then knows the module: ``pip uninstall torchml-driver`` removes it, ``pip
list`` shows it, and an interrupted installation is rolled back.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torchml_installer.building.cmake_project import CMakeProject
from torchml_installer.deps import pip
from torchml_installer.detect import python_headers
from torchml_installer.detect.python_packages import module_of, pybind11_wanted, version_of
from torchml_installer.detect.record import version_tuple
from torchml_installer.errors import PythonModuleError, SourcesMissingError
from torchml_installer.support import offline
from torchml_installer.support.process import run_logged
from torchml_installer.support.user_python import look_again, user_python

DISTRIBUTION = "torchml-driver"
PACKAGE = "torchml_driver"
#: What builds the wheel, and the oldest that will do, as in ``driver_src/pyproject.toml``.
BACKEND = "scikit-build-core"
BACKEND_LEAST = "0.11"
#: Calls the build backend as pip does (PEP 517); without the current folder, which -c adds: there
#: is a folder cmake/.
_BUILD = """\
import json, sys
sys.path = [entry for entry in sys.path if entry]
from scikit_build_core.build import build_wheel
build_wheel(sys.argv[1], json.loads(sys.argv[2]))
"""


@dataclass(frozen=True)
class ProjectFacts:
    """What the driver's own pyproject.toml says."""

    version: str
    dependencies: tuple[str, ...]

    def dependency_names(self) -> tuple[str, ...]:
        return tuple(
            re.split(r"[^A-Za-z0-9_.-]", text, maxsplit=1)[0] for text in self.dependencies
        )


def project_facts(sources: Path) -> ProjectFacts:
    """Reads ``driver_src/pyproject.toml``.

    With regular expressions: Python 3.10 has no TOML reader, and the file is our own.
    """
    path = sources / "pyproject.toml"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SourcesMissingError(f"{path} cannot be read: {error.strerror}.") from error
    version = re.search(r'^version\s*=\s*"([^"]+)"', text, re.MULTILINE)
    dependencies = re.search(r"^dependencies\s*=\s*\[(.*?)\]", text, re.MULTILINE | re.DOTALL)
    if version is None or dependencies is None:
        raise SourcesMissingError(f"{path} names no version or no dependencies.")
    return ProjectFacts(version[1], tuple(re.findall(r'"([^"]+)"', dependencies[1])))


def obstacle() -> PythonModuleError | None:
    """Why the module cannot be built for and installed into the user's Python, None if it can."""
    python = user_python()
    if python.too_old:
        return PythonModuleError(
            f"The Python module cannot be built: {python.too_old}",
            "Activate an environment with a newer Python; or leave the module out with "
            "--no-python.",
        )
    if (found := pip.obstacle()) is not None:
        return PythonModuleError(
            f"The Python module cannot be installed: {found.reason}.",
            f"{found.remedy[0].upper()}{found.remedy[1:]}; or leave the module out with "
            "--no-python.",
        )
    wanted = {"pybind11": pybind11_wanted(), BACKEND: (BACKEND_LEAST, "the Python module")}
    missing = [name for name in wanted if not python.has(module_of(name))]
    if missing:
        return PythonModuleError(
            f"The Python {python.executable} has no {' and no '.join(missing)}, which the Python "
            "module is built with.",
            f"`{shlex.join(pip.install_command(*missing))}`, or leave the module out with "
            "--no-python.",
        )
    for name, (least, asks) in wanted.items():
        version = version_of(name)
        if version and version_tuple(version) < version_tuple(least):
            command = shlex.join(pip.install_command("--upgrade", f"{name}>={least}"))
            return PythonModuleError(
                f"The {name} of {python.executable} is {version}, and {asks} needs {least} or "
                "newer.",
                f"`{command}`, or leave the module out with --no-python.",
            )
    headers = python_headers.detect()
    if not headers.usable:
        return PythonModuleError(
            f"The Python {python.executable} has no headers (Python.h), which the Python module is "
            "compiled with.",
            f"{headers.hint} Or leave the module out with --no-python.",
        )
    return None


def build_wheel(project: CMakeProject, folder: Path) -> Path:
    """Makes a wheel of the module that ``project`` has compiled. Raises PythonModuleError.

    scikit-build-core makes it, as for ``pip wheel driver_src``, in the same build folder: there it
    finds everything compiled. Its hook is called here and not by pip, which hands on settings from
    22.1 only, and may be uv.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    # With a note of an earlier build by another scikit-build-core, it would compile all anew.
    (project.build / ".skbuild-info.json").unlink(missing_ok=True)
    tool = project.plan.tools.build_tool
    settings = {
        "build-dir": str(project.build).replace("{", "{{").replace("}", "}}"),  # a template
        "cmake.args": f"-DCMAKE_MAKE_PROGRAM={tool.where}",
        "cmake.build-type": "",  # KIM has chosen one; another would be compiled anew
        "install.strip": "false",  # who debugs or profiles a driver built here wants the names
    }
    environment = {
        **project.environment(),
        "CMAKE_ARGS": "",  # conda's compilers set it
        "CMAKE_EXECUTABLE": str(project.program),
        "CMAKE_GENERATOR": tool.generator,
    }
    run_logged(
        [user_python().executable, "-c", _BUILD, folder, json.dumps(settings)],
        title="packing the Python module",
        log=project.log,
        cwd=project.source,
        environment=environment,
        verbose=project.plan.verbose,
        failure=PythonModuleError,
    )
    (wheel,) = folder.glob("*.whl")
    return wheel


def install_dependencies(
    facts: ProjectFacts,
    log: Path,
    *,
    environment: Mapping[str, str] | None = None,
    verbose: bool = False,
) -> None:
    """Installs those that are missing. Raises PythonModuleError.

    environment: variables that pip gets beside those of this process.
    """
    present = pip.installed() or {}
    missing = [
        dependency
        for dependency, name in zip(facts.dependencies, facts.dependency_names(), strict=True)
        if pip.plain(name) not in present
    ]
    if missing:
        try:
            with pip.locked() as held, pip.recorded(missing):
                run_logged(
                    pip.install_command(*missing),
                    title=f"installing {', '.join(missing)}",
                    log=log,
                    environment=environment,
                    verbose=verbose,
                    failure=PythonModuleError,
                    keep_open=(held.number,),
                )
            pip.require_installed(missing, PythonModuleError)
        except PythonModuleError as error:
            offline.explain(error, "pip", missing)
            error.remedy += " Or leave the module out with --no-python."
            raise


def install(
    wheel: Path,
    log: Path,
    *,
    environment: Mapping[str, str] | None = None,
    verbose: bool = False,
) -> None:
    """Installs the wheel, in the place of one that is there. Raises PythonModuleError.

    environment: as above.
    """
    run_logged(
        pip.install_command("--no-deps", "--force-reinstall", wheel),
        title="installing the Python module",
        log=log,
        environment=environment,
        verbose=verbose,
        failure=PythonModuleError,
    )
    look_again()
    pip.require_installed([DISTRIBUTION], PythonModuleError)


def place() -> Path | None:
    """Where the user's Python, started anew, has the module: pip may have chosen the user site."""
    program = (
        "import importlib.metadata as m; "
        f"print(m.distribution({DISTRIBUTION!r}).locate_file({PACKAGE!r}))"
    )
    done = subprocess.run(
        [user_python().executable, "-c", program],
        cwd="/",  # Python looks into the current folder first
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    return Path(os.fsdecode(done.stdout).removesuffix("\n")) if done.returncode == 0 else None
