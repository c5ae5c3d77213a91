"""Turns the output of a conda solver that failed into advice.

conda, mamba, micromamba, pixi and rattler-build each print a tree of requirements. They refuse our
packages for only a few reasons, and for each there is a command.

No public channel has our packages: every command names the user's own channel first.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

_INSTALL = "conda install -c conda-forge"
#: For our packages; CHANNEL is the channel that they were built into.
_INSTALL_OURS = "conda install -c CHANNEL -c conda-forge"
_CPU_BUILD = f"`{_INSTALL_OURS} 'torchml-driver=*=cpu_*'`"
#: Any version specification: ">=2.13.0,<2.14.0a0", "==2.13.0 cpu_*", "* cuda*", "2.12.*".
_LIMITS = r"(?:[<>=!~*\d][^\s,;:|└├]*(?:,[<>=!~][^\s,;:|└├]*)*(?: [\w*.]*\*)?)"
_FAILED = re.compile(
    r"Cannot solve|Could not solve|Unsatisfiable|PackagesNotFound|problems while solving"
    r"|Failed to solve|no candidates were found|nothing provides|none of the providers"
    r"|failed to (?:solve|resolve)|conflict|incompatible",
    re.IGNORECASE,
)
_NO_NETWORK = re.compile(
    r"CONNECTION FAILED|CondaHTTPError|Could ?n[o']t resolve host|[Ff]ailed to lookup address"
    r"|Temporary failure in name resolution|Network is unreachable|error sending request for url"
    r"|dns error|Could not connect to server|Connection (?:refused|timed out|reset)"
    r"|OfflineError|could not connect",
)


@dataclass(frozen=True)
class Conflict:
    """message: the conflicting requirements. remedy: the command that solves it."""

    message: str
    remedy: str


def explain(said: str) -> Conflict | None:
    """What made a solver fail, or a channel unreachable; None if unknown.

    >>> explain("No candidates were found for pytorch *.").message
    'The channels have no package pytorch.'
    """
    if _NO_NETWORK.search(said):
        return Conflict(
            f"The channel could not be reached{_which_host(said)}.",
            "Check the network and its proxy (https_proxy). Or use a channel that you can reach: a "
            "mirror (`conda config --set channel_alias URL`), one on disk (`-c "
            "file:///path/to/channel`), or earlier downloads (`--offline`).",
        )
    return refusal(said)


def refusal(said: str) -> Conflict | None:
    """What the solver could not satisfy; None if unknown."""
    if not _FAILED.search(said):
        return None
    for recognise in _KNOWN:
        if conflict := recognise(said):
            if "-c CHANNEL" in conflict.remedy:
                explained = f"{conflict.remedy} CHANNEL is the channel that has torchml-driver."
                return Conflict(conflict.message, explained)
            return conflict
    return None


def _which_host(said: str) -> str:
    found = re.search(r"https?://[^\s>)'\",]+", said)
    return f" ({found[0]})" if found else ""


def _two_mpis(said: str) -> Conflict | None:
    if not re.search(r"\bopenmpi\b", said) or not re.search(r"\bmpich\b", said):
        return None
    return Conflict(
        "Open MPI and MPICH are both requested, but an environment can have only one MPI.",
        "Request the same one everywhere: "
        f"`{_INSTALL_OURS} 'torchml-driver=*=*mpi_openmpi*' 'lammps=*=*mpi_openmpi*'` "
        "(or mpi_mpich), "
        "or the driver that works with any MPI: "
        f"`{_INSTALL_OURS} 'torchml-driver=*=*nompi*' 'lammps=*=*mpi_mpich*'`.",
    )


def _two_builds(said: str) -> Conflict | None:
    for build, other in (("cuda", "cpu"), ("cpu", "cuda")):
        for_driver = re.search(rf"torchml-driver [=*\s]*{build}", said)
        if for_driver and re.search(rf"(?:pytorch|libtorch) [=*\s]*{other}", said):
            return Conflict(
                "A CPU build and a CUDA build of torch are both requested.",
                f"Request the same one: `{_INSTALL_OURS} 'torchml-driver=*={other}_*' "
                f"'libtorch=*={other}*'`, or {build} in both places.",
            )
    return None


def _old_gpu_driver(said: str) -> Conflict | None:
    """A GPU whose driver is older than the CUDA that torch was built with."""
    least = re.search(r"__cuda\s*>=\s*(\d+(?:\.\d+)?)", said)
    seen = re.search(r"__cuda (\d+(?:\.\d+)?)", said)
    asked = re.search(r"(?:torchml-driver|pytorch|libtorch) [=*\s]*cuda", said)
    if not (least and seen and asked):
        return None
    return Conflict(
        f"The CUDA build needs CUDA {least[1]} or newer, but this machine's GPU driver has "
        f"{seen[1]}.",
        f"Update the GPU driver, or compute without the GPU: {_CPU_BUILD}.",
    )


def _no_gpu(said: str) -> Conflict | None:
    if not re.search(r"__cuda[^\n]*, for which no candidates|nothing provides __cuda", said):
        return None
    least = re.search(r"__cuda\s*>=\s*(\d+(?:\.\d+)?)", said)
    return Conflict(
        "The CUDA build needs a machine with an NVIDIA GPU, but none was detected here.",
        "On a login node, name the CUDA version of the compute nodes: "
        f"`CONDA_OVERRIDE_CUDA={least[1] if least else '12.9'} {_INSTALL_OURS} "
        f"'torchml-driver=*=cuda_*'`. Without a GPU, run {_CPU_BUILD}.",
    )


def _other_torch(said: str) -> Conflict | None:
    """A driver whose libtorch is unavailable or conflicts with the requested one."""
    wanted = list(dict.fromkeys(re.findall(rf"\blibtorch ({_LIMITS})", said)))
    if not wanted or "torchml-driver" not in said:
        return None
    # The driver names a lower and an upper limit; pytorch names one version.
    limits = next((words for words in wanted if ",<" in words), wanted[0])
    return Conflict(
        f"This torchml-driver was built with libtorch {limits}. The channels lack it, or "
        "another one is requested or installed.",
        f"Install that torch: `{_INSTALL_OURS} torchml-driver {_spec('libtorch', limits)}`, or "
        "keep your torch and build the driver with it: `torchml-install driver`.",
    )


def _other_kim(said: str) -> Conflict | None:
    found = re.search(rf"\bkim-api ({_LIMITS})", said)
    if found is None or "torchml-driver" not in said:
        return None
    return Conflict(
        f"This torchml-driver was built with kim-api {found[1]}, but another one is requested or "
        "installed.",
        f"Install that one: `{_INSTALL_OURS} torchml-driver {_spec('kim-api', found[1])}`, or keep "
        "yours and build the driver with it: `torchml-install driver`.",
    )


def _spec(name: str, limits: str) -> str:
    """A requirement in the syntax of conda's command line."""
    if limits.startswith("* "):
        return f"'{name}=*={limits[2:]}'"
    return f"'{name}{limits.partition(' ')[0]}'"


def _missing(said: str) -> Conflict | None:
    patterns = (
        r"No candidates were found for ([\w.-]+)",
        r"nothing provides (?:requested )?([\w.-]+)",
        r"([\w.-]+)[^\n]* does not exist \(perhaps",
        rf"([\w.-]+) (?:{_LIMITS} ?)*, for which no candidates were found",
    )
    names = [name for pattern in patterns for name in re.findall(pattern, said)]
    if listed := re.search(r"not available from current channels:\n((?:\s+- \S+[^\n]*\n?)+)", said):
        names += re.findall(r"^\s+- ([\w.-]+)", listed[1], re.MULTILINE)
    names = list(dict.fromkeys(names))
    if not names:
        return None
    listed_names = ", ".join(names)
    plural = "s" if len(names) > 1 else ""
    ours = [name for name in names if name.startswith("torchml-")]
    if ours:
        remedy = (
            "Build it from recipes/ in the driver's repository with `python -m ci.conda_packages "
            "output`, then run "
            f"`conda install -c file://$PWD/output -c conda-forge {' '.join(ours)}`."
        )
    else:
        remedy = (
            f"conda-forge has it: `{_INSTALL} {' '.join(names)}`. If you name another channel, "
            "name conda-forge (or a mirror of it) as well."
        )
    return Conflict(f"The channels have no package{plural} {listed_names}.", remedy)


#: In this order: messages with two names come before those with one.
_KNOWN: tuple[Callable[[str], Conflict | None], ...] = (
    _two_mpis,
    _two_builds,
    _old_gpu_driver,
    _other_torch,
    _other_kim,
    # Solvers also mention CUDA when they refuse a build without it for another reason.
    _no_gpu,
    _missing,
)
