"""Installs the built Python module ``torchml_driver`` into the user's Python, as a wheel.

A wheel, because pip then knows the module: ``pip uninstall torchml-driver`` removes it, ``pip
list`` shows it, and an interrupted installation is rolled back.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shlex
import subprocess
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torchml_installer.deps import pip
from torchml_installer.detect import python_headers
from torchml_installer.detect.python_packages import pybind11_wanted, version_of
from torchml_installer.detect.record import version_tuple
from torchml_installer.errors import PythonModuleError, SourcesMissingError
from torchml_installer.support import offline
from torchml_installer.support.process import run_logged
from torchml_installer.support.user_python import look_again, user_python

DISTRIBUTION = "torchml-driver"
PACKAGE = "torchml_driver"


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
    if not python.has("pybind11"):
        return PythonModuleError(
            f"The Python {python.executable} has no pybind11, which builds the Python module.",
            f"`{shlex.join(pip.install_command('pybind11'))}`, or leave the module out with "
            "--no-python.",
        )
    least, asks = pybind11_wanted()
    version = version_of("pybind11")
    if version and version_tuple(version) < version_tuple(least):
        command = shlex.join(pip.install_command("--upgrade", f"pybind11>={least}"))
        return PythonModuleError(
            f"The pybind11 of {python.executable} is {version}, and {asks} needs {least} or newer.",
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


def write_wheel(package: Path, facts: ProjectFacts, folder: Path) -> Path:
    """Packs the staged folder ``torchml_driver/`` into a wheel for the user's Python."""
    tag = wheel_tag()
    distribution = f"{PACKAGE}-{facts.version}"
    metadata = [
        "Metadata-Version: 2.1",
        f"Name: {DISTRIBUTION}",
        f"Version: {facts.version}",
        "Summary: Torch interatomic potentials in Python and ASE",
        "License: BSD-3-Clause",
        "Requires-Python: >=3.10",
        *(f"Requires-Dist: {dependency}" for dependency in facts.dependencies),
    ]
    wheel_file = [
        "Wheel-Version: 1.0",
        "Generator: torchml-install",
        "Root-Is-Purelib: false",
        f"Tag: {tag}",
    ]
    members: dict[str, bytes] = {
        f"{PACKAGE}/{path.relative_to(package).as_posix()}": path.read_bytes()
        for path in sorted(package.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
    members[f"{distribution}.dist-info/METADATA"] = ("\n".join(metadata) + "\n").encode()
    members[f"{distribution}.dist-info/WHEEL"] = ("\n".join(wheel_file) + "\n").encode()
    members[f"{distribution}.dist-info/RECORD"] = _record(members, distribution).encode()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{distribution}-{tag}.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, contents in members.items():
            archive.writestr(name, contents)
    return path


def wheel_tag() -> str:
    """The tag of the user's Python, for example ``cp311-cp311-linux_x86_64``."""
    python = user_python()
    release = f"cp{python.version[0]}{python.version[1]}"
    platform = re.sub(r"[^A-Za-z0-9]", "_", python.platform)
    return f"{release}-{release}{python.abi_flags}-{platform}"


def _record(members: dict[str, bytes], distribution: str) -> str:
    lines = []
    for name, contents in members.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(contents).digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={digest},{len(contents)}")
    lines.append(f"{distribution}.dist-info/RECORD,,")
    return "\n".join(lines) + "\n"


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
