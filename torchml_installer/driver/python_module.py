"""Installs the built Python module ``torchml_driver`` into the user's Python, as a wheel.

From a wheel, pip knows the module: ``pip uninstall torchml-driver`` removes it, ``pip list`` shows
it, and pip rolls back an interrupted installation.
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
#: The wheel's build backend and its oldest version, as in ``driver_src/pyproject.toml``.
BACKEND = "scikit-build-core"
BACKEND_LEAST = "0.11"
#: Calls the build backend as pip does (PEP 517), but without the current folder, which -c adds to
#: the path: it contains a folder cmake/.
_BUILD = """\
import json, sys
sys.path = [entry for entry in sys.path if entry]
from scikit_build_core.build import build_wheel
build_wheel(sys.argv[1], json.loads(sys.argv[2]))
"""


@dataclass(frozen=True)
class ProjectFacts:
    """Facts from the driver's pyproject.toml."""

    version: str
    dependencies: tuple[str, ...]

    def dependency_names(self) -> tuple[str, ...]:
        return tuple(
            re.split(r"[^A-Za-z0-9_.-]", text, maxsplit=1)[0] for text in self.dependencies
        )


def project_facts(sources: Path) -> ProjectFacts:
    """Reads ``driver_src/pyproject.toml``.

    Uses regular expressions: Python 3.10 has no TOML reader, and the file is ours.
    """
    path = sources / "pyproject.toml"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SourcesMissingError(f"{path} cannot be read: {error.strerror}.") from error
    version = re.search(r'^version\s*=\s*"([^"]+)"', text, re.MULTILINE)
    dependencies = re.search(r"^dependencies\s*=\s*\[(.*?)\]", text, re.MULTILINE | re.DOTALL)
    if version is None or dependencies is None:
        raise SourcesMissingError(f"{path} lacks the version or the dependencies.")
    return ProjectFacts(version[1], tuple(re.findall(r'"([^"]+)"', dependencies[1])))


def obstacle() -> PythonModuleError | None:
    """Why the user's Python cannot have the module; None if it can."""
    python = user_python()
    if python.too_old:
        return PythonModuleError(
            f"The Python module cannot be built: {python.too_old}",
            "Activate an environment with a newer Python, or build without the module "
            "(--no-python).",
        )
    if (found := pip.obstacle()) is not None:
        return PythonModuleError(
            f"The Python module cannot be installed: {found.reason}.",
            f"{found.remedy[0].upper()}{found.remedy[1:]}, or build without the module "
            "(--no-python).",
        )
    wanted = {"pybind11": pybind11_wanted(), BACKEND: (BACKEND_LEAST, "the Python module")}
    missing = [name for name in wanted if not python.has(module_of(name))]
    if missing:
        return PythonModuleError(
            f"{python.executable} has no {' and no '.join(missing)}, which the build of the Python "
            "module needs.",
            f"Run `{shlex.join(pip.install_command(*missing))}`, or build without the module "
            "(--no-python).",
        )
    for name, (least, asks) in wanted.items():
        version = version_of(name)
        if version and version_tuple(version) < version_tuple(least):
            command = shlex.join(pip.install_command("--upgrade", f"{name}>={least}"))
            return PythonModuleError(
                f"{python.executable} has {name} {version}, but {asks} needs {least} or newer.",
                f"Run `{command}`, or build without the module (--no-python).",
            )
    headers = python_headers.detect()
    if not headers.usable:
        return PythonModuleError(
            f"{python.executable} has no headers (Python.h), which the Python module is compiled "
            "with.",
            f"{headers.hint} Or build without the module (--no-python).",
        )
    return None


def build_wheel(project: CMakeProject, folder: Path) -> Path:
    """Makes a wheel of the module that ``project`` has compiled. Raises PythonModuleError.

    scikit-build-core makes it in the same build folder, where everything is compiled already. This
    calls its hook directly: pip passes settings on only since 22.1, and "pip" may be uv.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    # With a record of another scikit-build-core's build, it would compile everything again.
    (project.build / ".skbuild-info.json").unlink(missing_ok=True)
    tool = project.plan.tools.build_tool
    settings = {
        "build-dir": str(project.build).replace("{", "{{").replace("}", "}}"),  # a template
        "cmake.args": f"-DCMAKE_MAKE_PROGRAM={tool.where}",
        "cmake.build-type": "",  # KIM chose one; another would mean compiling again
        "install.strip": "false",  # debuggers and profilers need the symbols
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
    """Installs the module's missing dependencies. Raises PythonModuleError.

    environment: variables for pip, in addition to those of this process.
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
                    environment={**(environment or {}), **pip.environment()},
                    verbose=verbose,
                    failure=PythonModuleError,
                    keep_open=(held.number,),
                )
            pip.require_installed(missing, PythonModuleError)
        except PythonModuleError as error:
            offline.explain(error, "pip", missing)
            error.remedy += " Or build without the module (--no-python)."
            raise


def install(
    wheel: Path,
    log: Path,
    *,
    environment: Mapping[str, str] | None = None,
    verbose: bool = False,
) -> None:
    """Installs the wheel, and replaces an earlier one. Raises PythonModuleError.

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
    """Where a new process of the user's Python finds the module: perhaps in the user site."""
    program = (
        "import importlib.metadata as m; "
        f"print(m.distribution({DISTRIBUTION!r}).locate_file({PACKAGE!r}))"
    )
    done = subprocess.run(
        [user_python().executable, "-c", program],
        cwd="/",  # Python searches the current folder first
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    return Path(os.fsdecode(done.stdout).removesuffix("\n")) if done.returncode == 0 else None
