"""Models on edges in LAMMPS, with images folded onto their atoms and not."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from tests.support import DriverEnvironment, install_kim_model
from tests.support.edge_models import (
    ELEMENTS,
    Directional,
    edge_parameters,
    on_a_periodic_graph,
)
from tests.support.lammps_runs import Lammps, read_static, static_script, write_data
from tests.support.structures import rattled_crystal, slab, strained_triclinic_crystal
from tests.support.torch_models import torchscript

MODEL = "TorchML_edges_in_lammps"
#: bar in an eV/Å^3, with the constants that LAMMPS has for it.
BAR = 1.6021765e6


@pytest.fixture(scope="module", autouse=True)
def installed(
    driver_environment: DriverEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> Directional:
    model = Directional()
    files = {"m.param": edge_parameters("m.pt").encode(), "m.pt": torchscript(model)}
    install_kim_model(driver_environment.folder, MODEL, files, tmp_path_factory.mktemp("edges"))
    return model


def in_mode(lammps: Lammps, mode: str) -> Lammps:
    return dataclasses.replace(lammps, env={**lammps.env, "KIM_MODEL_GHOSTS": mode})


def perfect_crystal() -> Atoms:
    return bulk("Si", cubic=True) * (2, 2, 1)


def mixture(make: Callable[[], Atoms]) -> Atoms:
    atoms = make()
    if atoms.pbc.all():  # LAMMPS wants oblique cells turned its way
        standard, _ = atoms.cell.standard_form()
        atoms.set_cell(standard, scale_atoms=True)
    atoms.wrap()
    if make is not perfect_crystal:
        atoms.symbols = np.random.default_rng(1).choice(ELEMENTS, len(atoms))
    return atoms


@pytest.mark.parametrize(
    ("mode", "ranks"),
    [("auto", 1), ("auto", 2), ("fold", 1), ("stage", 1), ("stage", 2)],
)
@pytest.mark.parametrize("make", [rattled_crystal, strained_triclinic_crystal, slab])
def test_energy_forces_pressure_and_stresses_of_atoms_are_the_models(
    lammps: Lammps, installed: Directional, make: Callable[[], Atoms], mode: str, ranks: int
) -> None:
    """On two ranks the other one's particles are no images, and `auto` computes them, too."""
    atoms = mixture(make)
    write_data(lammps.folder / "data.test", atoms, "metal", ELEMENTS)
    script = static_script(atoms, MODEL, "metal", ELEMENTS)
    sums = " ".join(f"c_s[{k}]" for k in range(1, 7))
    printed = " ".join(f"$(c_all[{k}]:%.15g)" for k in range(1, 7))
    script = script.replace(
        "thermo_style custom step pe",
        "compute s all stress/atom NULL pair\n"
        f"compute all all reduce sum {sums}\n"
        f"dump s all custom 1 dump.stress id {sums}\n"
        "dump_modify s sort id format float %.17g\n"
        "thermo_style custom step c_all[1] pe",
    )
    output = in_mode(lammps, mode).run(f'{script}print "sums {printed}"\n', ranks)
    result = read_static(output, lammps.folder / "dump.test")
    expected = on_a_periodic_graph(installed, atoms)
    assert result.energy == pytest.approx(expected.energy, abs=1e-9)
    np.testing.assert_allclose(result.forces, expected.forces, rtol=0, atol=1e-8)
    # LAMMPS: xx yy zz xy xz yz, with the other sign.
    order = [0, 1, 2, 5, 4, 3]
    if atoms.pbc.all():  # the box of others is LAMMPS's
        pressure = -BAR * expected.virial[order] / atoms.get_volume()
        np.testing.assert_allclose(result.pressure, pressure, rtol=1e-6, atol=1e-3)
    text = (lammps.folder / "dump.stress").read_text().rpartition("ITEM: ATOMS")[2]
    rows = np.array([line.split() for line in text.splitlines()[1:]], dtype=float)
    virials = BAR * expected.particle_virials[:, order]
    scale = np.abs(virials).max()
    np.testing.assert_allclose(rows[:, 1:], virials, rtol=0, atol=1e-6 * scale)
    found = re.search(r"^sums (.+)$", output, re.MULTILINE)
    assert found is not None
    total = np.array(found[1].split(), dtype=float)
    np.testing.assert_allclose(total, BAR * expected.virial[order], rtol=0, atol=1e-6 * scale)


def rows_of(output: str) -> np.ndarray:
    rows = re.findall(r"^ *\d+((?: +-?\d+\.\d{9})+) *$", output, re.MULTILINE)
    return np.array([row.split() for row in rows], dtype=float)


def trajectory(
    lammps: Lammps,
    make: Callable[[], Atoms],
    fixes: str,
    steps: int,
    ranks: int = 1,
    timestep: float = 0.0005,
) -> np.ndarray:
    """Potential and total energy, volume and pressure, every ten steps."""
    atoms = mixture(make)
    write_data(lammps.folder / "data.test", atoms, "metal", ELEMENTS)
    boundary = " ".join("p" if periodic else "f" for periodic in atoms.pbc)
    return rows_of(
        lammps.run(
            f"""\
kim init {MODEL} metal
boundary {boundary}
box tilt large
read_data data.test
mass * 28.0855
kim interactions {" ".join(ELEMENTS)}
velocity all create 900.0 4711 mom yes rot yes loop geom
{fixes}
timestep {timestep}
neighbor 0.6 bin
neigh_modify delay 0 every 1 check yes
thermo 10
thermo_style custom step pe etotal vol press
thermo_modify format float %.9f
run {steps}
""",
            ranks,
        )
    )


FIXES = {
    "nve": "fix move all nve",
    "npt": "fix move all npt temp 900.0 900.0 0.05 tri 0.0 0.0 0.2",
    "deform": "fix move all nve\nfix box all deform 1 x scale 1.03 xy vel 1.0 remap v",
}


@pytest.mark.parametrize("fix", FIXES)
@pytest.mark.parametrize("make", [strained_triclinic_crystal, perfect_crystal])
def test_a_trajectory_is_the_same_in_all_modes(
    lammps: Lammps, make: Callable[[], Atoms], fix: str
) -> None:
    """Boxes change size and shape; a perfect crystal falls into disorder."""
    runs = [("stage", 1), ("auto", 1), ("auto", 2), ("fold", 1)]
    if fix != "nve" and make is perfect_crystal:
        make = _triclinic_box_of_a_perfect_crystal
    results = [
        trajectory(in_mode(lammps, mode), make, FIXES[fix], 60, ranks) for mode, ranks in runs
    ]
    assert len(results[0]) == 7
    for result in results[1:]:
        np.testing.assert_allclose(result, results[0], rtol=1e-7, atol=1e-5)


def _triclinic_box_of_a_perfect_crystal() -> Atoms:
    return bulk("Si") * (3, 3, 2)


@pytest.mark.parametrize("mode", ["auto", "fold", "stage"])
def test_no_energy_is_lost_in_two_hundred_steps(lammps: Lammps, mode: str) -> None:
    rows = trajectory(in_mode(lammps, mode), rattled_crystal, FIXES["nve"], 200)
    assert len(rows) == 21
    potential, total = rows.T[:2]
    assert np.abs(total - total[0]).max() < 0.01 * np.ptp(potential)


def test_fold_on_two_ranks_is_an_error_that_says_what_to_do(lammps: Lammps) -> None:
    atoms = mixture(rattled_crystal)
    write_data(lammps.folder / "data.test", atoms, "metal", ELEMENTS)
    script = static_script(atoms, MODEL, "metal", ELEMENTS)
    with pytest.raises(AssertionError, match="TorchML"):
        in_mode(lammps, "fold").run(script, 2)
    log = (lammps.folder / "kim.log").read_text()
    assert "KIM_MODEL_GHOSTS is fold" in log
    assert "Run the simulation on one rank" in log


def test_fold_asks_for_fewer_ghosts(lammps: Lammps) -> None:
    atoms = mixture(rattled_crystal)
    write_data(lammps.folder / "data.test", atoms, "metal", ELEMENTS)
    script = static_script(atoms, MODEL, "metal", ELEMENTS)
    counts = {}
    for mode in ("fold", "stage"):
        output = in_mode(lammps, mode).run(script)
        found = re.search(r"^Nghost: +(\S+) ave", output, re.MULTILINE)
        assert found is not None, output
        counts[mode] = float(found[1])
    assert counts["fold"] < 0.5 * counts["stage"]
