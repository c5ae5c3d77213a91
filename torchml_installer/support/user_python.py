"""Finds the user's Python, whose torch, packages and headers count.

torchml-install may run in another one: pipx and ``uv tool install`` give a program its own
environment without torch. Code that searches for packages, installs them or starts a program that
imports torch calls ``user_python()``.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import json
import math
import os
import platform
import site
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

from torchml_installer.support import console, files

#: Each names the active environment; both are set after activating two.
VARIABLES = ("VIRTUAL_ENV", "CONDA_PREFIX")
#: An older Python cannot have the Python module and cannot compile models.
MINIMUM = (3, 10)
#: Files that pipx and uv write into environments for a single program.
_RECEIPTS = {"pipx_metadata.json": "pipx", "uv-receipt.toml": "uv"}
#: sysconfig fills its table of variables at the first call. Before Python 3.13, a second thread
#: gets half a table meanwhile, and detectors run in threads.
_ONE_AT_A_TIME = Lock()
#: Prints the fields of ``Python``. Must run in any Python 3, to report an old one's version.
_FACTS = """\
import json, platform, site, sys, sysconfig
try:
    scheme = sysconfig.get_preferred_scheme("user")
except AttributeError:
    scheme = "posix_user"
standard = ("BuiltinImporter", "FrozenImporter", "PathFinder")
print(json.dumps({
    "executable": sys.executable,
    "prefix": sys.prefix,
    "base_prefix": sys.base_prefix,
    "search_path": [entry for entry in sys.path if entry],
    "has_user_site": bool(site.ENABLE_USER_SITE),
    "version": list(sys.version_info[:3]),
    "release": platform.python_version(),
    "full_version": sys.version,
    "folders": sysconfig.get_paths(),
    "user_folders": sysconfig.get_paths(scheme),
    "has_finders": any(getattr(one, "__name__", "") not in standard for one in sys.meta_path),
}))
"""
#: Prints origin and folders of a package, or null.
_SPEC = """\
import importlib.util, json, sys
try:
    spec = importlib.util.find_spec(sys.argv[1])
except (ImportError, ValueError):
    spec = None
print(json.dumps(spec and [spec.origin, list(spec.submodule_search_locations or ())]))
"""


@dataclass(frozen=True)
class Python:
    """A Python and what it can import, without importing anything.

    search_path: its ``sys.path``. has_user_site: packages below ~/.local count. release: "3.11.7";
    full_version: includes its compiler. is_own: it runs this program. how: the variable that led to
    it, or "torchml-install's own". why: why it was chosen, a clause. passed: environments that were
    passed over: (folder, variable, why). folders, user_folders: sysconfig's, empty if is_own.
    has_finders: it finds packages outside the search path, such as editable installations.
    """

    executable: str
    prefix: Path
    base_prefix: Path
    search_path: Sequence[str]
    has_user_site: bool
    version: tuple[int, ...]
    release: str
    full_version: str
    is_own: bool = True
    how: str = ""
    why: str = ""
    passed: tuple[tuple[Path, str, str], ...] = ()
    folders: Mapping[str, str] = field(default_factory=dict)
    user_folders: Mapping[str, str] = field(default_factory=dict)
    has_finders: bool = False

    @property
    def is_virtual(self) -> bool:
        """Whether it belongs to a virtual environment."""
        return self.prefix != self.base_prefix

    @property
    def program_folder(self) -> Path:
        """Where pip puts programs (a virtual environment's ``bin``)."""
        return Path(self.executable).parent

    @property
    def too_old(self) -> str:
        """Why it cannot have the Python module and compile models, a sentence; "" if it can."""
        if self.version >= MINIMUM:
            return ""
        least = ".".join(map(str, MINIMUM))
        return f"{self.executable} is Python {self.release}; {least} or newer is needed."

    def folder(self, name: str) -> Path:
        """A folder by its name in sysconfig, for example ``include``."""
        if not self.is_own:
            return Path(self.folders[name])
        with _ONE_AT_A_TIME:
            return Path(sysconfig.get_path(name))

    def user_folder(self, name: str) -> Path:
        """The same folder for packages that pip installs for one user (below ~/.local)."""
        if not self.is_own:
            return Path(self.user_folders[name])
        with _ONE_AT_A_TIME:
            return Path(sysconfig.get_path(name, sysconfig.get_preferred_scheme("user")))

    def find_spec(self, name: str) -> importlib.machinery.ModuleSpec | None:
        """What it would import under a top-level name.

        Raises what importlib.util.find_spec raises: ImportError, ValueError.
        """
        if self.is_own:
            return importlib.util.find_spec(name)
        found = importlib.machinery.PathFinder.find_spec(name, list(self.search_path))
        if found is None and self.has_finders:
            return _spec_by_asking(self.executable, name)
        return found

    def has(self, name: str) -> bool:
        """Whether it would find a package."""
        try:
            return self.find_spec(name) is not None
        except (ImportError, ValueError):
            return False


def user_python() -> Python:
    """The Python of the active environment if there is one, else the one that runs this program.

    The latter also counts if the user started it by its path or with ``python -m``, or if it
    precedes the environment on PATH; but not if pipx or uv created it for this program alone.
    """
    own = _own()
    passed: list[tuple[Path, str, str]] = []
    for prefix, variable in _active():
        if files.resolved(prefix) == files.resolved(own.prefix):
            return replace(own, how=variable, why=f"{variable} names it", passed=tuple(passed))
        program = prefix / "bin/python"
        facts = None
        if reason := _why_own(own, prefix):
            passed.append((prefix, variable, reason))
        elif not os.access(program, os.X_OK):
            passed.append((prefix, variable, "it has no bin/python"))
        elif (facts := _ask(str(program))) is None:
            passed.append((prefix, variable, "its bin/python does not run"))
        if facts is not None:
            why = f"that environment is active, while torchml-install runs in {own.prefix}"
            if tool := _tool(own.prefix):
                why += f", which {tool} created for it alone"
            return Python(**facts, is_own=False, how=variable, why=why, passed=tuple(passed))
    why = "; ".join(reason for _, _, reason in passed) or "no environment is active"
    return replace(own, how="torchml-install's own", why=why, passed=tuple(passed))


def look_again() -> None:
    """Makes this process see packages installed since it started, also in a new user site."""
    importlib.invalidate_caches()
    _ask.cache_clear()
    _spec_by_asking.cache_clear()
    user_site = site.getusersitepackages()
    if site.ENABLE_USER_SITE and Path(user_site).is_dir() and user_site not in sys.path:
        site.addsitedir(user_site)


def say_which() -> None:
    """Says which Python is used if users may expect another one."""
    python = user_python()
    if not python.is_own:
        console.note(f"using {python.executable} ({python.how}): {python.why}")
    elif (explanation := in_tool_environment(python)) is not None:
        console.warn(" ".join(explanation))


def in_tool_environment(python: Python) -> tuple[str, str] | None:
    """The problem and remedy if pipx or uv created this Python for this program alone.

    None for every other Python, and for one that has torch.
    """
    tool = _tool(python.prefix)
    if not tool or python.has("torch"):
        return None
    return (
        f"torchml-install runs in an environment that {tool} created for it alone "
        f"({python.prefix}), and no other environment is active.",
        "Activate the environment that has your torch (`conda activate NAME` or "
        "`. DIR/bin/activate`), and run this command again.",
    )


def _own() -> Python:
    return Python(
        executable=sys.executable,
        prefix=Path(sys.prefix),
        base_prefix=Path(sys.base_prefix),
        search_path=sys.path,
        has_user_site=bool(site.ENABLE_USER_SITE),
        version=tuple(sys.version_info[:3]),
        release=platform.python_version(),
        full_version=sys.version,
    )


def _active() -> list[tuple[Path, str]]:
    """The active environments: (folder, variable that names it), in the order of PATH."""
    named = [
        (Path(value).absolute(), name) for name in VARIABLES if (value := os.environ.get(name))
    ]
    if len(named) > 1:
        named.sort(key=lambda one: _rank(one[0] / "bin"))
    return named


def _rank(folder: Path) -> float:
    """The position of a folder on PATH; infinity if PATH lacks it."""
    listed = os.environ.get("PATH", "").split(os.pathsep)
    wanted = files.resolved(folder)
    places = [
        index for index, name in enumerate(listed) if name and files.resolved(Path(name)) == wanted
    ]
    return min(places, default=math.inf)


def _why_own(own: Python, active: Path) -> str:
    """Why to use this program's Python although another environment is active; "" if not."""
    if _tool(own.prefix):
        return ""
    theirs = _rank(active / "bin")
    if theirs == math.inf:
        return f"{active / 'bin'} is not on PATH"
    if _rank(own.program_folder) < theirs:
        return f"{own.program_folder} comes before it on PATH"
    program = Path(sys.argv[0])
    if not program.name.startswith("torchml-install"):
        return f"{own.executable} was started by its own name"
    in_environment = own.is_virtual or files.is_dir(own.prefix / "conda-meta")
    if in_environment and not program.is_symlink() and _rank(program.parent) == math.inf:
        return f"torchml-install was started as {program}"
    return ""


def _tool(prefix: Path) -> str:
    """The tool that created an environment for one program; "" for ordinary environments."""
    for name, tool in _RECEIPTS.items():
        if files.is_file(prefix / name):
            return tool
    # The cache of environments that uvx creates for a single run.
    return "uvx" if prefix.parent.name.startswith("archive-v") else ""


@cache
def _ask(program: str) -> dict[str, Any] | None:
    """The fields of ``Python`` from another Python; None if it does not answer."""
    answer = _answer([program, "-c", _FACTS])
    if not isinstance(answer, dict):
        return None
    return {
        **answer,
        "prefix": Path(answer["prefix"]),
        "base_prefix": Path(answer["base_prefix"]),
        "version": tuple(answer["version"]),
    }


@cache
def _spec_by_asking(program: str, name: str) -> importlib.machinery.ModuleSpec | None:
    answer = _answer([program, "-c", _SPEC, name])
    if not isinstance(answer, list):
        return None
    spec = importlib.machinery.ModuleSpec(name, None, origin=answer[0])
    spec.submodule_search_locations = answer[1] or None
    return spec


def _answer(command: Sequence[str]) -> Any:
    """The JSON in the last line that a Python prints; None if it fails.

    Runs in the root folder: Python with -c would find packages in the current one.
    """
    try:
        done = subprocess.run(
            command,
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=30.0,
            check=False,
        )
        lines = done.stdout.decode(errors="surrogateescape").splitlines()
        return json.loads(lines[-1]) if done.returncode == 0 and lines else None
    except (OSError, subprocess.TimeoutExpired, ValueError):
        return None
