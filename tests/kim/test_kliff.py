"""Graph models that KLIFF exports run unchanged, under the driver name that KLIFF writes."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.kim import KIM

from tests.support import KEPT, ROOT, DriverEnvironment, run, torchml_install
from tests.support.keeping import kept_in_place
from tests.support.lammps_runs import Lammps
from tests.support.structures import primitive_cell, rattled_crystal, strained_triclinic_crystal
from torchml_installer.models import parameter_file
from torchml_installer.models.parameter_file import CallingConvention

KLIFF = "1.0.1"
KLIFF_DRIVER = "TorchML__MD_173118614730_000"
DATA = ROOT / "tests" / "data"
CUTOFF, LAYERS = 4.0, 2  # of the exported model


class PairSum(torch.nn.Module):
    """Takes two graphs, as in the parameter file. Energy: the squared lengths of its edges."""

    def forward(
        self,
        species: torch.Tensor,
        coords: torch.Tensor,
        edge_index0: torch.Tensor,
        edge_index1: torch.Tensor,
        contributions: torch.Tensor,
    ) -> torch.Tensor:
        vectors = coords[edge_index0[0]] - coords[edge_index0[1]]
        particles = torch.zeros_like(coords[:, 0]).index_add(
            0, edge_index0[0], vectors.square().sum(1)
        )
        sums = torch.zeros(2, dtype=coords.dtype).index_add(0, contributions, particles)
        return sums[:1]


def test_the_installer_reads_kliffs_parameter_file() -> None:
    parameters = parameter_file.read(DATA / "kliff_graph.param")
    assert parameters.elements == ("Si",)
    assert parameters.pattern is CallingConvention.GRAPH
    assert (parameters.cutoff, parameters.n_layers) == (CUTOFF, LAYERS)
    assert (parameters.model_file, parameters.returns_forces) == ("model.pt", False)
    assert (parameters.n_inputs, parameters.descriptor) == (5, "None")
    assert parameters.graph.lines() == []


def test_the_driver_reads_kliffs_parameter_file(
    driver_environment: DriverEnvironment, tmp_path: Path
) -> None:
    torchml_driver = importlib.import_module("torchml_driver")
    shutil.copy(DATA / "kliff_graph.param", tmp_path)
    torch.jit.script(PairSum()).save(tmp_path / "model.pt")
    potential = torchml_driver.Potential(tmp_path)
    assert potential.elements == ["Si"]
    assert (potential.cutoff, potential.influence_distance) == (CUTOFF, CUTOFF * LAYERS)
    result = potential.compute(["Si", "Si"], np.array([[0.0, 0.0, 0.0], [0.0, 1.0, 2.0]]))
    # Both directions of the only pair: 2 r^2.
    assert result.energy == pytest.approx(10.0, abs=1e-12)
    np.testing.assert_allclose(result.forces, [[0, 4, 8], [0, -4, -8]], atol=1e-12)


def kliff_python() -> Path:
    """The Python of an environment with KLIFF and this process's version of torch.

    It is kept, since making it compiles KLIFF (2 minutes) and torch_scatter (5 minutes).
    """
    torch_version = torch.__version__.partition("+")[0]
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    folder = KEPT / f"kliff-{KLIFF}-torch-{torch_version}-py{python}"
    program = folder / "bin" / "python"

    def make() -> None:
        run([sys.executable, "-m", "venv", folder])
        pip = [program, "-m", "pip", "install", "--disable-pip-version-check"]
        # First the build dependencies of the rest; torch_scatter's build imports torch.
        run([*pip, f"torch=={torch_version}", "numpy<2", "setuptools<81", "wheel", "pybind11"])
        run([*pip, "--no-build-isolation", "torch_scatter==2.1.2"])
        used = ("torch_geometric", "pytorch_lightning", "tensorboard")
        run([*pip, "--no-build-isolation", f"torch=={torch_version}", f"kliff=={KLIFF}", *used])

    kept_in_place(folder, make)
    return program


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The portable-model folder that KLIFF's trainer wrote."""
    work = tmp_path_factory.mktemp("kliff")
    run([kliff_python(), DATA / "export_kliff_model.py", "--output", work], cwd=work)
    (folder,) = (path.parent for path in work.glob("*/CMakeLists.txt"))
    return folder


@pytest.fixture(scope="session")
def kliff_collection(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> DriverEnvironment:
    """The driver under two names, including KLIFF's, and KLIFF's model."""
    folder, work = tmp_path_factory.mktemp("kliff-collection"), tmp_path_factory.mktemp("work")
    env = {
        **os.environ,
        "KIM_API_MODEL_DRIVERS_DIR": str(folder),
        "KIM_API_PORTABLE_MODELS_DIR": str(folder),
    }
    names = ("--name", KLIFF_DRIVER, "--name", "TorchML__MD_173118614730_001")
    where = ("--collection", "environment")
    torchml_install("driver", *names, *where, "--no-python", env=env, cwd=work)
    torchml_install("model", "install", exported, *where, env=env, cwd=work)
    return DriverEnvironment(folder, env, exported)


def called_directly(model_file: Path, atoms: Atoms) -> tuple[float, np.ndarray]:
    """Energy (eV) and forces (n, 3) (eV/angstrom) of a periodic crystal, without the driver.

    Every image within the influence distance is a particle, and every layer's graph holds all
    pairs: the opposite of staged graphs, which must give the same result.
    """
    reach = CUTOFF * LAYERS
    heights = 1.0 / np.linalg.norm(np.linalg.inv(atoms.cell.array), axis=0)
    repeats = [range(-int(n), int(n) + 1) for n in np.ceil(reach / heights) + 1]
    shifts = np.array([(i, j, k) for i in repeats[0] for j in repeats[1] for k in repeats[2]])
    shifts = shifts[np.argsort(np.abs(shifts).sum(axis=1), kind="stable")]  # the cell itself first
    everywhere = (shifts @ atoms.cell.array)[:, None, :] + atoms.positions
    owners = np.tile(np.arange(len(atoms)), len(shifts))
    positions = everywhere.reshape(-1, 3)
    near = np.zeros(len(positions), dtype=bool)
    for position in atoms.positions:
        near |= np.linalg.norm(positions - position, axis=1) <= reach + 1e-6
    positions, owners = positions[near], owners[near]
    coords = torch.tensor(positions, requires_grad=True)
    # Not by matrix multiplication, which gives a particle a nonzero distance from itself.
    exact = "donot_use_mm_for_euclid_dist"
    distances = torch.cdist(coords.detach(), coords.detach(), compute_mode=exact)
    pairs = ((distances <= CUTOFF) & (distances > 0.0)).nonzero().T.contiguous()
    contributions = torch.ones(len(positions), dtype=torch.int64)
    contributions[: len(atoms)] = 0
    species = torch.zeros(len(positions), dtype=torch.int64)
    energy = torch.jit.load(model_file)(species, coords, *[pairs] * LAYERS, contributions).sum()
    (gradient,) = torch.autograd.grad(energy, coords)
    forces = np.zeros((len(atoms), 3))
    np.add.at(forces, owners, -gradient.numpy())
    return energy.item(), forces


STRUCTURES = [primitive_cell, strained_triclinic_crystal, rattled_crystal]


@pytest.mark.slow
def test_kliff_still_writes_the_parameter_file_kept_here(exported: Path) -> None:
    assert (exported / "kliff_graph.param").read_bytes() == (
        DATA / "kliff_graph.param"
    ).read_bytes()
    assert f'DRIVER_NAME     "{KLIFF_DRIVER}"' in (exported / "CMakeLists.txt").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("make", STRUCTURES)
def test_kliffs_model_in_ase_equals_the_model_called_directly(
    make: Callable[[], Atoms],
    kliff_collection: DriverEnvironment,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    for name in ("KIM_API_MODEL_DRIVERS_DIR", "KIM_API_PORTABLE_MODELS_DIR"):
        monkeypatch.setenv(name, str(kliff_collection.folder))
    monkeypatch.chdir(tmp_path)
    atoms = make()
    energy, forces = called_directly(kliff_collection.packed / "model.pt", atoms)
    assert np.abs(forces).max() > 1e-4
    atoms.calc = KIM(kliff_collection.packed.name)
    assert atoms.get_potential_energy() == pytest.approx(energy, abs=1e-10 * len(atoms))
    np.testing.assert_allclose(atoms.get_forces(), forces, rtol=0, atol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [1, 2])
def test_kliffs_model_in_lammps_equals_the_model_called_directly(
    ranks: int, kliff_collection: DriverEnvironment, tmp_path: Path
) -> None:
    lammps = Lammps(tmp_path, {**kliff_collection.env, "OMP_NUM_THREADS": "1"})
    atoms = rattled_crystal()
    energy, forces = called_directly(kliff_collection.packed / "model.pt", atoms)
    found = lammps.static(atoms, kliff_collection.packed.name, ranks)
    assert found.energy == pytest.approx(energy, abs=1e-9)
    # The data file has positions to about 1e-10.
    np.testing.assert_allclose(found.forces, forces, rtol=0, atol=1e-8)
