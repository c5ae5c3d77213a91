"""One model of each library, in ASE and in LAMMPS on any ranks, at constant energy, at constant
pressure, and through all checks of its physics.

With TORCHML_ZOO_ROWS, a folder, each test leaves what it found there, for `python -m
tests.zoo.table`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest
from ase import Atoms
from ase.build import bulk

from tests.support import DriverEnvironment
from tests.support.lammps_runs import Lammps
from tests.zoo.dynamics import require_steady_energy
from tests.zoo.libraries import crystal, library, require_same_in_lammps

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Case:
    """A model. environment, script, needed: as in libraries.library. kind: as in the script, and
    the model's name if there is no suffix. rounding: relative, of energies. published: its weights
    are, so that it has crystals. fails: the checks of `model verify` that it fails by nature."""

    library: str
    kind: str
    environment: str
    needed: tuple[str, ...]
    elements: tuple[str, ...] = ("H", "O", "Si")
    suffix: str = ""
    options: tuple[str, ...] = ()
    rounding: float = 1e-11
    dtype: str = "float64"
    exchanges: bool = False
    staged_graphs: bool = False
    published: bool = False
    saved: bool = False
    fails: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.library}_{self.kind}".replace(".", "_").replace("-", "_")


_NEQUIP = ("nequip==0.19.1", "nequip-allegro==0.8.3")
_METATOMIC = (
    "metatomic-torch==0.1.19",
    "metatomic-ase==0.1.4",
    "metatrain[soap-bpnn]==2026.4.1",
)
CASES = (
    Case(
        *("sevennet", "7net-0", "sevennet", ("sevenn==0.13.0",)),
        **{"rounding": 1e-6, "dtype": "float32", "exchanges": True, "published": True},
    ),
    Case(
        *("chgnet", "0.3.0", "chgnet", ("chgnet==0.4.2",)),
        # CHGNet computes positions in single precision: its forces round more than energies.
        **{"rounding": 3e-6, "dtype": "float32", "published": True},
    ),
    Case("mace", "plain", "mace", ("mace-torch==0.3.16",), suffix=".model", exchanges=True),
    Case("nequip", "nequip", "nequip", _NEQUIP, suffix=".ckpt", exchanges=True),
    Case("allegro", "allegro", "nequip", _NEQUIP, suffix=".ckpt"),
    Case(
        *("schnetpack", "painn", "schnetpack", ("schnetpack==2.0.4",)),
        suffix=".model",
        options=("energy_unit=kcal/mol", "elements=H,O,Si"),
        exchanges=True,
    ),
    Case(
        *("torchani", "plain", "torchani", ("torchani==2.9.0",)),
        elements=("H", "C", "N", "O"),
        suffix=".pt",
    ),
    Case("matgl", "m3gnet", "matgl", ("matgl==4.1.2",), rounding=2e-6, dtype="float32", saved=True),
    Case("metatomic", "list", "metatomic", _METATOMIC, suffix=".pt"),
    Case(
        *("metatomic", "pet", "metatomic", _METATOMIC),
        suffix=".pt",
        staged_graphs=True,
        fails=("rotation",),  # it learns invariance from data, and this one has not learnt
    ),
)


def moving(case: Case) -> Atoms:
    """Published models know salt. The others have no crystal: any atoms will do."""
    return (
        bulk("NaCl", "rocksalt", a=5.64, cubic=True) if case.published else crystal(case.elements)
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_everything_runs(
    driver_environment: DriverEnvironment, tmp_path_factory: pytest.TempPathFactory, case: Case
) -> None:
    folder = tmp_path_factory.mktemp(case.library)
    script = f"{case.environment}_models"
    one = library(driver_environment, folder, case.environment, script, case.needed)
    one = one.of(case.library)
    made = case.suffix or case.saved
    source = one.make(case.kind, case.suffix) if made else case.kind
    options = [word for option in case.options for word in ("--option", option)]
    packed = one.packed(source, *options, name=case.name)
    path = source if isinstance(source, Path) else folder
    expected = one.compute(case.kind, path, crystal(case.elements), case.dtype)
    differences = require_same_in_lammps(
        driver_environment,
        folder,
        folder / case.name,
        case.elements,
        expected,
        case.rounding,
        exchanges=case.exchanges,
        runs=(("auto", 1), ("auto", 2), ("auto", 3)) if case.staged_graphs else None,
        invariant="rotation" not in case.fails,
    )
    lammps = Lammps(folder, driver_environment.env)
    run = (case.name, moving(case))
    steps, time = (200, 1.0) if case.published else (50, 0.25)
    changes = {
        "nve": require_steady_energy(lammps, *run, "nve", steps, time),
        "npt": require_steady_energy(lammps, *run, "npt", steps, time),
    }
    failed = checks_failed(folder, case.name, driver_environment)
    assert failed == list(case.fails)
    if (rows := os.environ.get("TORCHML_ZOO_ROWS")) is not None:
        record = packed["library"]
        row = {
            **asdict(case),
            "title": record["title"],
            "version": record["version"],
            "torch": record["torch"],
            "ase": record["largest_difference"],
            "lammps": [[*run, found] for run, found in differences.items()],
            "changes": changes,
            "failed": failed,
        }
        Path(rows, f"{case.name}.json").write_text(json.dumps(row, indent=1) + "\n")


def checks_failed(folder: Path, name: str, driver: DriverEnvironment) -> list[str]:
    """The names of the checks that `model verify` says a model fails."""
    command = [sys.executable, "-m", "torchml_installer", "model", "verify", name, "--json"]
    done = subprocess.run(
        command, env=dict(driver.env), cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.stdout, done.stderr
    return [check["name"] for check in json.loads(done.stdout) if not check["passed"]]
