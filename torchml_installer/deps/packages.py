"""Installs what is missing with package managers: a plan of commands, which a dry run prints."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torchml_installer.deps import conda_conflicts, pip, providers
from torchml_installer.deps.needs import NEEDS, Need
from torchml_installer.deps.providers import Provider
from torchml_installer.deps.record import DepsOptions
from torchml_installer.detect import Survey, survey
from torchml_installer.detect.record import version_tuple
from torchml_installer.errors import NoProviderError, PackageInstallError
from torchml_installer.support import console, offline
from torchml_installer.support.paths import cache_folder
from torchml_installer.support.process import run_logged
from torchml_installer.support.user_python import look_again

#: Programs come before the Python packages that compile with them.
_ORDER = ("conda", "apt", "pip")
#: Messages of apt if the mirror has newer packages than apt's lists.
_OLD_LISTS = re.compile(r"404 +Not Found|Unable to fetch some archives")
#: Seconds to wait for another apt, and between two attempts.
_PATIENCE, _PAUSE = 600.0, 5.0
#: The index with torch's CPU builds.
CPU_INDEX = "https://download.pytorch.org/whl/cpu"


@dataclass(frozen=True)
class Step:
    """One command of one package manager, for the needs with these names."""

    provider: Provider
    needs: tuple[str, ...]
    command: tuple[str, ...]

    def before(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """Yields (command, purpose), each determined after the previous one has run."""
        if self.provider.repair and providers.dpkg_was_interrupted():
            yield self.provider.repair, "finishing an interrupted installation"
        if self.provider.refresh and not _would_work(self):
            yield self.provider.refresh, "updating the package lists"

    def run(self, title: str, execute: Callable[[Sequence[str], str], None]) -> None:
        """Runs the commands of ``before``, then the command. execute: runs one, with a title.

        Waits for another apt, and updates apt's lists if they are out of date. Raises what
        ``execute`` raises.
        """
        for command, what in self.before():
            _patiently(execute, command, what)
        try:
            _patiently(execute, self.command, title)
        except PackageInstallError as error:
            if not self.provider.refresh or not _OLD_LISTS.search(error.message):
                raise
            _patiently(execute, self.provider.refresh, "updating the package lists")
            _patiently(execute, self.command, title)

    def as_json(self, *, planned: bool) -> dict[str, Any]:
        return {
            "provider": self.provider.name,
            "needs": list(self.needs),
            "before": [list(command) for command, _ in self.before()] if planned else [],
            "command": list(self.command),
        }


def missing(words: Sequence[str], facts: Survey, options: DepsOptions | None = None) -> list[Need]:
    """The unmet needs among those named, or among the driver's.

    options: in a conda environment, the system's own copies do not count; with ``force``, nothing
    that is named does.
    Raises the problem of something unusable that the user named: another one would not be used.
    """
    options = options or DepsOptions(provider="")
    wanted = [NEEDS[word] for word in words] if words else NEEDS.values()
    again = words and options.force and providers.conda_prefix(options.provider) is not None
    found = [
        need
        for need in wanted
        if (words or need.by_default) and (again or not _is_met(need, facts, options))
    ]
    for need in found:
        finding = facts.get(need.name)
        if finding.named and finding.problem is not None:
            raise finding.problem
    return found


#: Libraries and simulators that work together only if all come from one conda environment.
_TOGETHER = ("torch", "kim-api", "mpi", "lammps", "openkim-models")


def _is_met(need: Need, facts: Survey, options: DepsOptions) -> bool:
    """Whether something usable was found, and for a conda environment, not one of the system's
    packages: conda's LAMMPS does not run with Debian's KIM-API."""
    finding = facts.get(need.name)
    prefix = providers.conda_prefix(options.provider)
    if not need.is_met(facts) or prefix is None or need.name not in _TOGETHER or finding.named:
        return need.is_met(facts)
    where = finding.where
    return where is None or where.is_relative_to(prefix) or not where.is_relative_to("/usr")


def plan(needs: Sequence[Need], options: DepsOptions) -> list[Step]:
    """The commands that install these, in order. Raises NoProviderError."""
    if not needs:
        return []
    known = {"conda": providers.conda(), "apt": providers.apt(), "pip": providers.pip()}
    order = _preferred(options.provider)
    chosen: dict[str, list[Need]] = {}
    nobody: list[Need] = []
    for need in needs:
        candidates = [known[name] for name in order if need.packages(name)]
        if options.provider != "auto":  # pip is only for what the chosen one has no package for
            candidates = candidates[:1]
        usable = [provider for provider in candidates if not provider.obstacle]
        if usable:
            chosen.setdefault(usable[0].name, []).append(need)
        elif candidates:
            nobody.append(need)
        else:
            raise _no_package(need, options.provider)
    if nobody:
        raise _no_provider(nobody, [known[name] for name in order])
    steps = []
    for name in _ORDER:
        group = chosen.get(name, [])
        if name == "pip" and options.torch_index is not None:
            own = [need for need in group if need.name == "torch"]
            steps += _steps(known[name], own, "--index-url", options.torch_index)
            group = [need for need in group if need not in own]
        steps += _steps(known[name], group, *_kept(name, group))
    return steps


def _kept(provider: str, needs: Sequence[Need]) -> list[str]:
    """What to name beside the packages, so that conda does not replace it."""
    prefix = os.environ.get("CONDA_PREFIX")
    if provider != "conda" or not prefix or os.environ.get("PIXI_PROJECT_MANIFEST"):
        return []  # a pixi project has its own list of what was asked for
    asked = [package for need in needs for package in _packages(need, provider)]
    specifications = providers.kept(Path(prefix))
    return [text for name, text in specifications.items() if name not in asked]


def _packages(need: Need, provider: str) -> tuple[str, ...]:
    """A need's packages; for MPI in a conda environment, of the MPI that is there."""
    prefix = os.environ.get("CONDA_PREFIX")
    if need.name == "mpi" and provider == "conda" and prefix:
        there = providers.installed_by_conda(Path(prefix))
        if "mpich" in there and "openmpi" not in there:
            return ("mpich",)
    return need.packages(provider)


def hints(steps: Sequence[Step], options: DepsOptions, facts: Survey) -> list[str]:
    """Advice to give before running these commands."""
    found = []
    torch = any(step.provider.name == "pip" and "torch" in step.needs for step in steps)
    no_gpu = facts.get("nvidia-driver").where is None
    if torch and options.torch_index is None and no_gpu:
        found.append(
            "This machine has no NVIDIA driver, but torch from PyPI usually includes some "
            "gigabytes of NVIDIA's libraries. To install torch without them, add --torch-index "
            f"{CPU_INDEX}"
        )
    kim = facts.get("kim-api")
    models = any(step.provider.name == "conda" and "openkim-models" in step.needs for step in steps)
    if models and kim.usable and version_tuple(kim.version) >= (2, 4):
        found.append(
            f"conda-forge's openkim-models was built for KIM-API 2.3: beside {kim.version}, conda "
            "will refuse it unless there is a newer build. KIM's own command installs single "
            "models: `kim-api-collections-management install user NAME`, with a name from "
            "openkim.org"
        )
    return found


def install(needs: Sequence[Need], steps: Sequence[Step], options: DepsOptions) -> list[Step]:
    """Runs the commands, and checks that they installed what was missing.

    Returns the commands that ran: another run of this program, which this one waited for, may have
    done the rest. Raises PackageInstallError, DiskFullError, and the problem of what is still
    unusable.
    """
    if not steps:
        pip.claim_interrupted()
        return []
    log = cache_folder() / "logs" / "deps-packages.log"
    # For pip; apt and conda have their own locks.
    with pip.locked() as held:
        if held.waited:
            facts = _survey_anew(options)
            needs = [need for need in needs if not _is_met(need, facts, options)]
            steps = plan(needs, options)
        log.unlink(missing_ok=True)
        for step in steps:
            _run(step, log, held.number, options)
    pip.claim_interrupted()  # of the run that this one waited for, if it was killed
    facts = _survey_anew(options)
    for need in needs:
        finding = facts.get(need.name)
        if finding.problem is not None:
            raise finding.problem
        if not finding.usable:
            raise PackageInstallError(
                f"{need.title} was installed, but cannot be found.",
                f"See where it is searched for with `torchml-install doctor --places`; log: {log}",
            )
    return list(steps)


def _run(step: Step, log: Path, lock: int, options: DepsOptions) -> None:
    provider = step.provider
    packages = [name for need in step.needs for name in NEEDS[need].packages(provider.name)]

    def run(command: Sequence[str], title: str) -> None:
        record = pip.recorded(packages) if provider.name == "pip" else contextlib.nullcontext()
        try:
            with record:
                run_logged(
                    command,
                    title=f"{provider.name}: {title}",
                    log=log,
                    environment=pip.environment() if provider.name == "pip" else None,
                    verbose=options.verbose,
                    failure=PackageInstallError,
                    # It keeps the lock if this process is killed, so the next run waits for it.
                    keep_open=(lock,) if provider.name == "pip" else (),
                )
        except PackageInstallError as error:
            said = log.read_text(encoding="utf-8", errors="replace")
            if provider.name == "conda" and (conflict := conda_conflicts.refusal(said)):
                error.message += f"\n{conflict.message}"
                error.remedy = conflict.remedy
                raise
            offline.explain(error, provider.name, packages)
            if "torch" in packages:
                error.remedy += " Instead of torch, a libtorch archive is enough: --libtorch FILE."
            raise

    titles = ", ".join(NEEDS[name].title for name in step.needs)
    step.run(f"installing {titles}", run)
    if provider.name == "pip":
        pip.require_installed(packages)


def _patiently(
    execute: Callable[[Sequence[str], str], None], command: Sequence[str], title: str
) -> None:
    """Retries while another apt is running: not every command of apt waits for it."""
    latest = time.monotonic() + _PATIENCE
    while True:
        try:
            return execute(command, title)
        except PackageInstallError as error:
            if "Could not get lock" not in error.message or time.monotonic() > latest:
                raise
        console.note("waiting for another apt to finish")
        time.sleep(_PAUSE)


def _survey_anew(options: DepsOptions) -> Survey:
    look_again()
    return survey(options.places)


def _preferred(word: str) -> tuple[str, ...]:
    if word != "auto":
        # Some things exist only as Python packages.
        return tuple(dict.fromkeys((word, "pip")))
    if providers.python_is_condas():
        return ("conda", "pip")
    # pip needs no root, and its torch is newer than any system's.
    return ("pip", "apt", "conda")


def _steps(provider: Provider, needs: Sequence[Need], *more: str) -> list[Step]:
    if not needs:
        return []
    packages = [package for need in needs for package in _packages(need, provider.name)]
    command = (*provider.command([*more, *packages]),)
    return [Step(provider, tuple(need.name for need in needs), command)]


def _no_package(need: Need, word: str) -> NoProviderError:
    names = " and ".join(name for name in _ORDER if need.packages(name))
    return NoProviderError(
        f"{need.title} is missing, and {word} has no package for it.",
        f"There are packages for {names}: choose one with --provider.",
    )


def _no_provider(needs: Sequence[Need], asked: Sequence[Provider]) -> NoProviderError:
    """Lists everything that cannot be installed, so that an administrator needs one command."""
    titles = ", ".join(need.title for need in needs)
    candidates = [
        provider for provider in asked if any(need.packages(provider.name) for need in needs)
    ]
    reasons = "; ".join(f"{provider.name}: {provider.obstacle}" for provider in candidates)
    by_hand = ""
    for provider in candidates:
        if provider.by_hand:
            packages = [name for need in needs for name in need.packages(provider.name)]
            command = shlex.join([*provider.by_hand, *packages])
            by_hand = f"Ask an administrator to run `{command}`, then run this command again. "
    return NoProviderError(
        f"Missing: {titles}. No package manager can install "
        f"{'it' if len(needs) == 1 else 'them'}: {reasons}.",
        by_hand + "Without root, use a conda environment, where every dependency is a package: "
        "`conda create -n torchml -c conda-forge python`.",
    )


def _would_work(step: Step) -> bool:
    """Whether apt's present lists have all packages: updating them takes a while."""
    words = [*step.command, "--simulate"]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return done.returncode == 0
