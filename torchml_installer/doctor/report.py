"""``doctor --markdown``: the findings for a bug report, without user names."""

from __future__ import annotations

import contextlib
import getpass
import os
import platform
import re
from pathlib import Path

from torchml_installer import __version__, remedies
from torchml_installer.building.plan import BuildPlan
from torchml_installer.detect import Survey
from torchml_installer.detect.record import Finding
from torchml_installer.support.paths import home_folder

#: Variables that affect what is found or how models run.
VARIABLES = (
    "TORCH_ROOT",
    "Torch_ROOT",
    "TorchScatter_ROOT",
    "TorchSparse_ROOT",
    "LIBDESCRIPTOR_ROOT",
    "KIM_API_CMAKE_PREFIX_DIR",
    "KIM_API_MODEL_DRIVERS_DIR",
    "KIM_API_PORTABLE_MODELS_DIR",
    "CONDA_PREFIX",
    "VIRTUAL_ENV",
    "CXX",
    "CXXFLAGS",
    "LDFLAGS",
    "CPATH",
    "C_INCLUDE_PATH",
    "CPLUS_INCLUDE_PATH",
    "LIBRARY_PATH",
    "PIP_USER",
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_ROOT",
    "LD_LIBRARY_PATH",
    "OMP_NUM_THREADS",
    "CUDA_VISIBLE_DEVICES",
)
#: Another user's home, such as that of a colleague who shares libraries.
_HOMES = re.compile(r"(/(?:home|Users)/)[^/\s:;,`|\"']+")
_PREFIXES = ("KIM_MODEL_", "TORCHML_")


def markdown(survey: Survey) -> str:
    """The report: the system, all findings, problems, and environment variables."""
    lines = [
        f"torchml-install {__version__}, Python {platform.python_version()}, {_system()}",
        "",
        "| searched for | state | version | where |",
        "|---|---|---|---|",
    ]
    for finding in survey.findings():
        where = "" if finding.where is None else f"`{finding.where}`"
        how = f" ({finding.how})" if finding.how else ""
        cells = (finding.title, _state(finding), _version(finding), where + how)
        lines.append("| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |")
    problems = [
        f"- {finding.title}: {finding.problem.message}"
        for finding in survey.findings()
        if finding.problem is not None
    ]
    problems += [
        f"- known problem {found.name}: {found.symptom.explanation}"
        for found in remedies.recognised(BuildPlan.of(survey))
    ]
    if problems:
        lines += ["", "Problems:", "", *problems]
    variables = sorted(
        name for name in os.environ if name in VARIABLES or name.startswith(_PREFIXES)
    )
    if variables:
        lines += ["", "Environment:", ""]
        lines += [f"- `{name}={os.environ[name]}`" for name in variables]
    return blanked("\n".join(lines) + "\n")


def blanked(text: str) -> str:
    """``text`` with ~ for the home folder and USER for user names."""
    home = home_folder()
    if home is not None and home != Path("/"):
        text = text.replace(str(home), "~")
    for name in {_user(), home.name if home is not None else ""} - {"", "root"}:
        # Also in "jane_env" and "jane-2", but not within a word.
        text = re.sub(rf"(?<![^\W_]){re.escape(name)}(?![^\W_])", "USER", text)
    return _HOMES.sub(r"\1USER", text)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return ""


def _system() -> str:
    name = platform.platform()
    with contextlib.suppress(OSError, KeyError):
        name = f"{platform.freedesktop_os_release()['PRETTY_NAME']}, {name}"
    return name


def _state(finding: Finding) -> str:
    return f"**{finding.state}**" if finding.problem and finding.needed else finding.state


def _version(finding: Finding) -> str:
    return ", ".join(
        part
        for part in (finding.version, *(f"{key} {word}" for key, word in finding.details.items()))
        if part
    )
