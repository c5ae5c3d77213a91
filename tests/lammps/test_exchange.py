"""Models on edges on several MPI ranks, which send each other features between the layers."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from tests.lammps.test_lammps_edges import FIXES, in_mode, mixture, rows_of
from tests.support import DriverEnvironment, install_kim_model
from tests.support.compiled_models import EXCHANGING, exchanging
from tests.support.edge_models import (
    CUTOFF,
    ELEMENTS,
    Directional,
    Exchanging,
    edge_parameters,
    on_a_periodic_graph,
)
from tests.support.lammps_runs import Lammps, Static, read_static, static_script, write_data
from tests.support.structures import rattled_crystal, slab, strained_triclinic_crystal
from tests.support.torch_models import torchscript

MODEL, SILENT, FORGETFUL, COMPILED = (
    "TorchML_exchanging",
    "TorchML_not_exchanging",
    "TorchML_exchanging_too_seldom",
    "TorchML_exchanging_compiled",
)


@pytest.fixture(scope="module", autouse=True)
def installed(
    driver_environment: DriverEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> Exchanging:
    model = Exchanging()
    for name, module in (
        (MODEL, model),
        (SILENT, Directional()),
        (FORGETFUL, Exchanging(forgets=2)),
    ):
        files = {"m.param": edge_parameters("m.pt").encode(), "m.pt": torchscript(module)}
        install_kim_model(driver_environment.folder, name, files, tmp_path_factory.mktemp("edges"))
    return model


@pytest.fixture(scope="module")
def compiled(
    driver_environment: DriverEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> Exchanging:
    parameters = edge_parameters("m.pt2", layers=EXCHANGING["layers"])
    files = {"m.param": parameters.encode(), "m.pt2": exchanging().read_bytes()}
    install_kim_model(driver_environment.folder, COMPILED, files, tmp_path_factory.mktemp("pt2"))
    return Exchanging(**EXCHANGING)


def liquid_like() -> Atoms:
    """Without symmetry, and with empty regions: some ranks of many get no atom."""
    atoms = bulk("Si", cubic=True) * (4, 2, 2)
    atoms.rattle(0.3, seed=11)
    del atoms[atoms.positions[:, 0] > 0.6 * atoms.cell[0, 0]]
    return atoms


def small_cell() -> Atoms:
    """Shorter than the cutoff: a rank sees many images of each atom."""
    atoms = bulk("Si")
    atoms.rattle(0.1, seed=2)
    return atoms


def perfect_crystal() -> Atoms:
    return bulk("Si", cubic=True) * (2, 2, 2)


def skewed_perfect_crystal() -> Atoms:
    return bulk("Si") * (4, 3, 3)


def static(
    lammps: Lammps, atoms: Atoms, ranks: int, settings: str = "", model: str = MODEL
) -> Static:
    write_data(lammps.folder / "data.test", atoms, "metal", ELEMENTS)
    script = static_script(atoms, model, "metal", ELEMENTS)
    script = script.replace("read_data", f"{settings}\nread_data")
    return read_static(lammps.run(script, ranks), lammps.folder / "dump.test")


def compare(model: Directional, atoms: Atoms, result: Static) -> None:
    expected = on_a_periodic_graph(model, atoms)
    assert result.energy == pytest.approx(expected.energy, abs=1e-10)
    np.testing.assert_allclose(result.forces, expected.forces, rtol=0, atol=1e-10)


MAKERS = [
    rattled_crystal,
    strained_triclinic_crystal,
    slab,
    liquid_like,
    small_cell,
    perfect_crystal,
    skewed_perfect_crystal,
]


@pytest.mark.parametrize("ranks", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("make", MAKERS)
def test_energy_and_forces_are_those_of_the_periodic_graph(
    lammps: Lammps, installed: Exchanging, make: Callable[[], Atoms], ranks: int
) -> None:
    atoms = mixture(make)
    compare(installed, atoms, static(in_mode(lammps, "exchange"), atoms, ranks))


@pytest.mark.parametrize(("mode", "ranks"), [("auto", 1), ("auto", 2), ("exchange", 3)])
@pytest.mark.parametrize("make", [strained_triclinic_crystal, liquid_like, small_cell])
def test_compiled_models_exchange(
    lammps: Lammps, compiled: Exchanging, make: Callable[[], Atoms], mode: str, ranks: int
) -> None:
    atoms = mixture(make)
    compare(compiled, atoms, static(in_mode(lammps, mode), atoms, ranks, model=COMPILED))
    script = dynamics(atoms, FIXES["nve"], 10, COMPILED)
    profiled = dataclasses.replace(lammps, env={**lammps.env, "KIM_MODEL_PROFILE": "1"})
    output = in_mode(profiled, mode).run(script, ranks)
    assert ("graph  folded" if ranks == 1 else "graph  exchanged") in output


@pytest.mark.parametrize(
    ("settings", "ranks"),
    [
        ("processors 1 1 7", 7),
        ("processors 4 1 1", 4),
        ("newton off", 2),
        ("comm_style tiled", 4),
        ("atom_modify sort 0 0.0", 3),
    ],
)
def test_however_lammps_divides_the_box(
    lammps: Lammps, installed: Exchanging, settings: str, ranks: int
) -> None:
    atoms = mixture(strained_triclinic_crystal)
    compare(installed, atoms, static(in_mode(lammps, "exchange"), atoms, ranks, settings))


def trajectory(
    lammps: Lammps, make: Callable[[], Atoms], fixes: str, ranks: int, steps: int
) -> np.ndarray:
    atoms = mixture(make)
    write_data(lammps.folder / "data.test", atoms, "metal", ELEMENTS)
    return rows_of(lammps.run(dynamics(atoms, fixes, steps), ranks))


def dynamics(atoms: Atoms, fixes: str, steps: int, model: str = MODEL) -> str:
    boundary = " ".join("p" if periodic else "f" for periodic in atoms.pbc)
    return f"""\
kim init {model} metal
boundary {boundary}
box tilt large
read_data data.test
mass * 28.0855
kim interactions {" ".join(ELEMENTS)}
velocity all create 900.0 4711 mom yes rot yes loop geom
{fixes}
timestep 0.0005
neighbor 0.6 bin
neigh_modify delay 0 every 1 check yes
thermo 10
thermo_style custom step pe etotal vol press
thermo_modify format float %.9f
run {steps}
"""


BALANCE = "comm_style tiled\nfix balance all balance 10 1.0 rcb"


@pytest.mark.parametrize(
    ("fix", "make", "steps"),
    [
        ("nve", rattled_crystal, 200),
        ("nve", perfect_crystal, 60),
        ("npt", strained_triclinic_crystal, 100),
        ("deform", strained_triclinic_crystal, 60),
        ("balance", liquid_like, 60),
    ],
)
def test_a_trajectory_is_the_same_in_all_modes(
    lammps: Lammps, fix: str, make: Callable[[], Atoms], steps: int
) -> None:
    """Atoms move from rank to rank, and boxes change size and shape."""
    fixes = FIXES.get(fix, f"{BALANCE}\nfix move all nve")
    runs = [("stage", 1), ("fold", 1), ("exchange", 2), ("exchange", 4), ("auto", 2)]
    if fix == "balance":  # it needs several ranks
        runs = [("stage", 2), ("exchange", 2), ("exchange", 4), ("auto", 4)]
    results = [trajectory(in_mode(lammps, mode), make, fixes, n, steps) for mode, n in runs]
    assert len(results[0]) == steps // 10 + 1
    for result in results[1:]:
        np.testing.assert_allclose(result, results[0], rtol=1e-7, atol=1e-5)


def test_particles_that_leave_are_missed_on_no_rank(lammps: Lammps) -> None:
    """Atoms are deleted during the run, and others created."""
    atoms = mixture(rattled_crystal)
    write_data(lammps.folder / "data.test", atoms, "metal", ELEMENTS)
    script = dynamics(atoms, FIXES["nve"], 20).replace("run 20", "run 10")
    script += "delete_atoms group gone\nrun 10\ncreate_atoms 1 single 3.1 2.9 3.3\nrun 10\n"
    script = script.replace("velocity", "group gone id 3 20 33\nvelocity")
    rows = [
        rows_of(in_mode(lammps, mode).run(script, ranks))
        for mode, ranks in (("stage", 1), ("exchange", 3))
    ]
    np.testing.assert_allclose(rows[1], rows[0], rtol=1e-7, atol=1e-5)


def failing(lammps: Lammps, mode: str, ranks: int, model: str, *words: str) -> str:
    """What KIM's log says."""
    atoms = mixture(rattled_crystal)
    write_data(lammps.folder / "data.test", atoms, "metal", ELEMENTS)
    script = static_script(atoms, model, "metal", ELEMENTS)
    with pytest.raises(AssertionError, match="TorchML"):
        in_mode(lammps, mode).run(script, ranks)
    return (lammps.folder / "kim.log").read_text()


def test_a_model_that_does_not_exchange_is_refused(lammps: Lammps) -> None:
    assert "call torch.ops.torchml.exchange(features) between its layers" in failing(
        lammps, "exchange", 2, SILENT
    )


@pytest.mark.parametrize("mode", ["exchange", "auto"])
def test_a_model_that_forgets_a_layer_is_refused(lammps: Lammps, mode: str) -> None:
    assert "call torch.ops.torchml.exchange between any two layers" in failing(
        lammps, mode, 2, FORGETFUL
    )


def test_a_model_that_does_not_exchange_is_staged_by_default(
    lammps: Lammps, installed: Exchanging
) -> None:
    atoms = mixture(rattled_crystal)
    compare(installed, atoms, static(in_mode(lammps, "auto"), atoms, 2, model=SILENT))


def start(lammps: Lammps, mode: str, ranks: int, *words: str) -> subprocess.Popen[str]:
    lmp, mpirun = shutil.which("lmp"), shutil.which("mpirun")
    assert lmp is not None
    assert mpirun is not None
    options = ("--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-np", str(ranks))
    return subprocess.Popen(
        [mpirun, *options, lmp, *words, "-in", "in.test"],
        env={**lammps.env, "KIM_MODEL_GHOSTS": mode},
        cwd=lammps.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.parametrize("mode", ["auto", "exchange"])
def test_partitions_do_not_wait_for_each_other(lammps: Lammps, mode: str) -> None:
    """Simulations of different lengths in one MPI world: computed apart, or refused."""
    atoms = mixture(rattled_crystal)
    write_data(lammps.folder / "data.test", atoms, "metal", ELEMENTS)
    script = dynamics(atoms, FIXES["nve"], 20).replace("run 20", "run ${n}")
    (lammps.folder / "in.test").write_text(f"variable n world 5 20\n{script}")
    with start(lammps, mode, 4, "-partition", "2", "2") as run:
        output, _ = run.communicate(timeout=100)
    if mode == "auto":
        assert run.returncode == 0, output
    else:
        assert run.returncode != 0
        assert "LAMMPS runs with partitions" in output


def test_nobody_waits_for_a_rank_that_dies(lammps: Lammps) -> None:
    atoms = mixture(rattled_crystal)
    write_data(lammps.folder / "data.test", atoms, "metal", ELEMENTS)
    (lammps.folder / "in.test").write_text(dynamics(atoms, FIXES["nve"], 1_000_000))
    with start(lammps, "exchange", 3) as run:
        assert run.stdout is not None
        for line in run.stdout:
            if line.split()[:1] == ["20"]:
                break
        children = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(run.pid)], capture_output=True, text=True, check=True
        ).stdout.split()
        os.kill(int(children[-1]), signal.SIGKILL)
        began = time.monotonic()
        run.communicate(timeout=60)
        assert run.returncode != 0
        assert time.monotonic() - began < 60


def test_the_halo_is_one_cutoff_wide(lammps: Lammps) -> None:
    atoms = mixture(rattled_crystal)
    write_data(lammps.folder / "data.test", atoms, "metal", ELEMENTS)
    script = static_script(atoms, MODEL, "metal", ELEMENTS)
    output = in_mode(lammps, "exchange").run(script, 2)
    assert f"ghost atom cutoff = {CUTOFF + 2.0:g}" in output  # the skin of metal units
