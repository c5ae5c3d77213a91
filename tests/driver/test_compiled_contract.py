"""A compiled model (.pt2) satisfies the same contract as TorchScript: every calling convention,
results, precision, species, and every interface of the driver."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms

from tests.support import DriverEnvironment, compiled_models, graph_models, install_kim_model
from tests.support.compiled_models import MIXTURE_CUTOFF, Mixture, model_folder
from tests.support.descriptor_models import TanhNetwork, write_descriptor_model
from tests.support.kim_simulator import Particles, Simulator
from tests.support.lammps_runs import Lammps, read_static, static_script, write_data
from tests.support.structures import (
    CUTOFF,
    EXAMPLE_MODEL,
    STRUCTURES,
    cluster,
    rattled_crystal,
)
from tests.support.torch_models import SpringsWithForces, parameter_text, write_model

pytestmark = pytest.mark.usefixtures("driver_environment")

COMPILED_SW = "TorchML_Compiled_SW"
COMPILED_MESSAGES = "TorchML_Compiled_Messages"
TWO = "2\nSi C"


def carbide() -> Atoms:
    atoms = rattled_crystal()
    atoms.symbols[::2] = "C"
    atoms.set_cell(0.9 * atoms.cell.array, scale_atoms=True)
    return atoms


def both(
    fast: Path,
    slow: Path,
    atoms: Atoms,
    *,
    rtol: float = 1e-12,
    atol: float = 1e-11,
    particle_energies: bool = True,
    **options: Any,
) -> None:
    """Asserts that a compiled model gives the same results as its TorchScript."""
    from torchml_driver import Potential

    system = (atoms.get_chemical_symbols(), atoms.positions, atoms.cell.array, atoms.pbc)
    one, other = (Potential(folder, **options) for folder in (fast, slow))
    assert one.precision == other.precision
    found, expected = (
        potential.compute(*system, particle_energies=particle_energies)
        for potential in (one, other)
    )
    assert found.energy == pytest.approx(expected.energy, rel=rtol, abs=atol)
    np.testing.assert_allclose(found.forces, expected.forces, rtol=rtol, atol=atol)
    np.testing.assert_allclose(found.virial, expected.virial, rtol=rtol, atol=100 * atol)
    if particle_energies:
        np.testing.assert_allclose(
            found.particle_energies, expected.particle_energies, rtol=rtol, atol=atol
        )
    alone = one.compute(*system, forces=False)
    assert alone.energy == pytest.approx(expected.energy, rel=rtol, abs=atol)


class TestConventions:
    @pytest.mark.parametrize("structure", ["rattled_crystal", "primitive_cell", "cluster"])
    def test_descriptors(self, structure: str, tmp_path: Path) -> None:
        slow = write_descriptor_model(tmp_path / "slow", TanhNetwork(15), "every_kind")
        fast = tmp_path / "fast"
        shutil.copytree(slow, fast)
        (fast / "model.pt").unlink()
        (fast / "model.pt2").write_bytes(compiled_models.on_descriptors().read_bytes())
        parameters = fast / "kim_model.param"
        parameters.write_text(parameters.read_text().replace("model.pt", "model.pt2"))
        both(fast, slow, STRUCTURES[structure]())

    def test_forces_that_the_model_returns(self, tmp_path: Path) -> None:
        kind: dict[str, Any] = {"cutoff": MIXTURE_CUTOFF, "returns_forces": True}
        slow = write_model(tmp_path / "slow", SpringsWithForces(), **kind)
        package = compiled_models.with_forces().read_bytes()
        fast = model_folder(tmp_path / "fast", package, "pt2", **kind)
        for make in STRUCTURES.values():
            both(fast, slow, make())

    @pytest.mark.parametrize("returned", [False, True], ids=["gradient", "forces"])
    def test_what_the_parameter_file_says_of_forces_has_to_be_true(
        self, returned: bool, tmp_path: Path
    ) -> None:
        from torchml_driver import Error, Potential

        made = compiled_models.with_forces() if returned else compiled_models.mixture()
        kind: dict[str, Any] = {"elements": "1\nSi" if returned else TWO}
        folder = model_folder(
            tmp_path / "model", made.read_bytes(), "pt2", returns_forces=not returned, **kind
        )
        with pytest.raises(Error, match=r"compiled with(out)? --returns-forces"):
            Potential(folder)

    @pytest.mark.parametrize("atomic_numbers", [False, True])
    def test_single_precision_and_two_species(self, atomic_numbers: bool, tmp_path: Path) -> None:
        kind: dict[str, Any] = {"cutoff": MIXTURE_CUTOFF, "elements": TWO}
        slow = write_model(tmp_path / "slow", Mixture(), **kind)
        package = compiled_models.mixture().read_bytes()
        fast = model_folder(tmp_path / "fast", package, "pt2", **kind)
        options = {"atomic_numbers": atomic_numbers, "rtol": 1e-5, "atol": 1e-4}
        for atoms in (carbide(), cluster()):
            both(fast, slow, atoms, **options)

    def test_the_precision_is_the_models(self, tmp_path: Path) -> None:
        from torchml_driver import Potential

        package = compiled_models.mixture().read_bytes()
        folder = model_folder(tmp_path / "model", package, "pt2", elements=TWO)
        assert Potential(folder).precision == 32


class TestSystems:
    @pytest.mark.parametrize("particles", [0, 5])
    def test_a_domain_without_own_particles_has_no_energy(
        self, particles: int, tmp_path: Path
    ) -> None:
        from torchml_driver import Potential

        potential = Potential(compiled_models.stillinger_weber_folder(tmp_path / "model"))
        whole = cluster()
        near = whole.get_all_distances() < CUTOFF
        np.fill_diagonal(near, False)
        rows = [row.nonzero()[0] for row in near]
        own = np.ones(len(whole), dtype=int)
        of_whole = (0 * own, whole.positions, own, [len(row) for row in rows], np.concatenate(rows))
        before = potential.compute_particles(*of_whole)
        coordinates = whole.positions[:particles]
        none = np.zeros(particles, dtype=int)
        empty = potential.compute_particles(none, coordinates, none, [], [], particle_energies=True)
        assert empty.energy == 0.0
        assert empty.forces.shape == (particles, 3)
        assert not empty.forces.any()
        assert not empty.virial.any()
        assert not empty.particle_energies.any()
        after = potential.compute_particles(*of_whole)
        assert after.energy == before.energy

    def test_a_graph_is_never_empty_and_may_have_one_edge(self, tmp_path: Path) -> None:
        """Two atoms on two ranks, within and beyond each other's cutoff."""
        from torchml_driver import Potential

        package = compiled_models.fails_without_edges().read_bytes()
        folder = compiled_models.messages_folder(tmp_path / "model", package)
        for settings in ("", "edge_receiver_row 0\ndrop_unused_particles True\n"):
            parameters = graph_models.graph_parameters("model.pt2", settings=settings)
            (folder / "model.param").write_text(parameters)
            potential = Potential(folder)
            for distance, neighbours in ((20.0, 0), (2.2, 1)):
                coordinates = np.array([[0.0, 0.0, 0.0], [distance, 0.0, 0.0]])
                counts, lists = [neighbours] * 2, [1, 0][: 2 * neighbours]
                ranks = [
                    potential.compute_particles([0, 0], coordinates, own, counts, lists)
                    for own in ([1, 0], [0, 1])
                ]
                atoms = Atoms("Si2", coordinates)
                energies, forces = graph_models.on_a_plain_graph(
                    graph_models.Messages(), atoms, ["Si"]
                )
                for rank, energy in zip(ranks, energies, strict=True):
                    assert rank.energy == pytest.approx(energy, abs=1e-12)
                total = ranks[0].forces + ranks[1].forces
                np.testing.assert_allclose(total, forces, rtol=0, atol=1e-12)


@pytest.fixture(scope="module")
def installed(
    driver_environment: DriverEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """KIM has the compiled models installed; the first is EXAMPLE_MODEL as TorchScript."""
    work = tmp_path_factory.mktemp("compiled")
    parameters = {
        COMPILED_SW: parameter_text("m.pt2", cutoff=CUTOFF),
        COMPILED_MESSAGES: graph_models.graph_parameters("m.pt2"),
    }
    packages = {
        COMPILED_SW: compiled_models.stillinger_weber(),
        COMPILED_MESSAGES: compiled_models.messages(),
    }
    for name, package in packages.items():
        files = {"m.param": parameters[name].encode(), "m.pt2": package.read_bytes()}
        install_kim_model(driver_environment.folder, name, files, work)


@pytest.mark.usefixtures("in_collection", "installed")
class TestKim:
    @pytest.mark.parametrize("in_order", [True, False])
    def test_every_result_equals_torchscripts(self, in_order: bool) -> None:
        particles = Particles.of(rattled_crystal(), CUTOFF, skin=0.5)
        particles.contributing[:20:3] = 0
        if not in_order:
            order = np.random.default_rng(3).permutation(len(particles.coordinates))
            particles = particles.reordered(order)
        found, expected = (
            Simulator(name).compute(particles) for name in (COMPILED_SW, EXAMPLE_MODEL)
        )
        assert found.energy == pytest.approx(expected.energy, abs=1e-10)
        assert found.particle_energies.sum() == pytest.approx(found.energy, abs=1e-10)
        for what in ("forces", "particle_energies", "virial"):
            np.testing.assert_allclose(
                getattr(found, what), getattr(expected, what), rtol=0, atol=1e-10
            )

    def test_results_are_in_the_simulators_units(self) -> None:
        particles = Particles.of(rattled_crystal(), CUTOFF).scaled(0.1)
        found, expected = (
            Simulator(name, "nm", "kcal_mol").compute(particles)
            for name in (COMPILED_SW, EXAMPLE_MODEL)
        )
        assert found.energy == pytest.approx(expected.energy, rel=1e-12)
        np.testing.assert_allclose(found.forces, expected.forces, rtol=0, atol=1e-7)
        np.testing.assert_allclose(found.virial, expected.virial, rtol=0, atol=1e-7)

    def test_a_domain_without_own_particles_has_no_energy(self) -> None:
        particles = Particles.of(cluster(), CUTOFF)
        particles.contributing[:] = 0
        result = Simulator(COMPILED_SW).compute(particles)
        assert result.energy == 0.0
        assert not result.forces.any()
        assert not result.particle_energies.any()


@pytest.mark.usefixtures("installed")
class TestLammps:
    @pytest.fixture
    def lammps(self, driver_environment: DriverEnvironment, tmp_path: Path) -> Lammps:
        return Lammps(tmp_path, {**driver_environment.env, "OMP_NUM_THREADS": "1"})

    @pytest.mark.parametrize("ranks", [1, 2])
    def test_ranks_give_what_torchscript_gives(self, ranks: int, lammps: Lammps) -> None:
        found, expected = (
            lammps.static(rattled_crystal(), name, ranks) for name in (COMPILED_SW, EXAMPLE_MODEL)
        )
        assert found.energy == pytest.approx(expected.energy, abs=1e-9)
        np.testing.assert_allclose(found.forces, expected.forces, rtol=0, atol=1e-9)
        np.testing.assert_allclose(found.pressure, expected.pressure, rtol=1e-10, atol=1e-6)

    @pytest.mark.parametrize("ranks", [1, 2, 4])
    def test_messages_pass_between_ranks_one_of_them_without_particles(
        self, ranks: int, lammps: Lammps
    ) -> None:
        atoms = cluster()
        atoms.positions[:, 0] -= atoms.positions[:, 0].min() - 1.0
        atoms.positions[:, 1:] += 20.0
        atoms.cell = [200.0, 40.0, 40.0]
        atoms.pbc = True
        write_data(lammps.folder / "data.test", atoms, "metal")
        script = static_script(atoms, COMPILED_MESSAGES, "metal")
        # All atoms are in the first of four slices; with two ranks, the boundary cuts through them.
        grid = "1 2 1" if ranks == 2 else f"{ranks} 1 1"
        script = script.replace("boundary", f"processors {grid}\nboundary", 1)
        found = read_static(lammps.run(script, ranks), lammps.folder / "dump.test")
        energies, forces = graph_models.on_a_plain_graph(graph_models.Messages(), atoms, ["Si"])
        assert found.energy == pytest.approx(energies.sum(), abs=1e-9)
        np.testing.assert_allclose(found.forces, forces, rtol=0, atol=1e-9)
