"""`model bench --html` on MPI ranks: what LAMMPS is given, and why nothing is measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from torchml_installer.detect import lammps, mpi
from torchml_installer.detect.record import Finding
from torchml_installer.models import ranks

PARAMETERS = "3\nSi C O\n\nNone\n4.0\nmodel.pt\nFalse\n5\nNone\n"
LMP = Finding("lammps", "LAMMPS", where=Path("/bin/lmp"), details={"MPI": "Open MPI"})
MPIRUN = Finding("mpi", "MPI", where=Path("/bin/mpirun"), version="Open MPI 4.1")


def test_lammps_gets_a_crystal_of_the_model_s_elements(tmp_path: Path) -> None:
    file = tmp_path / "model.param"
    file.write_text(PARAMETERS)
    lines = ranks.script("My_Model", file, 500, 20).splitlines()
    words = [line.split() for line in lines]
    assert ["kim", "init", "My_Model", "metal"] in words
    assert ["kim", "interactions", "Si", "C", "O"] in words
    assert ["region", "box", "block", *("0", "5") * 3] in words
    assert ["create_box", "3", "box"] in words
    # A third of all, then half of what is left.
    fractions = [line[4:6] for line in words if line[0] == "set"]
    assert fractions == [["3", "0.3333"], ["2", "0.5000"]]
    assert lines[-1].split() == ["run", "20"]


@pytest.mark.parametrize(
    ("program", "launcher", "reason"),
    [
        (Finding("lammps", "LAMMPS"), MPIRUN, "LAMMPS was not found."),
        (LMP, Finding("mpi", "MPI"), "mpirun was not found."),
        (Finding("lammps", "", where=Path("/bin/lmp")), MPIRUN, "/bin/lmp was built without MPI."),
        (
            *(LMP, Finding("mpi", "MPI", where=Path("/bin/mpirun"), version="MPICH 4.0")),
            "/bin/mpirun belongs to another MPI than /bin/lmp.",
        ),
    ],
)
def test_where_ranks_cannot_be_measured_the_reason_is_given(
    program: Finding, launcher: Finding, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lammps, "detect", lambda: program)
    monkeypatch.setattr(mpi, "detect", lambda: launcher)
    measured = ranks.measure(Path("My_Model"), 500, 1.0)
    assert (measured["measured"], measured["reason"]) == ([], reason)


def test_counts_end_with_all_cores() -> None:
    assert [ranks._counts(most) for most in (1, 2, 6, 8)] == [
        *([1], [1, 2], [1, 2, 4, 6], [1, 2, 4, 8])
    ]
