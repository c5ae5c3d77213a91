"""Libraries that make potentials, each in an environment of its own, and their models in LAMMPS.

A scripts.py FILE defines `make(kind, path)`, which writes a model, and `calculator(kind, path)`,
the library's own ASE calculator for it. The file runs in the library's environment.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import venv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.io import write

from tests.support import KEPT, ROOT, DriverEnvironment, run, torchml_install
from tests.support.keeping import kept_in_place
from tests.support.lammps_runs import Lammps, read_static, static_script, write_data

#: Periodic images and other ranks' particles: how they are handled, on how many ranks.
RUNS = (("auto", 1), ("auto", 2), ("auto", 3), ("fold", 1), ("stage", 1), ("stage", 3))
EXCHANGING = (("exchange", 1), ("exchange", 2), ("exchange", 3))
#: bar in an eV/Å^3, with the constants that LAMMPS has for it.
BAR = 1.6021765e6

_COMPUTE = """
import json, sys
import numpy as np
from ase.io import read
import torch
sys.path.insert(0, sys.argv[1])
import {script} as models
atoms = read(sys.argv[4])
torch.set_default_dtype(getattr(torch, sys.argv[5]))  # some calculators depend on it
atoms.calc = models.calculator(sys.argv[2], sys.argv[3])
found = [atoms.get_potential_energy(), atoms.get_forces().tolist(), atoms.get_stress().tolist()]
print("found", json.dumps([float(found[0]), *found[1:]]))
"""


@dataclass(frozen=True)
class Expected:
    """By the library: energy eV, forces (n, 3) eV/Å, stress (6,) eV/Å^3 in ASE's order."""

    energy: float
    forces: np.ndarray
    stress: np.ndarray


@dataclass(frozen=True)
class Library:
    """python: of its environment. env: in which it finds our modules, too. script: the module of
    tests.zoo that makes models. name: of its adapter."""

    name: str
    python: Path
    env: Mapping[str, str]
    script: str
    folder: Path = field(default_factory=Path)

    def make(self, kind: str, suffix: str) -> Path:
        """A model's file, kept for the module's tests."""
        path = self.folder / f"{kind}{suffix}"
        if not path.exists():
            code = f"import sys, {self.script} as models; models.make(*sys.argv[1:])"
            env = {**self.env, "PYTHONPATH": f"{ROOT / 'tests' / 'zoo'}:{self.env['PYTHONPATH']}"}
            run([self.python, "-c", code, kind, path], env=env, cwd=self.folder)
        return path

    def compute(self, kind: str, path: Path, atoms: Atoms, dtype: str = "float64") -> Expected:
        """What the library's own calculator gives."""
        write(self.folder / "atoms.json", atoms)
        code = _COMPUTE.format(script=self.script)
        words = [ROOT / "tests" / "zoo", kind, path, self.folder / "atoms.json", dtype]
        output = run([self.python, "-c", code, *words], env=self.env, cwd=self.folder)
        (line,) = [line for line in output.splitlines() if line.startswith("found ")]
        energy, forces, stress = json.loads(line.removeprefix("found "))
        return Expected(energy, np.array(forces), np.array(stress))

    def pack(
        self, source: str | Path, *options: str, name: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """`model pack --from` of this library, with --json."""
        command = [self.python, "-m", "torchml_installer", "model", "pack", "--from", self.name]
        named = () if name is None else ("--name", name)
        return subprocess.run(
            [*map(str, command), str(source), *named, *options, "--json", "--force"],
            env=dict(self.env),
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )

    def packed(self, source: str | Path, *options: str, name: str) -> dict[str, Any]:
        """What `model pack --from` prints, where it must work."""
        done = self.pack(source, *options, name=name)
        assert done.returncode == 0, done.stdout + done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def of(self, name: str) -> Library:
        """The same environment, for another adapter."""
        return replace(self, name=name)


def parameters(packed: Path) -> list[str]:
    """The values in a packed model's parameter file, without comments."""
    lines = (packed / f"{packed.name}.param").read_text().splitlines()
    return [value for line in lines if not line.startswith("#") for value in line.split()]


def library(
    driver: DriverEnvironment, folder: Path, name: str, script: str, requirements: Sequence[str]
) -> Library:
    """A library in an environment with the torch of this one; kept for the next run.

    The driver's Python module is this Python's: it was built for the same Python and torch.
    """
    import torch
    import torchml_driver

    version = torch.__version__.partition("+")[0]
    place = KEPT / "zoo" / f"{name}-torch-{version}-python-{sys.version_info[1]}"
    python = place / "bin" / "python"

    def make() -> None:
        venv.create(place, with_pip=True)
        pip = [python, "-m", "pip", "install", "--quiet"]
        run([*pip, f"torch=={version}"])
        ours = ("ase", "click", "rich", "vesin>=0.4")
        run([*pip, f"torch=={version}", *ours, *requirements])

    kept_in_place(place, make)
    modules = folder / "modules"
    modules.mkdir(exist_ok=True)
    (modules / "torchml_driver").symlink_to(Path(torchml_driver.__file__).parent)
    env = {
        **driver.env,
        "PYTHONPATH": f"{modules}:{ROOT}",
        "PYTHONWARNINGS": "ignore",
        "OMP_NUM_THREADS": "1",
        "PATH": f"{place / 'bin'}:{os.environ['PATH']}",
    }
    return Library(name, python, env, script, folder)


def crystal(elements: Sequence[str]) -> Atoms:
    """Rattled and oblique, in a cell that LAMMPS takes as it is; shorter than most cutoffs."""
    atoms = bulk("Si", cubic=True, a=5.6) * (2, 1, 1)
    random = np.random.default_rng(5)
    atoms.symbols = random.permutation([elements[k % len(elements)] for k in range(len(atoms))])
    atoms.rattle(0.08, seed=3)
    tilt = np.array([[0.0, 0.0, 0.0], [0.7, 0.0, 0.0], [0.4, -0.5, 0.0]])
    atoms.set_cell(atoms.cell.array + tilt, scale_atoms=True)
    atoms.wrap()
    return atoms


def require_same_in_lammps(
    driver: DriverEnvironment,
    folder: Path,
    packed: Path,
    elements: Sequence[str],
    expected: Expected,
    rounding: float,
    exchanges: bool = False,
    runs: Sequence[tuple[str, int]] | None = None,
    invariant: bool = True,
) -> dict[tuple[str, int], float]:
    """Installs a packed model, and compares LAMMPS with the library in every mode, on several
    ranks. Returns the largest relative differences, of energies and forces.

    rounding: relative, of energies; forces and stress have digits less. exchanges: whether ranks
    can send each other the model's features, in a driver that does this. runs: in place of RUNS,
    for models that have no modes. invariant: whether the model does not depend on directions;
    otherwise LAMMPS's shear stress, from positions and forces, has one of two different halves.
    """
    torchml_install(
        "model", "install", packed, "--collection", "environment", env=driver.env, cwd=folder
    )
    atoms = crystal(elements)
    write_data(folder / "data.test", atoms, "metal", elements)
    script = static_script(atoms, packed.name, "metal", elements)
    largest = max(float(np.abs(expected.forces).max()), 0.1)
    known = exchanges and importlib.util.find_spec("torchml_driver.operators") is not None
    differences = {}
    for mode, ranks in (*(RUNS if runs is None else runs), *(EXCHANGING if known else ())):
        env = {**driver.env, "OMP_NUM_THREADS": "1", "KIM_MODEL_GHOSTS": mode}
        found = read_static(Lammps(folder, env).run(script, ranks), folder / "dump.test")
        where = f"{packed.name}, {mode}, {ranks} ranks"
        np.testing.assert_allclose(found.energy, expected.energy, rtol=rounding, err_msg=where)
        np.testing.assert_allclose(
            found.forces, expected.forces, rtol=0, atol=10 * rounding * largest, err_msg=where
        )
        pressure = -BAR * expected.stress[[0, 1, 2, 5, 4, 3]]  # LAMMPS: xx yy zz xy xz yz
        scale = max(float(np.abs(pressure).max()), 1000.0)
        compared = slice(None if invariant else 3)
        np.testing.assert_allclose(
            found.pressure[compared],
            pressure[compared],
            rtol=0,
            atol=max(10 * rounding, 1e-6) * scale,
            err_msg=where,
        )
        differences[mode, ranks] = max(
            abs(found.energy / expected.energy - 1.0),
            float(np.abs(found.forces - expected.forces).max()) / largest,
        )
    return differences
