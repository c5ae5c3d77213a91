"""Measures a portable model on MPI ranks: LAMMPS runs it, in a collection made for that.

What LAMMPS is given is a crystal as ``torchml_driver.structures`` makes it, as dense as the model's
cutoff suggests.
"""

from __future__ import annotations

import math
import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torchml_installer.building.plan import BuildPlan
from torchml_installer.detect import Places, lammps, mpi, toolchain
from torchml_installer.detect.record import Finding
from torchml_installer.errors import RunFailedError, TorchMLError
from torchml_installer.models import parameter_file
from torchml_installer.models.install import build_item, read_folder, require_tools
from torchml_installer.support.kim_items import Collection, Collections, ItemKind
from torchml_installer.support.paths import cache_folder
from torchml_installer.support.process import available_cores, run_logged

#: ms that a run shall take, after the steps that are not measured; and how many steps that may be.
_RUN, _WARM_UP, _LEAST, _MOST = 1500.0, 10, 10, 200
_ATOMS_PER_CELL = 4
#: More elements than these cost no other time.
_MOST_ELEMENTS = 3
_LOOP = re.compile(r"^Loop time of (\S+) on (\d+) procs for (\d+) steps with (\d+) atoms", re.M)
_INPUT = """\
kim             init {name} metal
boundary        p p p
lattice         fcc {side:.6f}
region          box block 0 {cells} 0 {cells} 0 {cells}
create_box      {kinds} box
create_atoms    1 box
{mixed}mass            * 20.0
displace_atoms  all random {move:.3f} {move:.3f} {move:.3f} 12345
kim             interactions {elements}
neighbor        1.0 bin
velocity        all create 300.0 12345 loop geom
fix             move all nve/limit 0.01
thermo          1000000
run             {warm_up}
run             {steps}
"""


def measure(folder: Path, atoms: int, milliseconds: float) -> dict[str, Any]:
    """The time of a step on 1, 2, 4, … ranks, up to one for each core, one thread each.

    atoms: about as many; milliseconds: what a step of so many takes, to choose the number of steps.
    Returns what ``torchml_driver.bench.by_threads`` returns, for ranks, and LAMMPS's version. No
    failure ends the measurement: ``reason`` says why there are no or fewer numbers.
    """
    program, launcher = lammps.detect(), mpi.detect()
    answer: dict[str, Any] = {"atoms": 0, "measured": [], "reason": "", "lammps": program.version}
    answer["reason"] = _obstacle(program, launcher)
    if answer["reason"]:
        return answer
    assert program.where is not None
    try:
        with tempfile.TemporaryDirectory(prefix="torchml-ranks-") as name:
            _run_all(answer, folder, Path(name), atoms, milliseconds, (program, launcher))
    except TorchMLError as error:
        answer["reason"] = error.message.splitlines()[0]
    return answer


def _obstacle(program: Finding, launcher: Finding) -> str:
    """Why LAMMPS cannot run on several ranks; "" if it can."""
    if program.where is None:
        return "LAMMPS was not found."
    if program.problem is not None:
        return program.problem.message
    if launcher.where is None:
        return "mpirun was not found."
    if not program.details.get("MPI"):
        return f"{program.where} was built without MPI."
    if lammps.compared(program, launcher).details.get("mpirun", "").startswith("of another"):
        return f"{launcher.where} belongs to another MPI than {program.where}."
    return ""


def _run_all(
    answer: dict[str, Any],
    folder: Path,
    work: Path,
    atoms: int,
    milliseconds: float,
    programs: tuple[Finding, Finding],
) -> None:
    model = read_folder(folder)
    tools = toolchain(Places())
    require_tools(tools)
    assert tools.kim.collections_info is not None, "a usable KIM-API has it"
    collections = Collections(tools.kim.collections_info)
    if collections.find(ItemKind.DRIVER, model.driver) is None:
        raise RunFailedError(f"The driver {model.driver} is not installed for KIM.")
    item = work / "collection"
    item.mkdir()
    build_item(model, BuildPlan(tools, Places(), collection=Collection.USER, verbose=False), item)
    (parameters,) = (file for file in model.files if file.suffix == ".param")
    steps = max(_LEAST, min(_MOST, round(_RUN / max(milliseconds, 1e-3))))
    (work / "in.ranks").write_text(script(model.name, parameters, atoms, steps), encoding="utf-8")
    variable = "KIM_API_PORTABLE_MODELS_DIR"
    others = os.environ.get(variable, "")
    environment = {
        variable: os.pathsep.join([str(item), *([others] if others else [])]),
        **{"KIM_MODEL_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
    }
    if os.geteuid() == 0:  # Open MPI refuses to run as root without; others do not know these
        environment |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    for ranks in _counts(available_cores()):
        seconds, measured_atoms = _run(programs, work, environment, ranks)
        answer["atoms"] = measured_atoms
        answer["measured"].append({"ranks": ranks, "milliseconds": 1e3 * seconds / steps})


def _run(
    programs: tuple[Finding, Finding], work: Path, environment: dict[str, str], ranks: int
) -> tuple[float, int]:
    """Seconds of the measured steps, and the number of atoms."""
    program, launcher = programs
    command: Sequence[str | Path] = (
        *(str(launcher.where), "-np", str(ranks)),
        *(str(program.where), "-in", "in.ranks", "-log", "none"),
    )
    output = run_logged(
        command,
        title=f"running LAMMPS on {ranks} {'rank' if ranks == 1 else 'ranks'}",
        log=cache_folder() / "logs" / "bench.log",
        cwd=work,
        environment=environment,
        failure=RunFailedError,
    )
    loops = _LOOP.findall(output)
    if not loops or int(loops[-1][1]) != ranks:
        raise RunFailedError(f"LAMMPS did not run on {ranks} ranks.")
    return float(loops[-1][0]), int(loops[-1][3])


def script(name: str, file: Path, atoms: int, steps: int) -> str:
    """LAMMPS's input for a crystal of the model's elements; file: its parameters."""
    parameters = parameter_file.read(file)
    elements = parameters.elements[:_MOST_ELEMENTS]
    distance = min(max(0.62 * parameters.cutoff, 1.6), 3.0)
    mixed = "".join(
        f"set             type 1 type/fraction {kind} {1 / kind:.4f} {kind}\n"
        for kind in range(len(elements), 1, -1)
    )
    return _INPUT.format(
        name=name,
        side=math.sqrt(2.0) * distance,
        cells=max(1, round((atoms / _ATOMS_PER_CELL) ** (1 / 3))),
        kinds=len(elements),
        mixed=mixed,
        move=0.05 * distance,
        elements=" ".join(elements),
        warm_up=_WARM_UP,
        steps=steps,
    )


def _counts(most: int) -> list[int]:
    return sorted({2**power for power in range(most.bit_length())} | {most})
