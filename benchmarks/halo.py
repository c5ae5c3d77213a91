"""Counts on paper what ghosts cost on many ranks: staged graphs against features exchanged.

A cube of silicon is divided into equal boxes, as LAMMPS divides it, one for each rank. Volumes give
the numbers of ghosts, messages and bytes. Nothing is timed. The ghosts of small systems are
compared with those that LAMMPS counts, on 1 to 8 ranks.

LAMMPS and mpirun must be installed.
"""

from __future__ import annotations

import argparse
import itertools
import math
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from measuring import print_table

LATTICE = 5.431  # angstrom
DENSITY = 8 / LATTICE**3  # atoms per cubic angstrom
SKIN = 2.0  # angstrom, LAMMPS's in metal units
VECTOR = 3 * 8  # bytes of a position or a force
ATOMS = {"10⁶": 10**6, "10⁷": 10**7, "10⁸": 10**8, "10⁹": 10**9}
RANKS = (8, 64, 1000, 10_000)

#: Atoms that do not interact, so that only the halo counts.
LAMMPS = """\
units           metal
lattice         diamond {lattice}
region          box block 0 {cells} 0 {cells} 0 {cells}
create_box      1 box
create_atoms    1 {where}
mass            1 28.0855
pair_style      zero 2.0 nocoeff
pair_coeff      * *
comm_modify     cutoff {halo}
run             0
"""

INTRODUCTION = f"""\
# Ghosts and messages on many ranks, on paper

A cube of silicon, divided as LAMMPS divides it. The numbers are those of one rank in one step, and
follow from volumes. Nothing is timed.
Written by `python benchmarks/halo.py --output benchmarks/HALO.md`.

- **Staged**: LAMMPS has ghosts within layers times cutoff + {SKIN:g} Å, its skin. It sends their
  positions to other ranks and gets their forces back. In each layer a rank also computes the
  features of ghosts, as far as (layers - 1) times cutoff: `computed / own` is the number of atoms
  that it computes, over the number of its own.
- **Exchanged**: LAMMPS has ghosts within cutoff + {SKIN:g} Å. Between layers, a rank sends features
  to the ranks that have neighbours of its atoms, one message to each, and on the way back their
  gradient. It computes its own atoms only.

`messages` and `sent` count both: positions and forces, and features and their gradient. An exchange
sends more, and computes less: the last column has the bytes that it sends more for each ghost that
it need not compute. It pays where these are sent in less time than the network takes for an
atom."""


@dataclass(frozen=True)
class Network:
    """cutoff: angstrom; width: numbers that each atom's features have; size: bytes of one."""

    layers: int
    cutoff: float
    width: int
    size: int

    @property
    def name(self) -> str:
        return (
            f"{self.layers} layers of {self.cutoff:g} Å, {self.width} numbers of {self.size} bytes"
        )

    @property
    def halo_staged(self) -> float:
        """How far LAMMPS has ghosts, angstrom."""
        return self.layers * self.cutoff + SKIN

    @property
    def halo_exchanged(self) -> float:
        return self.cutoff + SKIN

    @property
    def exchanges(self) -> int:
        """In a step: between layers, features forward and their gradient backward."""
        return 2 * (self.layers - 1)


NETWORKS = (
    Network(3, 4.5, 64, 8),
    Network(5, 5.0, 480, 4),
)


@dataclass(frozen=True)
class Brick:
    """A rank's part of a cube.

    grid: ranks along x, y, z; sides: of the part, angstrom.
    """

    grid: tuple[int, int, int]
    sides: tuple[float, float, float]

    @classmethod
    def of(cls, atoms: int, ranks: int) -> Brick:
        """As LAMMPS divides a cube: into parts with the least surface."""
        factors = [
            (x, y, ranks // (x * y))
            for x in range(1, ranks + 1)
            if ranks % x == 0
            for y in range(1, ranks // x + 1)
            if ranks // x % y == 0
        ]
        grid = min(factors, key=lambda n: sum(1 / (a * b) for a, b in itertools.combinations(n, 2)))
        length = (atoms / DENSITY) ** (1 / 3)
        return cls(grid, (length / grid[0], length / grid[1], length / grid[2]))

    @property
    def own(self) -> float:
        return DENSITY * math.prod(self.sides)

    def ghosts(self, halo: float) -> float:
        """LAMMPS's: all around the part, in a box that is larger by the halo on each side."""
        return DENSITY * math.prod(side + 2 * halo for side in self.sides) - self.own

    def sent(self, halo: float) -> float:
        """Atoms that LAMMPS sends as ghosts to other ranks: x first, then y and z with the ghosts
        that came before. Along a direction that is not divided it copies them."""
        atoms, sides = 0.0, list(self.sides)
        for axis, ranks in enumerate(self.grid):
            others = math.prod(sides[:axis] + sides[axis + 1 :])
            atoms += DENSITY * 2 * halo * others if ranks > 1 else 0.0
            sides[axis] += 2 * halo
        return atoms

    def swaps(self, halo: float) -> int:
        """Messages with which LAMMPS sends them: both ways along an axis, from rank to rank if the
        halo is wider than a part."""
        hops = (int(halo / side) + 1 for side in self.sides)
        return sum(2 * n for n, ranks in zip(hops, self.grid, strict=True) if ranks > 1)

    def within(self, distance: float) -> float:
        """Atoms within a distance of the part, its own included: a box with rounded edges."""
        x, y, z = self.sides
        faces = 2 * (x * y + y * z + z * x) * distance
        edges = math.pi * (x + y + z) * distance**2
        corners = 4 / 3 * math.pi * distance**3
        return DENSITY * (x * y * z + faces + edges + corners)

    def neighbours(self, distance: float) -> int:
        """Other ranks whose parts lie within a distance."""
        found = set()
        most = [math.ceil(distance / side) for side in self.sides]
        for step in itertools.product(*(range(-n, n + 1) for n in most)):
            gaps = [max(abs(n) - 1, 0) * side for n, side in zip(step, self.sides, strict=True)]
            if math.hypot(*gaps) < distance:
                found.add(tuple(n % ranks for n, ranks in zip(step, self.grid, strict=True)))
        return len(found - {(0, 0, 0)})


@dataclass(frozen=True)
class Cost:
    """Of one rank and step. computed: atoms whose features it computes in each layer."""

    ghosts: float
    computed: float
    messages: int
    sent: float

    @classmethod
    def staged(cls, brick: Brick, network: Network) -> Cost:
        """Positions go out and forces come back, with LAMMPS's messages."""
        halo = network.halo_staged
        return cls(
            ghosts=brick.ghosts(halo),
            computed=brick.within((network.layers - 1) * network.cutoff),
            messages=2 * brick.swaps(halo),
            sent=2 * VECTOR * brick.sent(halo),
        )

    @classmethod
    def exchanged(cls, brick: Brick, network: Network) -> Cost:
        """The same within one cutoff, and the features of the ghosts that own atoms see."""
        halo = network.halo_exchanged
        rows = brick.within(network.cutoff) - brick.own
        features = network.exchanges * rows * network.width * network.size
        return cls(
            ghosts=brick.ghosts(halo),
            computed=brick.own,
            messages=2 * brick.swaps(halo) + network.exchanges * brick.neighbours(network.cutoff),
            sent=2 * VECTOR * brick.sent(halo) + features,
        )


def count(number: float, unit: str = "") -> str:
    """With three digits."""
    for size, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= 0.9995 * size:
            return f"{number / size:.3g} {prefix}{unit}"
    return f"{number:.0f} {unit}".rstrip()


def words(grid: Sequence[int]) -> str:
    return " by ".join(map(str, grid))


def table(network: Network) -> Iterator[str]:
    yield (
        "| atoms | ranks | own atoms | ghosts, staged | ghosts, exchanged "
        "| computed / own, staged | messages, staged | messages, exchanged "
        "| sent, staged | sent, exchanged | more bytes / atom saved |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|---|"
    for (label, atoms), ranks in itertools.product(ATOMS.items(), RANKS):
        brick = Brick.of(atoms, ranks)
        staged, exchanged = Cost.staged(brick, network), Cost.exchanged(brick, network)
        more = exchanged.sent - staged.sent
        yield (
            f"| {label} | {ranks} | {count(brick.own)} "
            f"| {count(staged.ghosts)} | {count(exchanged.ghosts)} "
            f"| {staged.computed / brick.own:.2f} "
            f"| {staged.messages} | {exchanged.messages} "
            f"| {count(staged.sent, 'B')} | {count(exchanged.sent, 'B')} "
            f"| {count(more / (staged.computed - brick.own))} |"
        )


def lammps(cells: int, ranks: int, halo: float, where: str) -> tuple[str, float]:
    """The grid and the ghosts of a rank, on the average, that LAMMPS prints."""
    script = LAMMPS.format(lattice=LATTICE, cells=cells, where=where, halo=halo)
    with tempfile.TemporaryDirectory(prefix="torchml-bench-") as folder:
        Path(folder, "in.halo").write_text(script, encoding="utf-8")
        mpirun = ["mpirun", "--allow-run-as-root", "--oversubscribe", "--bind-to", "none"]
        command = [*mpirun, "-np", str(ranks), "lmp", "-in", "in.halo"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    grid = re.search(r"(\d+) by (\d+) by (\d+) MPI processor grid", done.stdout)
    ghosts = re.search(r"^Nghost: +(\S+) ave", done.stdout, re.MULTILINE)
    if done.returncode != 0 or grid is None or ghosts is None:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}\n{done.stderr}")
    return grid[0].removesuffix(" MPI processor grid"), float(ghosts[1])


def comparison(network: Network) -> Iterator[str]:
    yield (
        "| atoms | ranks | grid | LAMMPS's grid | halo, Å | ghosts | LAMMPS, random places "
        "| LAMMPS, crystal |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    for cells, ranks in itertools.product((4, 8, 16), (1, 2, 4, 8)):
        atoms = 8 * cells**3
        brick = Brick.of(atoms, ranks)
        for halo in (network.halo_staged, network.halo_exchanged):
            grid, crystal = lammps(cells, ranks, halo, "box")
            _, disordered = lammps(cells, ranks, halo, f"random {atoms} 12345 NULL")
            yield (
                f"| {atoms} | {ranks} | {words(brick.grid)} | {grid} | {halo} "
                f"| {brick.ghosts(halo):.0f} | {disordered:.0f} | {crystal:.0f} |"
            )


def lines() -> Iterator[str]:
    yield INTRODUCTION
    for network in NETWORKS:
        yield ""
        yield f"## {network.name}"
        yield ""
        yield from table(network)
    yield ""
    yield "## Compared with LAMMPS"
    yield ""
    yield "The formula for small systems, beside the mean number of ghosts that LAMMPS prints for"
    yield "atoms that do not interact (`comm_modify cutoff`). They are at random places, or on the"
    yield "sites of the crystal, whose planes are within the halo or not."
    yield ""
    yield from comparison(NETWORKS[0])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--output", type=Path, metavar="FILE.md", help="also write the tables there"
    )
    parser.add_argument(
        "--network",
        nargs=4,
        metavar=("LAYERS", "CUTOFF", "WIDTH", "BYTES"),
        help="only print the table of another network: how many layers, Å, numbers that an atom's\n"
        "features have, bytes of each",
    )
    options = parser.parse_args()
    if options.network:
        layers, cutoff, width, size = options.network
        if int(layers) < 2:
            parser.error("a network of one layer exchanges nothing: name two layers or more")
        print_table(table(Network(int(layers), float(cutoff), int(width), int(size))), None)
        return
    for tool in ("lmp", "mpirun"):
        if shutil.which(tool) is None:
            sys.exit(f"{tool} is missing. Install it: `torchml-install deps --with lammps,mpi`.")
    print_table(lines(), options.output)


if __name__ == "__main__":
    main()
