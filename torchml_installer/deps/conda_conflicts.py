"""Turns the output of a conda solver that failed into advice.

conda, mamba, micromamba, pixi and rattler-build each print a tree of requirements. They refuse our
packages for only a few reasons, and for each there is a command.

No public channel has our packages: every command names the user's own channel first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from torchml_installer.deps.needs import NEEDS

_OURS = "torchml-driver"
_INSTALL = "conda install -c conda-forge"
_SEARCH = "conda search -c conda-forge"
_SEARCH_OURS = "conda search -c CHANNEL"
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
    if (conflict := refusal(said)) is not None:
        return conflict
    if _NO_NETWORK.search(said):
        return Conflict(
            f"The channel could not be reached{_which_host(said)}.",
            "Check the network and its proxy (https_proxy). Or use a channel that you can reach: a "
            "mirror (`conda config --set channel_alias URL`), one on disk (`-c "
            "file:///path/to/channel`), or earlier downloads (`--offline`).",
        )
    return None


def refusal(said: str) -> Conflict | None:
    """What the solver could not satisfy; None if unknown, or if a channel was unreachable and only
    packages are missing."""
    if not _FAILED.search(said):
        return None
    for recognise in _KNOWN:
        if recognise is _missing and _NO_NETWORK.search(said):
            continue
        if conflict := recognise(said):
            if "-c CHANNEL" in conflict.remedy:
                explained = f"{conflict.remedy} CHANNEL is the channel that has torchml-driver."
                return Conflict(conflict.message, explained)
            return conflict
    return None


@dataclass(frozen=True)
class _Demand:
    """A requirement that the solver prints. by: the package that has it, "" for a request."""

    by: str
    package: str
    limits: str


#: A line of a solver's tree: its bars, a package, and what follows.
_NODE = re.compile(r"^([\s│|├└─]*[├└]─ )?\s*([A-Za-z_][\w.-]*)((?: [^\s;]+)*)")
#: Words after a package's versions.
_PROSE = {"is", "can", "cannot", "would", "requires", "which", "does", "for", "needed", "but"}


def _demands(said: str) -> list[_Demand]:
    """Who requires what, from the trees and sentences of all solvers."""
    found = []
    parents: list[tuple[int, str]] = []
    for line in said.splitlines():
        node = _NODE.match(line)
        if node is None:
            continue
        bars, name, rest = node.groups()
        words = rest.split()
        limits = []
        while words and words[0] not in _PROSE:
            limits.append(words[0].rstrip(","))
            if words.pop(0).endswith(","):
                break
        if bars is None:
            # "Cannot solve the request because of: NAME ...", without its parents.
            parents = []
            start = re.search(r"because of: ([\w.-]+) .* no viable options", line)
            if start:
                parents = [(0, start[1])]
            continue
        depth = len(bars)
        while parents and parents[-1][0] >= depth:
            parents.pop()
        by = parents[-1][1] if parents else ""
        parents.append((depth, name))
        if by != name:
            found.append(_Demand(by, name, " ".join(limits)))
    for by, package, limits in re.findall(
        rf"([A-Za-z][\w.-]*?)(?:-\d[\w.]*-\w+)? (?:requires|needs) ([\w.-]+) ({_LIMITS})", said
    ):
        found.append(_Demand(by, package, limits))
    for package, limits, by in re.findall(
        rf"nothing provides ([\w.-]+) ({_LIMITS}) needed by ([\w.-]+?)-\d", said
    ):
        found.append(_Demand(by, package, limits))
    return found


def _demanded(said: str, package: str) -> tuple[str, _Demand | None]:
    """What torchml-driver requires of a package, "" if it requires nothing; and another requirement
    of it, that of a package before a request, None if there is none."""
    demands = [one for one in _demands(said) if one.package == package and one.limits]
    ours = [one.limits for one in demands if one.by == _OURS]
    # The driver names a lower and an upper limit; pytorch names one version.
    limits = next((words for words in ours if ",<" in words), ours[0] if ours else "")
    others = sorted((one for one in demands if one.by != _OURS), key=lambda one: not one.by)
    return _plain(limits), others[0] if others else None


def _plain(limits: str) -> str:
    """Without the build if any will do: ">=2.4,<3.0a0 *"."""
    return limits.removesuffix(" *")


def _which_host(said: str) -> str:
    found = re.search(r"https?://[^\s>)'\",]+", said)
    return f" ({found[0]})" if found else ""


def _asks_for(mpi: str, said: str) -> bool:
    """Whether the solver names that MPI, or a build for it: "lammps=*=*mpi_mpich*"."""
    return re.search(rf"\b{mpi}\b|[=*\s](?:nompi|mpi)?_?{mpi}\w*\*", said) is not None


def _two_mpis(said: str) -> Conflict | None:
    if not _asks_for("openmpi", said) or not _asks_for("mpich", said):
        return None
    pinned = (
        "Look at the pinned packages first (conda-meta/pinned in the environment, `conda config "
        "--show pinned_packages`): one of them asks for an MPI. "
        if re.search(r"\bpin(?:s|ned)?\b", said, re.IGNORECASE)
        else ""
    )
    return Conflict(
        "Open MPI and MPICH are both requested, but an environment can have only one MPI.",
        f"{pinned}Request the same one everywhere: "
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
    if _OURS not in said:
        return None
    limits, other = _demanded(said, "libtorch")
    if not limits:
        wanted = re.findall(rf"\blibtorch ({_LIMITS})", said)
        if not wanted or other is not None:
            return None
        limits = _plain(wanted[0])
    return Conflict(
        f"This torchml-driver was built with libtorch {limits}. The channels lack it, or "
        "another one is requested or installed.",
        f"Install that torch: `{_INSTALL_OURS} torchml-driver {_spec('libtorch', limits)}`, or "
        "keep your torch and build the driver with it: `torchml-install driver`.",
    )


def _other_kim(said: str) -> Conflict | None:
    limits, other = _demanded(said, "kim-api")
    if not limits or _OURS not in said:
        return _kim_of_another(other)
    if other is not None and other.by:
        return Conflict(
            f"This torchml-driver was built with kim-api {limits}, but {other.by} needs kim-api "
            f"{_plain(other.limits)}.",
            f"They cannot be in one environment. Leave out {other.by}, or make an environment with "
            f"it and build the driver there: `torchml-install driver`.",
        )
    return Conflict(
        f"This torchml-driver was built with kim-api {limits}, but another one is requested or "
        "installed.",
        f"Install that one: `{_INSTALL_OURS} torchml-driver {_spec('kim-api', limits)}`, or keep "
        "yours and build the driver with it: `torchml-install driver`.",
    )


def _kim_of_another(demand: _Demand | None) -> Conflict | None:
    """A package for another KIM-API than the environment's, which drivers were built with."""
    if demand is None or not demand.by:
        return None
    remedy = (
        "KIM's own command installs single models for any KIM-API: "
        "`kim-api-collections-management install user NAME`, with a name from openkim.org."
        if demand.by == "openkim-models"
        else f"Leave it out, or install {demand.by} into another environment."
    )
    return Conflict(
        f"{demand.by} needs kim-api {_plain(demand.limits)}. The channels lack it, or another one "
        "is requested or installed.",
        remedy,
    )


def _spec(name: str, limits: str) -> str:
    """A requirement in the syntax of conda's command line.

    >>> _spec("kim-api", "2.3.*"), _spec("libtorch", "* cpu*"), _spec("libtorch", "==2.13.0 cpu_0")
    ("'kim-api=2.3.*'", "'libtorch=*=cpu*'", "'libtorch==2.13.0'")
    """
    if limits.startswith("* "):
        return f"'{name}=*={limits[2:]}'"
    version = limits.partition(" ")[0]
    return f"'{name}{'' if version[0] in '<>=!~' else '='}{version}'"


def _missing(said: str) -> Conflict | None:
    """Packages that no channel has, or not in that version."""
    asked = rf"([A-Za-z][\w.-]*)((?: {_LIMITS})?)"
    patterns = (
        r"No candidates were found for ([\w.-]+)([^\n]*)",
        r"nothing provides (?:requested )?([A-Za-z][\w.-]*)((?: (?!needed by)[^\s]+)*)",
        rf"{asked}[^\n]* does not exist \(perhaps",
        rf"{asked}(?: \w+)*, for which no candidates were found",
    )
    found = [match for pattern in patterns for match in re.findall(pattern, said)]
    if listed := re.search(r"not available from current channels:\n((?:\s+- \S+[^\n]*\n?)+)", said):
        for name, words in re.findall(
            r"^\s+- (?:[\w-]+::)?([\w.-]+)(.*)$", listed[1], re.MULTILINE
        ):
            found.append((name, words.replace("[version=", "").strip("[]' ")))
    limits: dict[str, str] = {}
    for name, words in found:
        limits.setdefault(name.rstrip("."), words.strip().rstrip(".").removesuffix(" *"))
    if not limits:
        return None
    any_version = [name for name, words in limits.items() if words in ("", "*", "=*")]
    versions = [f"{name} {limits[name]}" for name in limits if name not in any_version]
    what = []
    if any_version:
        what.append(f"no package{'s' if len(any_version) > 1 else ''} {', '.join(any_version)}")
    if versions:
        what.append(f"no {' and no '.join(versions)}")
    message = f"The channels have {', and '.join(what)}."
    if ours := [name for name in any_version if name.startswith("torchml-")]:
        return Conflict(
            message,
            "Build it from recipes/ in the driver's repository with `python -m ci.conda_packages "
            "output`, then run "
            f"`conda install -c file://$PWD/output -c conda-forge {' '.join(ours)}`.",
        )
    return Conflict(message, " ".join(_advice(any_version, [*limits], bool(versions))))


def _advice(any_version: Sequence[str], names: Sequence[str], versions: bool) -> Iterator[str]:
    """What to do about missing packages, for each kind of them."""
    called = {name: need.conda[0] for need in NEEDS.values() for name in need.pip if need.conda}
    called |= {"torchml": "torchml-driver", "libtorch-dev": "libtorch"}
    here = {name for need in NEEDS.values() for name in need.conda} | {"libtorch", "mpich"}
    others = [name for name in names if called.get(name, name) != name]
    for name in others:
        yield f"conda-forge calls {name} {called[name]}."
    known = [called.get(name, name) for name in any_version]
    if known and all(name in here for name in known):
        yield f"conda-forge has {'it' if len(known) == 1 else 'them'}:"
        yield (
            f"`{_INSTALL} {' '.join(known)}`. If you name another channel, name conda-forge (or a "
            "mirror of it) as well."
        )
    unknown = [name for name in any_version if called.get(name, name) not in here]
    if versions or unknown:
        words = [*unknown, *(name for name in names if name not in any_version)]
        for name in words:
            channels = _SEARCH_OURS if name.startswith("torchml-") else _SEARCH
            yield f"`{channels} {name}` lists what the channels have."
    if versions:
        yield "Ask for one of these, or for any version."
    elif unknown:
        yield "Check the name, or name the channel that has it with -c."


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
