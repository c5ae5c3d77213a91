"""Two MPI families: LAMMPS was built with one, but is started or linked with another."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from torchml_installer.building.plan import BuildPlan
from torchml_installer.detect.mpi import compatible, launcher_family, wrapper_family
from torchml_installer.detect.programs import which_all
from torchml_installer.errors import KnownProblemError
from torchml_installer.remedies.remedy import Remedy, Repair, Symptom
from torchml_installer.support.process import quick_output

#: Debian installs several families side by side under such names.
_SUFFIXES = {"Open MPI": ".openmpi", "MPICH": ".mpich"}


class MixedMpi(Remedy):
    name = "mixed-mpi"

    def before_build(self, plan: BuildPlan) -> Symptom | None:
        if not plan.mpi and not plan.others:
            return None  # a driver that does not link MPI works with any
        lammps = plan.finding("lammps")
        family = lammps.details.get("MPI", "")
        if not family:
            return None
        if plan.mpi:
            return self._of_the_build(plan, family, lammps.where)
        mpi = plan.finding("mpi")
        launcher = launcher_family(mpi.version) or mpi.version.partition(" ")[0]
        if mpi.where is None or compatible(launcher, family):
            return None
        right = _launcher(family)
        advice = f"Start it with {right}." if right else f"Put {family}'s mpirun first on PATH."
        return Symptom(
            f"LAMMPS ({lammps.where}) was built with {family}, but {mpi.where} belongs to "
            f"{launcher}. Started with it, each process runs the whole simulation alone. {advice}"
        )

    def fix(self, plan: BuildPlan) -> Repair:
        family = plan.finding("lammps").details.get("MPI", "")
        wrapper = _wrapper(family, plan.finding("lammps").where)
        if wrapper is None:
            without = dataclasses.replace(plan, mpi=False)
            return Repair(
                "the driver takes ranks from the launcher's variables, and does not link MPI.",
                without,
            )
        taken = plan.with_variables({"MPI_CXX_COMPILER": str(wrapper)})
        return Repair(f"the build links the MPI of {wrapper}.", taken)

    def _of_the_build(self, plan: BuildPlan, family: str, lammps: Path | None) -> Symptom | None:
        chosen = plan.variables.get("MPI_CXX_COMPILER")
        program = Path(chosen) if chosen else next((path for path, _ in which_all("mpicxx")), None)
        if program is None:
            return None  # the driver's CMake code reports it
        other = wrapper_family(program)
        if compatible(other, family):
            return None
        message = (
            f"LAMMPS ({lammps}) was built with {family}, but {program} belongs to {other}. A "
            "driver linked with it would load a second MPI into LAMMPS, which would crash."
        )
        right = _wrapper(family, lammps)
        repair = f"link the MPI of {right}" if right else "build the driver without MPI"
        remedy = f"Put {family}'s mpicxx first on PATH, or build with --no-mpi."
        return Symptom(message, repair, error=KnownProblemError(message, remedy))


def _wrapper(family: str, lammps: Path | None) -> Path | None:
    """A compiler wrapper of that family, beside LAMMPS or on PATH."""
    beside = [lammps.resolve().with_name("mpicxx")] if lammps else []
    named = [path for path, _ in which_all("mpicxx" + _SUFFIXES.get(family, ""))]
    for program in (*beside, *named, *(path for path, _ in which_all("mpicxx"))):
        if program.is_file() and wrapper_family(program) == family:
            return program
    return None


def _launcher(family: str) -> Path | None:
    """An mpirun of that family on PATH."""
    for name in ("mpirun" + _SUFFIXES.get(family, ""), "mpirun"):
        for program, _how in which_all(name):
            text = quick_output([program, "--version"], timeout=3.0) or ""
            if launcher_family(text) == family:
                return program
    return None
