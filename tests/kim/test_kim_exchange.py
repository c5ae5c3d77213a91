"""Features exchanged between the ranks of any MPI program, with any MPI, and what happens if one of
them fails."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from tests.support import DriverEnvironment, install_kim_model, run
from tests.support.edge_models import (
    CUTOFF,
    ELEMENTS,
    Exchanging,
    edge_parameters,
    on_a_periodic_graph,
)
from tests.support.handed_over import hand_over
from tests.support.structures import strained_triclinic_crystal
from tests.support.torch_models import torchscript

MODEL = "TorchML_exchanging_by_hand"
OPEN_MPI = ("mpirun", "--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-np")

# Each rank reads its part of a system from a file, computes it twice and writes its energy and the
# forces on its particles, ghosts included, to another one. "late": the last rank takes its time;
# "broken": there are nan among its coordinates at the second computation; "alone": it does not
# compute at all.
PROGRAM = """\
#include <mpi.h>
#include <unistd.h>

#include <KIM_SimulatorHeaders.hpp>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

struct System {
    int n;
    std::vector<int> species, contributing, starts, neighbours;
    std::vector<double> x, forces;
};

int list_of(void* const object, int const, double const* const, int const, int const particle,
            int* const count, int const** const first) {
    const auto& system = *static_cast<System*>(object);
    *count = system.starts[particle + 1] - system.starts[particle];
    *first = system.neighbours.data() + system.starts[particle];
    return 0;
}

int main(int n_words, char** words) {
    MPI_Init(&n_words, &words);
    int rank = 0, size = 0, accepted = 0;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    const std::string what = n_words > 2 ? words[2] : "";
    std::ifstream file("system." + std::to_string(rank));
    System system;
    int n_neighbours = 0;
    file >> system.n >> n_neighbours;
    const auto read = [&](auto& values, int count) {
        values.reserve(count + 1);  // KIM takes no null pointers
        values.resize(count);
        for (auto& value : values) file >> value;
    };
    read(system.species, system.n);
    read(system.contributing, system.n);
    read(system.x, 3 * system.n);
    read(system.starts, system.n + 1);
    read(system.neighbours, n_neighbours);
    system.forces.reserve(1);
    system.forces.resize(3 * system.n);
    KIM::Model* model = nullptr;
    KIM::ComputeArguments* arguments = nullptr;
    double energy = 0.0;
    using namespace KIM::COMPUTE_ARGUMENT_NAME;
    if (KIM::Model::Create(KIM::NUMBERING::zeroBased, KIM::LENGTH_UNIT::A, KIM::ENERGY_UNIT::eV,
                           KIM::CHARGE_UNIT::e, KIM::TEMPERATURE_UNIT::K, KIM::TIME_UNIT::ps,
                           words[1], &accepted, &model) ||
        model->ComputeArgumentsCreate(&arguments) ||
        arguments->SetArgumentPointer(numberOfParticles, &system.n) ||
        arguments->SetArgumentPointer(particleSpeciesCodes, system.species.data()) ||
        arguments->SetArgumentPointer(particleContributing, system.contributing.data()) ||
        arguments->SetArgumentPointer(coordinates, system.x.data()) ||
        arguments->SetArgumentPointer(partialEnergy, &energy) ||
        arguments->SetArgumentPointer(partialForces, system.forces.data()) ||
        arguments->SetCallbackPointer(KIM::COMPUTE_CALLBACK_NAME::GetNeighborList,
                                      KIM::LANGUAGE_NAME::cpp,
                                      reinterpret_cast<KIM::Function*>(&list_of), &system)) {
        return 2;
    }
    const bool last = rank == size - 1;
    int failed = 0;
    if (!(last && what == "alone")) {
        if (last && what == "late") sleep(3);
        failed = model->Compute(arguments);
        if (last && what == "broken") system.x[0] = std::nan("");
        failed += model->Compute(arguments);
    }
    std::FILE* result = std::fopen(("result." + std::to_string(rank)).c_str(), "w");
    std::fprintf(result, "%d %.17g", failed, energy);
    for (const double force : system.forces) std::fprintf(result, " %.17g", force);
    std::fclose(result);
    MPI_Finalize();
    return 0;
}
"""


@pytest.fixture(scope="module", autouse=True)
def installed(
    driver_environment: DriverEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> Exchanging:
    model = Exchanging()
    files = {"m.param": edge_parameters("m.pt").encode(), "m.pt": torchscript(model)}
    install_kim_model(driver_environment.folder, MODEL, files, tmp_path_factory.mktemp("edges"))
    return model


def built(folder: Path, compiler: str) -> Path:
    assert shutil.which(compiler) is not None, f"ci/provision.py --for test-all installs {compiler}"
    source, program = folder / "exchange.cpp", folder / "exchange"
    source.write_text(PROGRAM)
    kim = shlex.split(run(["pkg-config", "--cflags", "--libs", "libkim-api"]))
    run([compiler, "-std=c++17", "-o", program, source, *kim])
    return program


def write_parts(folder: Path, atoms: Atoms, owner: np.ndarray) -> list[np.ndarray]:
    """Each rank's atoms, and as ghosts all others and their images within the lists' distance of
    them. owner: the rank of each atom. Returns the atom that each particle of each rank is."""
    listed = CUTOFF + 0.5
    whole = hand_over(atoms, 2.0 * listed, listed)
    codes = np.array([ELEMENTS.index(name) for name in atoms.symbols])
    of_atoms = []
    for rank in range(int(owner.max()) + 1):
        mine = (whole.contributing == 1) & (owner[whole.owner] == rank)
        places = whole.coordinates[mine]
        apart = np.linalg.norm(whole.coordinates[:, None] - places[None], axis=2)
        kept = np.flatnonzero(mine | (apart.min(axis=1, initial=np.inf) < listed))
        kept = np.concatenate([kept[mine[kept]], kept[~mine[kept]]])
        x = whole.coordinates[kept]
        distances = np.linalg.norm(x[:, None] - x[None], axis=2)
        rows = [
            np.flatnonzero((distances[k] < listed) & (np.arange(len(x)) != k))
            if mine[kept[k]]
            else np.empty(0, int)
            for k in range(len(x))
        ]
        values = [
            [len(kept), sum(map(len, rows))],
            codes[whole.owner[kept]],
            mine[kept].astype(int),
            x.ravel(),
            np.cumsum([0, *map(len, rows)]),
            np.concatenate(rows) if rows else [],
        ]
        text = "\n".join(
            " ".join(repr(value) for value in np.array(row).tolist()) for row in values
        )
        (folder / f"system.{rank}").write_text(f"{text}\n")
        of_atoms.append(whole.owner[kept])
    return of_atoms


def start(
    program: Path, mpirun: Sequence[str], environment: DriverEnvironment, what: str, ranks: int
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*mpirun, str(ranks), program, MODEL, what],
        env={
            **environment.env,
            "KIM_MODEL_GHOSTS": "exchange",
            "KIM_MODEL_ON_ERROR": "return",
            "OMP_NUM_THREADS": "1",
        },
        cwd=program.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )


def results(folder: Path, rank: int) -> list[float]:
    return [float(number) for number in (folder / f"result.{rank}").read_text().split()]


@pytest.mark.parametrize(
    ("compiler", "mpirun"),
    [
        ("mpicxx", OPEN_MPI),
        pytest.param("mpicxx.mpich", ("mpirun.mpich", "-np"), marks=pytest.mark.slow),
    ],
    ids=["Open MPI", "MPICH"],
)
def test_ranks_of_any_program_exchange_features(
    compiler: str,
    mpirun: Sequence[str],
    driver_environment: DriverEnvironment,
    installed: Exchanging,
    tmp_path: Path,
) -> None:
    """Atoms are dealt out to ranks regardless of where they are; one rank has none."""
    atoms = strained_triclinic_crystal()
    atoms.symbols = np.random.default_rng(1).choice(ELEMENTS, len(atoms))
    owner = np.random.default_rng(5).choice([0, 1, 3], len(atoms))
    of_atoms = write_parts(tmp_path, atoms, owner)
    program = built(tmp_path, compiler)
    expected = on_a_periodic_graph(installed, atoms)
    for what in ("", "late"):
        done = start(program, mpirun, driver_environment, what, 4)
        assert done.returncode == 0, done.stderr
        energy, forces = 0.0, np.zeros((len(atoms), 3))
        for rank in range(4):
            failed, value, *numbers = results(tmp_path, rank)
            assert failed == 0
            energy += value
            np.add.at(forces, of_atoms[rank], np.reshape(numbers, (-1, 3)))
        assert energy == pytest.approx(expected.energy, abs=1e-10)
        np.testing.assert_allclose(forces, expected.forces, rtol=0, atol=1e-10)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("program")
    atoms = strained_triclinic_crystal()
    write_parts(folder, atoms, np.arange(len(atoms)) % 3)
    return built(folder, "mpicxx")


def test_if_a_rank_fails_the_others_fail_too_and_say_why(
    driver_environment: DriverEnvironment, program: Path
) -> None:
    """The program handles errors, so nothing ends the job; still nobody waits for ever."""
    (program.parent / "kim.log").unlink(missing_ok=True)
    done = start(program, OPEN_MPI, driver_environment, "broken", 3)
    assert done.returncode == 0, done.stderr
    assert [results(program.parent, rank)[0] for rank in range(3)] == [1, 1, 1]
    log = (program.parent / "kim.log").read_text()
    assert log.count("another MPI rank has failed") == 2
    assert "is not a position" in log


@pytest.mark.slow  # a minute of patience
def test_a_rank_that_does_not_compute_is_missed(
    driver_environment: DriverEnvironment, program: Path
) -> None:
    (program.parent / "kim.log").unlink(missing_ok=True)
    done = start(program, OPEN_MPI, driver_environment, "alone", 3)
    assert done.returncode == 0, done.stderr
    assert [results(program.parent, rank)[0] for rank in range(3)] == [2, 2, 0]
    log = (program.parent / "kim.log").read_text()
    assert "not all 3 ranks of the MPI job have started to compute" in log
