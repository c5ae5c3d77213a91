"""`model bench` measures what a simulation would take."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.support import ROOT, DriverEnvironment
from torchml_installer.errors import RunFailedError

pytestmark = pytest.mark.measures


def command(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "torchml_installer", "model", "bench", str(folder)]
    return subprocess.run(
        [*program, "--seconds", "0", *options],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )


def test_what_is_measured_is_the_structure_with_its_images(
    driver_environment: DriverEnvironment,
) -> None:
    from torchml_driver import Potential
    from torchml_driver.bench import crystal, spell_out

    potential = Potential(driver_environment.packed)
    structure = crystal(potential, 30)
    assert len(structure.species) == 32
    particles = spell_out(potential, structure)
    spelt_out = potential.compute_particles(
        particles.codes,
        particles.positions,
        particles.contributing,
        particles.n_neigh,
        particles.nlist,
    )
    periodic = potential.compute(structure.species, structure.positions, structure.cell, True)
    assert spelt_out.energy == pytest.approx(periodic.energy, rel=1e-12)
    assert spelt_out.forces is not None
    forces = np.zeros((32, 3))
    np.add.at(forces, particles.owner, spelt_out.forces)
    np.testing.assert_allclose(forces, periodic.forces, atol=1e-9)


def test_sizes_and_speeds_are_printed(driver_environment: DriverEnvironment) -> None:
    done = command(driver_environment.packed, "--atoms", "32", "--json")
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)
    (size,) = measured["sizes"]
    assert (measured["device"], size["atoms"]) == ("cpu", 32)
    assert size["particles"] > 32
    assert size["steps"] >= 10
    assert 0 < size["fastest"] <= size["milliseconds"] <= size["slowest"]


def test_a_structure_of_ones_own_is_measured(
    driver_environment: DriverEnvironment, tmp_path: Path
) -> None:
    from ase.build import bulk

    bulk("Si", cubic=True).write(tmp_path / "si.extxyz")
    done = command(driver_environment.packed, "--structure", str(tmp_path / "si.extxyz"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].split()[0] == "8"
    bulk("Al", cubic=True).write(tmp_path / "al.extxyz")
    done = command(driver_environment.packed, "--structure", str(tmp_path / "al.extxyz"))
    assert done.returncode == RunFailedError.exit_code
    assert "does not know Al" in done.stderr
