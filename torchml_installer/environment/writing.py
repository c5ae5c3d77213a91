"""``env``: writes environment variables for the user's own builds."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

from torchml_installer.detect import Places, Toolchain, libdescriptor, toolchain, torch_extension
from torchml_installer.detect.known_extensions import EXTENSIONS
from torchml_installer.detect.programs import python_program_folder, which
from torchml_installer.environment.formats import FORMATS, Settings
from torchml_installer.errors import NotPermittedError, OutputExistsError
from torchml_installer.support import disk, files

#: Prefixes that CMake searches by default.
_SYSTEM_PREFIXES = (Path("/usr"), Path("/usr/local"))
#: The beginning of the JSON document; the other formats name this program in a comment.
_JSON = b'{\n  "schema": 1,\n  "variables": {'


def settings(tools: Toolchain) -> Settings:
    """The variables and folders of the detected tools."""
    variables = {}
    if tools.torch.usable:
        variables["TORCH_ROOT"] = str(tools.torch.where)
    if tools.kim.usable and tools.kim.where not in _SYSTEM_PREFIXES:
        variables["KIM_API_CMAKE_PREFIX_DIR"] = str(tools.kim.where)
    for extension in EXTENSIONS.values():
        found = torch_extension.detect(extension, tools.torch)
        if found.usable:
            variables[extension.variable] = str(found.where)
    found = libdescriptor.detect()
    if found.usable:
        variables["LIBDESCRIPTOR_ROOT"] = str(found.where)
    return Settings(variables, _path_additions(tools))


def _path_additions(tools: Toolchain) -> tuple[Path, ...]:
    """Folders of detected programs that are not on PATH."""
    wanted = [python_program_folder()]
    wanted += [tool.where.parent for tool in (tools.cmake, tools.build_tool) if tool.where]
    if tools.kim.usable and tools.kim.where is not None:
        wanted.append(tools.kim.where / "bin")
    on_path = os.environ.get("PATH", "").split(os.pathsep)
    found = which("cmake")
    if found is not None and found[0] != tools.cmake.where and tools.cmake.where is not None:
        # The cmake on PATH is too old.
        wanted.insert(0, tools.cmake.where.parent)
        on_path = [folder for folder in on_path if folder != str(wanted[0])]
    return tuple(
        folder
        for folder in dict.fromkeys(wanted)
        # A colon separates folders in PATH, and cannot be quoted.
        if folder.is_dir() and str(folder) not in on_path and os.pathsep not in str(folder)
    )


def _is_ours(file: Path) -> bool:
    """Whether ``write`` wrote this file, or it is empty."""
    start = files.beginning(file, 400)
    return not start or b"`torchml-install env`" in start or start.startswith(_JSON)


def write(
    kind: str, output: str | None, places: Places, *, force: bool = False
) -> tuple[str, Path | None]:
    """Writes the environment in one of ``FORMATS``; returns the text to print, and the file.

    output: the file to write; None: the default one, in the working folder; "-": none, the caller
    prints the text. To a pipe or a device this writes directly.

    Raises the problem of torch or the KIM-API if either is missing: the file would be useless.
    Raises OutputExistsError if ``write`` did not create the existing file, unless ``force``.
    """
    tools = toolchain(places)
    for finding in (tools.torch, tools.kim):
        if finding.problem is not None:
            raise finding.problem
    text = FORMATS[kind].render(settings(tools))
    if output == "-":
        return text, None
    path = Path(output or FORMATS[kind].file_name).absolute()
    # A path may contain bytes that are not valid text.
    contents = text.encode("utf-8", errors="surrogateescape")
    try:
        if files.waits(path):
            path.write_bytes(contents)
            return "", None
        if not force and files.is_file(path) and not _is_ours(path):
            raise OutputExistsError(
                f"{path} already exists, and `torchml-install env` did not write it.",
                "Name another file with -o, or replace this one with --force.",
            )
        place = files.resolved(path)  # keeps a link, which leads to the new file
        with tempfile.TemporaryDirectory(prefix=f".{place.name}-", dir=place.parent) as folder:
            partial = Path(folder, place.name)
            partial.write_bytes(contents)
            partial.replace(place)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise disk.full(f"Cannot write {path}", said=str(error), place=path) from error
        raise NotPermittedError(f"Cannot write {path}: {error.strerror}.") from error
    return text, path
