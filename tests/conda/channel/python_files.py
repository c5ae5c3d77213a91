"""The package ``python``: an interpreter without installed packages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.conda.channel.files import copy, replace_in_texts, set_run_paths
from tests.conda.channel.package import PREFIX_MARK, ChannelError, Package

#: Large parts of the standard library that a channel for tests does not need.
_LEFT_OUT = {"__pycache__", "idlelib", "site-packages", "test", "tests", "tkinter", "turtledemo"}
_FACTS = "import json, sys; print(json.dumps([sys.base_prefix, *sys.version_info[:3]]))"


@dataclass(frozen=True)
class Interpreter:
    """A Python. base: the folder of its installation. release: for example "3.11.7"."""

    executable: str
    base: Path
    release: str

    @classmethod
    def of(cls, executable: str) -> Interpreter:
        """Gets the facts from the program. Raises ChannelError if it is not a Python."""
        command = [executable, "-c", _FACTS]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise ChannelError(f"{executable} is no Python that runs: {error}") from error
        base, *numbers = json.loads(done.stdout)
        return cls(executable, Path(base), ".".join(map(str, numbers)))

    @classmethod
    def own(cls) -> Interpreter:
        return cls(sys.executable, Path(sys.base_prefix), ".".join(map(str, sys.version_info[:3])))

    @property
    def version(self) -> str:
        """The version, for example "3.11"."""
        return self.release.rpartition(".")[0]

    @property
    def tag(self) -> str:
        """The tag, for example "311"."""
        return self.version.replace(".", "")

    @property
    def next_version(self) -> str:
        major, minor = self.version.split(".")
        return f"{major}.{int(minor) + 1}"

    @property
    def site_packages(self) -> Path:
        """The folder of packages below a prefix."""
        return Path("lib", f"python{self.version}", "site-packages")


def python_packages(python: Interpreter, work: Path, patchelf: Path) -> list[Package]:
    """``python`` and ``python_abi``. Raises ChannelError if the interpreter cannot be moved."""
    base = python.base
    name = f"python{python.version}"
    library = base / "lib" / name
    if base == Path("/usr") or not (library / "os.py").is_file():
        raise ChannelError(
            f"The Python in {base} belongs to the system and cannot be moved into packages. Run "
            "this with one that was installed into a separate folder (pyenv, python.org)."
        )
    stage = work / name
    for source in sorted((base / "bin").glob("python*")):
        if source.name in ("python", "python3", name):
            copy(source, stage / "bin" / source.name)
    for source in sorted((base / "lib").glob("libpython*.so*")):
        copy(source, stage / "lib" / source.name)
    for folder in (library, base / "include" / name):
        for parent, folders, names in os.walk(folder):
            folders[:] = [name for name in folders if name not in _LEFT_OUT]
            for name in names:
                if not name.endswith((".a", ".pyc")):
                    source = Path(parent, name)
                    copy(source, stage / source.relative_to(base))
    replace_in_texts(stage, str(base), PREFIX_MARK)
    set_run_paths(stage, patchelf)
    build = f"0_cp{python.tag}"
    abi = f"python_abi {python.version}.* *_cp{python.tag}"
    exports = {"weak": [abi], "noarch": ["python"]}
    return [
        Package("python_abi", python.version, build, constrains=(f"python {python.version}.*",)),
        Package("python", python.release, "0_cpython", stage, run_exports=exports),
    ]
