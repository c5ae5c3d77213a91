"""The package ``python``: the interpreter that runs this, without what is installed into it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ci.conda_channel.files import copy, replace_in_texts, set_run_paths
from ci.conda_channel.package import PREFIX_MARK, ChannelError, Package

VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
#: Of the standard library: what takes much room and what nothing in a channel for tests needs.
_LEFT_OUT = {"__pycache__", "idlelib", "site-packages", "test", "tests", "tkinter", "turtledemo"}


def python_packages(work: Path, patchelf: Path) -> list[Package]:
    """``python`` and ``python_abi``. Raises ChannelError where the interpreter cannot be moved."""
    base = Path(sys.base_prefix)
    library = base / "lib" / f"python{VERSION}"
    if base == Path("/usr") or not (library / "os.py").is_file():
        raise ChannelError(
            f"The Python in {base} belongs to the system and cannot be moved into packages. Run "
            "this with one that was installed into a folder of its own (pyenv, python.org)."
        )
    stage = work / "python"
    for source in sorted((base / "bin").glob("python*")):
        if source.name in ("python", "python3", f"python{VERSION}"):
            copy(source, stage / "bin" / source.name)
    for source in sorted((base / "lib").glob("libpython*.so*")):
        copy(source, stage / "lib" / source.name)
    for folder in (library, base / "include" / f"python{VERSION}"):
        for parent, folders, names in os.walk(folder):
            folders[:] = [name for name in folders if name not in _LEFT_OUT]
            for name in names:
                if not name.endswith((".a", ".pyc")):
                    source = Path(parent, name)
                    copy(source, stage / source.relative_to(base))
    replace_in_texts(stage, str(base), PREFIX_MARK)
    set_run_paths(stage, patchelf)
    digits = VERSION.replace(".", "")
    abi = f"python_abi {VERSION}.* *_cp{digits}"
    version = ".".join(map(str, sys.version_info[:3]))
    return [
        Package("python_abi", VERSION, f"0_cp{digits}", constrains=(f"python {VERSION}.*",)),
        Package(
            "python",
            version,
            "0_cpython",
            stage,
            run_exports={"weak": [abi], "noarch": ["python"]},
        ),
    ]
