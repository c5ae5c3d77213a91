"""Descriptor models that KLIFF exports run unchanged, and give KLIFF's numbers.

tests/data/kliff_descriptor/ has the files that KLIFF 1.0.1 wrote in
tests/data/export_kliff_descriptor_model.py, and its results with libdescriptor 0.2.3.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.kim import KIM

from tests.support import ROOT, DriverEnvironment, torchml_install
from tests.support.lammps_runs import Lammps

DATA = ROOT / "tests" / "data" / "kliff_descriptor"
FOLDERS = sorted(path for path in DATA.iterdir() if path.is_dir())
KLIFF_DRIVER = "TorchML__MD_173118614730_000"
#: Relative tolerance of the energy, and of forces relative to the largest: libdescriptor
#: approximates SOAP's special functions.
TOLERANCES = {"SOAP": (1e-8, 1e-6)}


def tolerances(folder: Path) -> tuple[float, float]:
    return next((value for key, value in TOLERANCES.items() if key in folder.name), (1e-11, 1e-9))


def reference(folder: Path) -> tuple[Atoms, dict[str, Any]]:
    kept = json.loads((folder / "reference.json").read_text())
    atoms = Atoms(kept["symbols"], kept["positions"], cell=kept["cell"], pbc=True)
    return atoms, kept


@pytest.fixture(scope="module")
def collection(
    driver_environment: DriverEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> DriverEnvironment:
    """The driver under the name that KLIFF writes, and KLIFF's models."""
    folder, work = tmp_path_factory.mktemp("collection"), tmp_path_factory.mktemp("work")
    env = {
        **os.environ,
        "KIM_API_MODEL_DRIVERS_DIR": str(folder),
        "KIM_API_PORTABLE_MODELS_DIR": str(folder),
    }
    where = ("--collection", "environment")
    torchml_install("driver", "--name", KLIFF_DRIVER, *where, "--no-python", env=env, cwd=work)
    for model in FOLDERS:
        torchml_install("model", "install", model, *where, env=env, cwd=work)
    return DriverEnvironment(folder, env, DATA)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
class TestExported:
    def test_descriptors_are_those_of_kliff(
        self, folder: Path, driver_environment: DriverEnvironment
    ) -> None:
        from torchml_driver.descriptors import Descriptor

        atoms, kept = reference(folder)
        values = Descriptor(folder / "descriptor.dat", ["Si", "C"]).values(atoms)
        expected = np.array(kept["descriptors"])
        scale = np.abs(expected).max(axis=0).clip(min=1e-6)
        found = (np.abs(values - expected) / scale).max()
        assert found < (1e-7 if "SOAP" in folder.name else 1e-11)

    def test_ase_computes_kliffs_energy_and_forces(
        self,
        folder: Path,
        collection: DriverEnvironment,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
    ) -> None:
        for name in ("KIM_API_MODEL_DRIVERS_DIR", "KIM_API_PORTABLE_MODELS_DIR"):
            monkeypatch.setenv(name, str(collection.folder))
        monkeypatch.chdir(tmp_path)
        atoms, kept = reference(folder)
        atoms.calc = KIM(folder.name)
        energy, force = tolerances(folder)
        assert atoms.get_potential_energy() == pytest.approx(kept["energy"], rel=energy)
        expected = np.array(kept["forces"])
        largest = np.abs(expected).max()
        np.testing.assert_allclose(atoms.get_forces(), expected, rtol=0, atol=force * largest)

    def test_lammps_computes_kliffs_energy(
        self, folder: Path, collection: DriverEnvironment, tmp_path: Path
    ) -> None:
        atoms, kept = reference(folder)
        lammps = Lammps(tmp_path, {**collection.env, "OMP_NUM_THREADS": "1"})
        found = lammps.static(atoms, folder.name, 2, elements=["Si", "C"])
        # The data file has positions to about 1e-10.
        assert found.energy == pytest.approx(kept["energy"], rel=max(1e-8, tolerances(folder)[0]))
