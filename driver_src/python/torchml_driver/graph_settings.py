"""Finds the settings of a graph model that save work without changing its results.

    python -m torchml_driver.graph_settings MODEL

For a model that sends messages only along directed edges, the edges that point at the particles of
a layer suffice; a model that never looks at particles outside its graphs does not need them
(`edge_receiver_row` and `drop_unused_particles` in the parameter file). This program evaluates the
model both ways on various systems. It prints the settings that give the same energies and forces,
one per line, to be appended to the parameter file.
"""

from __future__ import annotations

import argparse
import math
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ._core import Error, ErrorHere
from ._requests import is_request, serve
from .potential import Potential, Result

#: The largest difference, relative to the largest value, that counts as rounding, by the model's
#: bits.
_TOLERANCES = {64: 1e-10, 32: 2e-5, 16: 5e-2}


@dataclass(frozen=True)
class _Configuration:
    """The input from a simulator, for particles without periodic images."""

    species: npt.NDArray[np.intp]  # (n) indices into the model's elements
    coordinates: npt.NDArray[np.float64]  # (n, 3) Å
    contributing: npt.NDArray[np.intp]  # (n)
    n_neighbours: npt.NDArray[np.intp]  # (n)
    neighbours: npt.NDArray[np.intp]  # (sum of n_neighbours)


def find_settings(parameter_file: Path) -> list[str]:
    """The settings that leave all results unchanged, as lines for the parameter file.

    Raises:
        Error: if the model cannot be loaded or fails on ordinary systems.
    """
    parameters = parameter_file.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory(prefix="torchml-settings-") as scratch:
        folder = Path(scratch)
        for file in parameter_file.parent.iterdir():
            if file.is_file() and file.suffix != ".param":
                shutil.copy(file, folder / file.name)

        def load(settings: Sequence[str]) -> Potential:
            text = "\n".join([parameters.rstrip("\n"), *settings, ""])
            (folder / "model.param").write_text(text, encoding="utf-8")
            return Potential(folder)

        plain = load([])
        n_layers = round(plain.influence_distance / plain.cutoff)
        configurations = list(_configurations(len(plain.elements), plain.cutoff, n_layers))
        expected = [_compute(plain, configuration) for configuration in configurations]
        if not any(result.forces is not None and result.forces.any() for result in expected):
            return []  # without forces, equal results prove nothing

        def changes_nothing(settings: Sequence[str]) -> bool:
            try:
                other = load(settings)
                found = [_compute(other, configuration) for configuration in configurations]
            except Error:
                return False
            return _equal(expected, found, _TOLERANCES[plain.precision])

        settings: list[str] = []
        rows = [f"edge_receiver_row {row}" for row in (0, 1)]
        fitting = [setting for setting in rows if changes_nothing([setting])]
        if len(fitting) == 1:  # a model that accepts either row does not look at its edges
            settings += fitting
        drop = "drop_unused_particles True"
        if changes_nothing([*settings, drop]):
            settings.append(drop)
        return settings


def parameter_file_of(model: Path) -> Path:
    """The parameter file of a portable model: a folder, or that file itself. Raises Error."""
    candidates = [model] if model.is_file() else sorted(model.glob("*.param"))
    if len(candidates) != 1:
        raise Error(
            f"{model} has {len(candidates)} parameter files (*.param); expected one. Name a folder "
            "that `torchml-install model pack` wrote, or its *.param file."
        )
    return candidates[0]


def _compute(potential: Potential, configuration: _Configuration) -> Result:
    return potential.compute_particles(
        potential.species_codes[configuration.species],
        configuration.coordinates,
        configuration.contributing,
        configuration.n_neighbours,
        configuration.neighbours,
    )


def _configurations(n_elements: int, cutoff: float, n_layers: int) -> Iterator[_Configuration]:
    """Disordered systems, sparse and dense, in which all or few particles contribute, with some
    particles that no graph reaches.

    In clusters, graphs soon reach every particle, and then the edges of the larger layers are the
    same for all settings. So there are bars, too: longer than the influence distance, with
    contributing particles at one end, so that each layer leaves some particles out.

    The seed is fixed, so that packing a model twice gives the same file.
    """
    random = np.random.default_rng(20)
    # The average number of neighbours within the cutoff (a sphere of radius 1 has the volume 4.19),
    # the width in particles, and whether the system is longer than the graphs reach.
    for neighbours, width, long in (
        (2.0, 3, False),
        (8.0, 3, False),
        (20.0, 3, False),
        (8.0, 2, True),
        (20.0, 3, True),
    ):
        spacing = cutoff * (4.19 / neighbours) ** (1 / 3)
        length = math.ceil((n_layers + 1.5) * cutoff / spacing) + 1 if long else 4
        axes = map(np.arange, (width, width, length))
        grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
        # A jittered grid, so that no two particles are too near each other.
        points = (grid + random.uniform(-0.2, 0.2, grid.shape)) * spacing
        far_away = 1000.0 * cutoff + np.arange(3.0)[:, None] * 10.0 * cutoff * np.ones(3)
        coordinates = np.concatenate([points, far_away])
        distances = np.linalg.norm(coordinates[:, None] - coordinates[None, :], axis=2)
        np.fill_diagonal(distances, np.inf)
        rows = [np.flatnonzero(row < cutoff) for row in distances]
        by_length = np.argsort(points[:, 2])
        chosen = (
            [by_length[:5]]
            if long
            else [by_length, random.permutation(len(points))[:5]]  # all, and few
        )
        for contributes in chosen:
            contributing = np.zeros(len(coordinates), dtype=np.intp)
            contributing[contributes] = 1
            yield _Configuration(
                species=random.integers(n_elements, size=len(coordinates)),
                coordinates=coordinates,
                contributing=contributing,
                n_neighbours=np.array([len(row) for row in rows]),
                neighbours=np.concatenate(rows),
            )


def _equal(expected: Sequence[Result], found: Sequence[Result], tolerance: float) -> bool:
    for one, other in zip(expected, found, strict=True):
        assert one.forces is not None
        assert other.forces is not None
        for a, b in (
            (np.array([one.energy]), np.array([other.energy])),
            (one.forces, other.forces),
        ):
            if np.abs(a - b).max() > tolerance * max(float(np.abs(a).max()), 1e-3):
                return False
    return True


def answered(request: Mapping[str, Any]) -> list[str]:
    """Answers a request (see _requests): the settings of ``model``, a portable model."""
    return find_settings(parameter_file_of(Path(request["model"])))


def main() -> int:
    """Prints the settings, one per line. Returns 0; 1 if the model fails; 3 if this machine or its
    torch is at fault, so that the model may run elsewhere."""
    parser = argparse.ArgumentParser(
        prog="python -m torchml_driver.graph_settings", description=__doc__.split("\n", 1)[0]
    )
    parser.add_argument("model", type=Path, help="portable-model folder or its *.param file")
    model = parser.parse_args().model
    try:
        settings = find_settings(parameter_file_of(model))
    except Error as error:
        print(f"error: {error}", file=sys.stderr)
        return 3 if isinstance(error, ErrorHere) else 1
    for setting in settings:
        print(setting)
    return 0


if __name__ == "__main__":
    sys.exit(serve(answered) if is_request() else main())
