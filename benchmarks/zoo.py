"""Measures libraries' models, packed by `model pack --from`, against their own calculators.

Models whose weights come with the library, one rank and one thread, a rattled crystal of silicon.
Each library gets an environment with the torch of this one. The driver and its Python module
(torchml-install driver) must be installed, and LAMMPS.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import torch
import torchml_driver
from ase import Atoms
from ase.build import bulk
from graphs import LATTICE, ROUNDS, Bench, checked
from measuring import machine, milliseconds, print_table

ROOT = Path(__file__).resolve().parent.parent
SIZES = (2, 4)  # cells of eight atoms along each axis
#: Of each adapter: what pip installs, and the model's name in the library.
MODELS = {"sevennet": ("sevenn==0.13.0", "7net-0"), "chgnet": ("chgnet==0.4.2", "0.3.0")}
OURS = ("ase", "click", "rich", "vesin>=0.4")


def crystal(cells: int) -> Atoms:
    atoms = bulk("Si", a=LATTICE, cubic=True) * (cells, cells, cells)
    atoms.rattle(0.08, seed=7)
    return atoms


def in_library(library: str, source: str, folder: Path) -> None:
    """Prints the times of both calculators for each size, ms, and how far they are apart."""
    from torchml_driver.adapters import adapter
    from torchml_driver.ase import TorchMLCalculator

    torch.set_num_threads(1)
    own = adapter(library).load(source, {}).calculator()
    ours = TorchMLCalculator(folder)
    rows = []
    for cells in SIZES:
        atoms = crystal(cells)
        times: list[list[float]] = [[], []]
        energies = []
        for _ in range(ROUNDS):  # in turns, so that other load affects both alike
            for calculator, found in zip((own, ours), times, strict=True):
                atoms.calc = calculator
                shift = [0.0]

                def step(atoms: Atoms = atoms, shift: list[float] = shift) -> object:
                    shift[0] += 1e-5
                    atoms.positions[0, 0] += shift[0]
                    return atoms.get_forces()

                found.append(milliseconds(step, 3 if cells > 2 else 6, 1))
        for calculator in (own, ours):
            atoms.calc = calculator
            energies.append(float(atoms.get_potential_energy()))
        rows.append((min(times[0]), min(times[1]), abs(energies[0] - energies[1]) / len(atoms)))
    print("measured", json.dumps(rows))


def environment(place: Path, requirement: str) -> Path:
    """The Python of an environment with a library."""
    python = place / "bin" / "python"
    if not python.exists():
        venv.create(place, with_pip=True)
        version = torch.__version__.partition("+")[0]
        pip = [str(python), "-m", "pip", "install", "--quiet", f"torch=={version}"]
        checked(pip, Path.cwd(), dict(os.environ))
        checked([*pip, *OURS, requirement], Path.cwd(), dict(os.environ))
    return python


def rows(bench: Bench, library: str, environments: Path) -> Iterator[str]:
    requirement, source = MODELS[library]
    python = environment(environments / library, requirement)
    modules = bench.folder / "modules"
    modules.mkdir(exist_ok=True)
    link = modules / "torchml_driver"
    if not link.exists():
        link.symlink_to(Path(torchml_driver.__file__).parent)
    env = {**bench.env, "PYTHONPATH": f"{modules}:{ROOT}", "PYTHONWARNINGS": "ignore"}
    name = f"Zoo_{library}"
    pack = [str(python), "-m", "torchml_installer", "model", "pack", "--from", library, source]
    checked([*pack, "--name", name], bench.folder, env)
    bench.install_packed(name)
    done = subprocess.run(
        [str(python), __file__, "--in-library", library, source, str(bench.folder / name)],
        cwd=bench.folder,
        env=env,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        sys.exit(done.stderr)
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("measured ")]
    found = json.loads(line.removeprefix("measured "))
    for cells, (own, ours, apart) in zip(SIZES, found, strict=True):
        os.environ["KIM_MODEL_GHOSTS"] = "fold"
        lammps = min(bench.lammps(name, cells, 1, 5).step for _ in range(ROUNDS))
        yield (
            f"| {requirement.replace('==', ' ')}, {source} | {8 * cells**3} | {own:.0f} "
            f"| {ours:.0f} | {lammps:.0f} | {own / ours:.2f} | {own / lammps:.2f} | {apart:.0e} |"
        )


def lines(bench: Bench, environments: Path) -> Iterator[str]:
    yield "# Libraries' models"
    yield ""
    yield "Models that `torchml-install model pack --from` packs, as TorchScript, against the ASE"
    yield "calculators of their libraries. Silicon, rattled by 0.08 Å; milliseconds per step with"
    yield "forces, one rank, one thread, the best of several runs, in turns. LAMMPS: whole steps at"
    yield "300 K with `KIM_MODEL_GHOSTS=fold`."
    yield ""
    yield "Written by `python benchmarks/zoo.py --output benchmarks/ZOO.md`."
    yield ""
    yield machine()
    yield ""
    yield (
        "| library, model | atoms | its calculator | TorchMLCalculator | LAMMPS "
        "| speed-up in ASE | in LAMMPS | difference in energy, eV/atom |"
    )
    yield "|" + 8 * "---|"
    for library in MODELS:
        yield from rows(bench, library, environments)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, metavar="FILE.md", help="also write the table there")
    parser.add_argument(
        "--environments",
        type=Path,
        default=Path("build/bench/zoo"),
        metavar="FOLDER",
        help="where the libraries' environments are kept (default: build/bench/zoo)",
    )
    parser.add_argument("--in-library", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.in_library:
        library, source, folder = options.in_library
        return in_library(library, source, Path(folder))
    with tempfile.TemporaryDirectory(prefix="torchml-bench-") as folder:
        (Path(folder) / "models").mkdir()
        bench = Bench(Path(folder))
        print_table(lines(bench, options.environments.resolve()), options.output)
    return None


if __name__ == "__main__":
    main()
