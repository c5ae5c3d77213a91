"""Translates the refusal of a conda solver into what to do about it.

conda, mamba, micromamba, pixi and rattler-build each print a tree of requirements. Our packages are
refused for only a few reasons, each with a command that solves it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

_INSTALL = "conda install -c conda-forge"
_CPU_BUILD = f"`{_INSTALL} 'torchml-driver=*=cpu_*'`"
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
    """message: the requirements that conflict. remedy: the command that solves it."""

    message: str
    remedy: str


def explain(said: str) -> Conflict | None:
    """The cause behind a solver's output, or a channel's silence; None if it is unknown.

    >>> explain("No candidates were found for pytorch *.").message
    'The channels have no package pytorch.'
    """
    if _NO_NETWORK.search(said):
        return Conflict(
            f"The channel could not be reached{_which_host(said)}.",
            "Check the network and its proxy (https_proxy), or name a channel that can be reached: "
            "`conda config --set channel_alias URL` for a mirror, `-c file:///path/to/channel` for "
            "one on disk, `--offline` for what was downloaded before.",
        )
    return refusal(said)


def refusal(said: str) -> Conflict | None:
    """What the solver could not satisfy; None if it is unknown."""
    if not _FAILED.search(said):
        return None
    for recognise in _KNOWN:
        if conflict := recognise(said):
            return conflict
    return None


def _which_host(said: str) -> str:
    found = re.search(r"https?://[^\s>)'\",]+", said)
    return f" ({found[0]})" if found else ""


def _two_mpis(said: str) -> Conflict | None:
    if not re.search(r"\bopenmpi\b", said) or not re.search(r"\bmpich\b", said):
        return None
    return Conflict(
        "Both Open MPI and MPICH are requested, but an environment can have only one MPI.",
        "Request the same one everywhere: "
        f"`{_INSTALL} 'torchml-driver=*=*mpi_openmpi*' 'lammps=*=*mpi_openmpi*'` (or mpi_mpich), "
        "or take the driver that works with any: "
        f"`{_INSTALL} 'torchml-driver=*=*nompi*' 'lammps=*=*mpi_mpich*'`.",
    )


def _two_builds(said: str) -> Conflict | None:
    for build, other in (("cuda", "cpu"), ("cpu", "cuda")):
        for_driver = re.search(rf"torchml-driver [=*\s]*{build}", said)
        if for_driver and re.search(rf"(?:pytorch|libtorch) [=*\s]*{other}", said):
            return Conflict(
                "Both a CPU build and a CUDA build of torch are requested.",
                f"Request the same one: `{_INSTALL} 'torchml-driver=*={other}_*' "
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
        f"Update that driver, or compute without the GPU: {_CPU_BUILD}.",
    )


def _no_gpu(said: str) -> Conflict | None:
    if not re.search(r"__cuda[^\n]*, for which no candidates|nothing provides __cuda", said):
        return None
    least = re.search(r"__cuda\s*>=\s*(\d+(?:\.\d+)?)", said)
    return Conflict(
        "The CUDA build needs a machine with an NVIDIA GPU, but none was detected here.",
        "On a login node, say which CUDA its compute nodes have: "
        f"`CONDA_OVERRIDE_CUDA={least[1] if least else '12.9'} {_INSTALL} "
        f"'torchml-driver=*=cuda_*'`; without a GPU: {_CPU_BUILD}.",
    )


def _other_torch(said: str) -> Conflict | None:
    """A driver whose libtorch is unavailable, or in conflict with the one requested."""
    wanted = list(dict.fromkeys(re.findall(rf"\blibtorch ({_LIMITS})", said)))
    if not wanted or "torchml-driver" not in said:
        return None
    # The driver names a lower and an upper limit; pytorch names one version.
    limits = next((words for words in wanted if ",<" in words), wanted[0])
    return Conflict(
        f"This torchml-driver was built with libtorch {limits}, and there is none beside what else "
        "is asked for or installed: another torch is, or the channels have no such one.",
        f"Take that torch: `{_INSTALL} torchml-driver {_spec('libtorch', limits)}`, or keep the "
        "torch that is there and build the driver with it: `torchml-install driver`.",
    )


def _other_kim(said: str) -> Conflict | None:
    found = re.search(rf"\bkim-api ({_LIMITS})", said)
    if found is None or "torchml-driver" not in said:
        return None
    return Conflict(
        f"This torchml-driver was built with kim-api {found[1]}, and another one is asked for or "
        "installed.",
        f"Take that one: `{_INSTALL} torchml-driver {_spec('kim-api', found[1])}`, or build the "
        "driver with the one that is there: `torchml-install driver`.",
    )


def _spec(name: str, limits: str) -> str:
    """A requirement as conda's command line takes it."""
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
            "It is built from recipes/ of the driver's repository: `python -m ci.conda_packages "
            f"output`, then `conda install -c file://$PWD/output -c conda-forge {' '.join(ours)}`."
        )
    else:
        remedy = (
            f"conda-forge has it: `{_INSTALL} {' '.join(names)}`; where a channel is named to "
            "build or to install from, name conda-forge (or a mirror of it) beside it."
        )
    return Conflict(f"The channels have no package{plural} {listed_names}.", remedy)


#: In this order: messages that name two things come before those that name one.
_KNOWN: tuple[Callable[[str], Conflict | None], ...] = (
    _two_mpis,
    _two_builds,
    _old_gpu_driver,
    _other_torch,
    _other_kim,
    # Solvers also name this one when a build without CUDA is refused for another reason.
    _no_gpu,
    _missing,
)
