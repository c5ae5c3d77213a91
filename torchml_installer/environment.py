"""``env``: writes env.sh from ``env_templates/env.sh.in``."""

from __future__ import annotations

import os
import shlex
import tempfile
from pathlib import Path

from torchml_installer.detect import Places, Toolchain, libdescriptor, toolchain, torch_extension
from torchml_installer.detect.programs import python_program_folder, which
from torchml_installer.errors import NotPermittedError
from torchml_installer.resources import shared_folder
from torchml_installer.torch_extensions import EXTENSIONS

#: Prefixes that CMake searches without being told.
_SYSTEM_PREFIXES = (Path("/usr"), Path("/usr/local"))


def render(tools: Toolchain) -> str:
    """The text of env.sh for what was found; what was not found is not set."""
    template = (shared_folder("env_templates") / "env.sh.in").read_text(encoding="utf-8")
    torch_root = tools.torch.where if tools.torch.usable else None
    kim = tools.kim.where if tools.kim.usable else None
    extensions = {
        f"{name.upper()}_ROOT": torch_extension.detect(extension, tools.torch.version)
        for name, extension in EXTENSIONS.items()
    }
    extensions["LIBDESCRIPTOR_ROOT"] = libdescriptor.detect()
    values = {
        "TORCH_ROOT": str(torch_root or ""),
        **{key: str(found.where) if found.usable else "" for key, found in extensions.items()},
        "KIM_PREFIX": "" if kim is None or kim in _SYSTEM_PREFIXES else str(kim),
        "PATH_ADDITIONS": os.pathsep.join(map(str, _path_additions(tools))),
    }
    for name, value in values.items():
        template = template.replace(f"@{name}@", shlex.quote(value))
    return template


def _path_additions(tools: Toolchain) -> list[Path]:
    """Folders of programs that were found, but that PATH does not lead to."""
    wanted = [python_program_folder()]
    if tools.kim.usable and tools.kim.where is not None:
        wanted.append(tools.kim.where / "bin")
    on_path = os.environ.get("PATH", "").split(os.pathsep)
    found = which("cmake")
    if found is not None and found[0] != tools.cmake.where and tools.cmake.where is not None:
        # The cmake that PATH leads to is not the one that is new enough.
        wanted.insert(0, tools.cmake.where.parent)
        on_path = [folder for folder in on_path if folder != str(wanted[0])]
    return [
        folder
        for folder in dict.fromkeys(wanted)
        # A colon separates folders in PATH and cannot be quoted.
        if folder.is_dir() and str(folder) not in on_path and os.pathsep not in str(folder)
    ]


def write(output: Path | None, places: Places) -> tuple[str, Path | None]:
    """Renders env.sh and writes it to ``output``; None: nowhere. Returns the text and the path.

    Raises the problem of torch or the KIM-API when either is missing: the file would be of no use.
    """
    tools = toolchain(places)
    for finding in (tools.torch, tools.kim):
        if finding.problem is not None:
            raise finding.problem
    text = render(tools)
    if output is None:
        return text, None
    path = output.absolute()
    try:
        handle, partial = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        # mkstemp makes private files; this one is as public as any other the user writes.
        mask = os.umask(0)
        os.umask(mask)
        Path(partial).chmod(0o666 & ~mask)
        Path(partial).replace(path)
    except (PermissionError, FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise NotPermittedError(f"Cannot write {path}: {error.strerror}.") from error
    return text, path
