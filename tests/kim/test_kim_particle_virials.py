"""Particle virials, for models that define them: in simulators and in LAMMPS."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms, units

from tests.support import DriverEnvironment, install_kim_model
from tests.support.descriptor_cases import descriptor_file
from tests.support.descriptor_models import TanhNetwork, write_descriptor_model
from tests.support.graph_models import Messages, graph_parameters
from tests.support.kim_simulator import EVERYTHING, Particles, Simulator
from tests.support.lammps_runs import Lammps, static_script, write_data
from tests.support.structures import EXAMPLE_MODEL, rattled_crystal, strained_triclinic_crystal
from tests.support.torch_models import parameter_text, torchscript

pytestmark = pytest.mark.sanitize

CUTOFF = 5.0
PARTICLE_VIRIALS = (*EVERYTHING, "particle_virials")


def install(environment: DriverEnvironment, name: str, module: torch.nn.Module, work: Path) -> str:
    """A model on 15 symmetry functions; returns its name."""
    text = parameter_text(
        "model.pt", cutoff=CUTOFF, preprocessing="Descriptor", descriptor="SymmetryFunctions"
    )
    files = {
        "model.param": text.encode(),
        "model.pt": torchscript(module),
        "descriptor.dat": descriptor_file("every_kind").read_bytes(),
    }
    install_kim_model(environment.folder, name, files, work)
    return name


@pytest.fixture(scope="module")
def network(driver_environment: DriverEnvironment, tmp_path_factory: pytest.TempPathFactory) -> str:
    work = tmp_path_factory.mktemp("network")
    return install(driver_environment, "TorchML_particle_virials", TanhNetwork(15), work)


@pytest.mark.usefixtures("in_collection")
@pytest.mark.parametrize(
    ("length", "energy", "angstrom", "ev"),
    [
        ("A", "eV", 1.0, 1.0),
        ("A", "kcal_mol", 1.0, units.kcal / units.mol),
        ("nm", "Hartree", 10.0, units.Hartree),
        ("m", "J", 1e10, 1.0 / units._e),
        ("Bohr", "erg", units.Bohr, 1e-7 / units._e),
    ],
)
@pytest.mark.parametrize("make", [rattled_crystal, strained_triclinic_crystal])
def test_every_unit_system_gives_those_of_the_python_module(
    make: Any, length: str, energy: str, angstrom: float, ev: float, network: str, tmp_path: Path
) -> None:
    atoms = make()
    folder = write_descriptor_model(tmp_path / "model", TanhNetwork(15), "every_kind")
    potential = importlib.import_module("torchml_driver").Potential(folder)
    arrays = (atoms.get_chemical_symbols(), atoms.positions, atoms.cell.array, atoms.pbc)
    expected = potential.compute(*arrays, particle_virials=True).particle_virials
    simulator = Simulator(network, length, energy)
    assert simulator.gives_particle_virials()
    particles = Particles.of(atoms, CUTOFF, skin=0.5)
    result = simulator.compute(particles.scaled(1.0 / angstrom), PARTICLE_VIRIALS)
    found = ev * particles.on_atoms(result.particle_virials)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(
        result.particle_virials.sum(axis=0), result.virial, rtol=1e-9, atol=1e-9 / ev
    )
    assert not result.particle_virials[particles.contributing == 0].any()


@pytest.mark.usefixtures("in_collection")
def test_a_model_that_does_not_define_them_says_so(
    driver_environment: DriverEnvironment, tmp_path: Path
) -> None:
    graph = "TorchML_Messages_without_particle_virials"
    files = {"m.param": graph_parameters("m.pt").encode(), "m.pt": torchscript(Messages())}
    install_kim_model(driver_environment.folder, graph, files, tmp_path / "graph")
    for model in (EXAMPLE_MODEL, graph):
        assert not Simulator(model).gives_particle_virials()


class Steep(torch.nn.Module):
    """An energy of zero, whose slope is close to the largest float64 number."""

    def __init__(self) -> None:
        super().__init__()
        self.network = TanhNetwork(15)
        self.slope = 1.0

    def forward(self, descriptor: torch.Tensor) -> torch.Tensor:
        energies = self.network(descriptor)
        return (energies - energies.detach()) * self.slope


@pytest.mark.usefixtures("in_collection")
def test_one_that_is_too_large_for_a_number_is_an_error_that_names_the_particle(
    driver_environment: DriverEnvironment, tmp_path: Path
) -> None:
    pair = Particles.of(Atoms("Si2", [[0, 0, 0], [0, 0, 3.0]]), CUTOFF)
    pair.contributing[0] = 0
    steep = Steep()
    gentle = install(driver_environment, "TorchML_gentle", steep, tmp_path / "gentle")
    result = Simulator(gentle).compute(pair, PARTICLE_VIRIALS)
    steep.slope = float(1e304 / np.abs(result.forces).max())
    model = install(driver_environment, "TorchML_steep", steep, tmp_path / "steep")
    simulator = Simulator(model, "A", "amu_A2_per_ps2")  # 9,649 of them are one eV
    with pytest.raises(RuntimeError):
        simulator.compute(pair, ("energy", "particle_virials"))
    assert "the virial of particle 1 overflowed (inf or nan)" in Path("kim.log").read_text()


@pytest.mark.parametrize("ranks", [1, 2])
def test_those_that_lammps_shows_add_up_to_its_pressure(
    ranks: int, network: str, driver_environment: DriverEnvironment, tmp_path: Path
) -> None:
    atoms = rattled_crystal()
    lammps = Lammps(tmp_path, {**driver_environment.env, "OMP_NUM_THREADS": "1"})
    write_data(tmp_path / "data.test", atoms, "metal")
    sums = " ".join(f"c_s[{k}]" for k in range(1, 7))
    printed = " ".join(f"$(c_all[{k}]:%.15g)" for k in range(1, 7))
    script = static_script(atoms, network, "metal").replace(
        "thermo_style custom step pe",
        "compute s all stress/atom NULL pair\n"
        f"compute all all reduce sum {sums}\n"
        "thermo_style custom step c_all[1] pe",
    )
    output = lammps.run(f'{script}print "sums {printed}"\n', ranks)
    lines = dict(re.findall(r"^(sums|pressure) (.+)$", output, re.MULTILINE))
    found, pressure = (np.array(lines[key].split(), dtype=float) for key in ("sums", "pressure"))
    # Nothing moves, so the pressure is minus the virial's sum, divided by the volume.
    assert np.abs(pressure).max() > 100  # bar
    np.testing.assert_allclose(-found / atoms.get_volume(), pressure, rtol=1e-8, atol=1e-6)
