"""The driver in LAMMPS, on one rank and on several."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units

from tests.support import DRIVER, EXAMPLE, SANITIZER_SETTINGS, DriverEnvironment, install_kim_model
from tests.support.lammps_runs import Lammps, Static, static_script, write_data
from tests.support.structures import (
    ENERGY_TOLERANCE,
    EXAMPLE_MODEL,
    FORCE_TOLERANCE,
    REFERENCE_MODEL,
    cluster,
    isolated_atom,
    rattled_crystal,
    slab,
    strained_triclinic_crystal,
)
from tests.support.torch_models import Complains, parameter_text, torchscript

STRUCTURES = [rattled_crystal, strained_triclinic_crystal, slab, cluster, isolated_atom]


@pytest.mark.parametrize("ranks", [1, 2, 3])
@pytest.mark.parametrize("make", STRUCTURES)
def test_energy_forces_and_pressure_equal_the_published_potential(
    make: Callable[[], Atoms],
    ranks: int,
    lammps: Lammps,
    published: Callable[[Callable[[], Atoms], str], Static],
) -> None:
    ours, theirs = lammps.static(make(), EXAMPLE_MODEL, ranks), published(make, REFERENCE_MODEL)
    assert ours.energy == pytest.approx(theirs.energy, abs=ENERGY_TOLERANCE)
    np.testing.assert_allclose(ours.forces, theirs.forces, rtol=0, atol=FORCE_TOLERANCE)
    np.testing.assert_allclose(ours.pressure, theirs.pressure, rtol=1e-10, atol=1e-6)  # bar


def total_energies(lammps: Lammps, model: str, ranks: int) -> np.ndarray:
    """eV, every 20 steps of 2,000 at constant energy, from 300 K and a rattled crystal."""
    write_data(lammps.folder / "data.test", rattled_crystal(), "metal")
    output = lammps.run(
        f"""\
kim init {model} metal
read_data data.test
mass 1 28.0855
kim interactions Si
velocity all create 300.0 4711 mom yes rot yes loop geom
fix move all nve
timestep 0.001
thermo 20
thermo_style custom step etotal
thermo_modify format float %.12f
run 2000
""",
        ranks,
    )
    found = re.findall(r"^ *\d+ +(-\d+\.\d{12}) *$", output, re.MULTILINE)
    return np.array(found, dtype=float)


@pytest.mark.parametrize("ranks", [1, 2])
def test_energy_is_conserved_over_two_thousand_steps(ranks: int, lammps: Lammps) -> None:
    """As well as with the published potential; the rest is the integrator's error."""
    ours = total_energies(lammps, EXAMPLE_MODEL, ranks)
    theirs = total_energies(lammps, REFERENCE_MODEL, ranks)
    assert len(ours) == len(theirs) == 101
    fluctuation = np.abs(theirs - theirs[0]).max()
    assert np.abs(ours - ours[0]).max() <= 1.1 * fluctuation + 1e-9
    drift, expected = (abs(e[-20:].mean() - e[:20].mean()) for e in (ours, theirs))
    assert drift <= 1.1 * expected + 1e-6 * 64  # a microelectronvolt per atom


# LAMMPS's units in ASE's: energy in eV, length in Å.
UNIT_SYSTEMS = {
    "real": (units.kcal / units.mol, 1.0),
    "electron": (units.Hartree, units.Bohr),
    "si": (units.J, 1e10),
    "cgs": (1e-7 * units.J, 1e8),
}


@pytest.mark.parametrize("system", UNIT_SYSTEMS)
def test_every_unit_system_gives_the_same_physics(
    system: str,
    lammps: Lammps,
    published: Callable[[Callable[[], Atoms], str], Static],
) -> None:
    """Compared with the published potential in metal units, since it ignores kcal/mol."""
    energy, length = UNIT_SYSTEMS[system]
    ours = lammps.static(rattled_crystal(), EXAMPLE_MODEL, units=system)
    theirs = published(rattled_crystal, REFERENCE_MODEL)
    # The physical constants are from different years.
    assert ours.energy * energy == pytest.approx(theirs.energy, rel=1e-6)
    np.testing.assert_allclose(ours.forces * energy / length, theirs.forces, rtol=1e-6, atol=1e-6)


def test_real_units_are_metal_units_times_the_known_factor(
    lammps: Lammps, published: Callable[[Callable[[], Atoms], str], Static]
) -> None:
    ours = lammps.static(rattled_crystal(), EXAMPLE_MODEL, units="real")
    theirs = published(rattled_crystal, REFERENCE_MODEL)
    assert ours.energy == pytest.approx(23.0605 * theirs.energy, rel=3e-6)
    np.testing.assert_allclose(ours.forces, 23.0605 * theirs.forces, rtol=3e-6, atol=1e-6)
    atmosphere_per_bar = 1 / 1.01325
    np.testing.assert_allclose(ours.pressure, theirs.pressure * atmosphere_per_bar, rtol=1e-5)


def test_nothing_has_to_be_set_in_the_environment(
    driver_environment: DriverEnvironment, lammps: Lammps, tmp_path: Path
) -> None:
    """Without any variable, in a folder with an awkward name that holds driver and model."""
    folder = tmp_path / 'it\'s a "folder" with spaces'
    for item in (DRIVER, EXAMPLE_MODEL):
        shutil.copytree(driver_environment.folder / item, folder / item)
    write_data(folder / "data.test", rattled_crystal(), "metal")
    script = static_script(rattled_crystal(), EXAMPLE_MODEL, "metal")
    # For Open MPI, which looks for ssh on PATH unless it is limited to this machine.
    nothing = {"OMPI_MCA_plm": "isolated", **SANITIZER_SETTINGS}
    output = lammps.run(script, ranks=0, env=nothing, cwd=folder)
    found = re.search(r"^energy (\S+)$", output, re.MULTILINE)
    assert found is not None
    assert float(found[1]) == pytest.approx(-261.3538177342696, abs=ENERGY_TOLERANCE)


def test_the_example_input_prints_the_documented_result(lammps: Lammps) -> None:
    shutil.copy(EXAMPLE / "silicon.data", lammps.folder)
    output = lammps.run((EXAMPLE / "in.silicon").read_text(), ranks=0)
    found = re.search(r"^torchml-result energy (\S+) fmax (\S+)$", output, re.MULTILINE)
    assert found is not None
    assert float(found[1]) == pytest.approx(-261.3538177342696, abs=ENERGY_TOLERANCE)
    assert float(found[2]) == pytest.approx(5.903617675445, abs=FORCE_TOLERANCE)


def test_a_failing_model_ends_the_run_with_an_error_and_not_a_crash(
    lammps: Lammps, driver_environment: DriverEnvironment, tmp_path: Path
) -> None:
    name = "TorchML_complains__MO_000000000000_000"
    files = {
        "model.param": parameter_text("model.pt").encode(),
        "model.pt": torchscript(Complains()),
    }
    install_kim_model(driver_environment.folder, name, files, tmp_path / "source")
    write_data(lammps.folder / "data.test", rattled_crystal(), "metal")
    script = static_script(rattled_crystal(), name, "metal")
    with pytest.raises(AssertionError) as caught:
        lammps.run(script, ranks=0)
    printed = str(caught.value)
    assert "ended with 1" in printed  # LAMMPS's own error exit, not a signal
    assert "ERROR: KIM" in printed
    assert "this model never works" in (lammps.folder / "kim.log").read_text()
