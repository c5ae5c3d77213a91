"""Every problem raises a torchml_driver.Error that names it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.descriptor_models import TanhNetwork, write_descriptor_model
from tests.support.edge_models import Directional, write_edge_model
from tests.support.graph_models import Messages
from tests.support.torch_models import (
    Complains,
    EnergyWithoutGradient,
    NotFinite,
    OtherArguments,
    Springs,
    WrongForcesShape,
    WrongShape,
    parameter_text,
    torchscript,
    write_model,
)

pytestmark = pytest.mark.usefixtures("in_collection")

SOUND = parameter_text("model.pt")


def error(action: Callable[[], Any]) -> str:
    import torchml_driver

    with pytest.raises(torchml_driver.Error) as caught:
        action()
    return str(caught.value)


def load(folder: Path) -> Any:
    import torchml_driver

    return torchml_driver.Potential(folder)


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        (b"", "empty"),
        (b"\n# only a comment\n", "ends before"),
        (SOUND[:70].encode(), "ends before"),
        (bytes(range(256)), "not a text file"),
        (parameter_text("model.pt", cutoff=-1.0).encode(), "cutoff"),
        (parameter_text("model.pt", cutoff=0).encode(), "cutoff"),
        (parameter_text("model.pt", cutoff="nan").encode(), "cutoff"),
        (parameter_text("model.pt", elements="1\nSI").encode(), "did you mean 'Si'"),
        (parameter_text("model.pt", elements="2\nSi Si").encode(), "twice"),
        (parameter_text("model.pt", preprocessing="Magic").encode(), "Magic"),
        (SOUND.replace("False", "Perhaps").encode(), "Perhaps"),
        (SOUND.replace("model.pt", "other.pt").encode(), "other.pt"),
    ],
)
def test_a_parameter_file_that_makes_no_sense(parameters: bytes, says: str, tmp_path: Path) -> None:
    write_model(tmp_path, Springs())
    (tmp_path / "model.param").write_bytes(parameters)
    message = error(lambda: load(tmp_path))
    assert "model.param" in message
    assert says in message


def test_a_folder_that_is_not_there_or_holds_no_model(tmp_path: Path) -> None:
    assert "nowhere" in error(lambda: load(tmp_path / "nowhere"))
    assert "*.param" in error(lambda: load(tmp_path))


@pytest.mark.parametrize(
    ("contents", "says"),
    [
        (b"", "empty"),
        (b"hello\n" * 50, "TorchScript"),
        (torchscript(Springs())[:1500], "TorchScript"),
    ],
    ids=["empty", "text", "truncated"],
)
def test_a_model_file_that_is_not_torchscript(contents: bytes, says: str, tmp_path: Path) -> None:
    write_model(tmp_path, Springs())
    (tmp_path / "model.pt").write_bytes(contents)
    message = error(lambda: load(tmp_path))
    assert "model.pt" in message
    assert says in message


def test_a_model_file_that_is_missing(tmp_path: Path) -> None:
    write_model(tmp_path, Springs())
    (tmp_path / "model.pt").unlink()
    assert "model.pt" in error(lambda: load(tmp_path))


def test_a_model_that_takes_other_arguments(tmp_path: Path) -> None:
    message = error(lambda: load(write_model(tmp_path, OtherArguments())))
    for word in ("model.pt", "positions", "n_neigh"):
        assert word in message


@pytest.mark.parametrize(
    ("module", "returns_forces", "says"),
    [
        (Complains, False, "this model never works"),
        (WrongShape, False, "shape"),
        (NotFinite, False, "not finite"),
        (EnergyWithoutGradient, False, "autograd"),
        (WrongForcesShape, True, "shape"),
        (Springs, True, "forces"),
    ],
)
def test_a_model_that_fails_at_work(
    module: type, returns_forces: bool, says: str, tmp_path: Path
) -> None:
    potential = load(write_model(tmp_path, module(), returns_forces=returns_forces))
    pair = [[0, 0, 0], [2, 0, 0]]
    assert says in error(lambda: potential.compute(["Si", "Si"], pair))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"species": ["Si"], "coordinates": [[0, 0, 0], [2, 0, 0]]}, ""),
        ({"species": ["Si"], "coordinates": [[0, 0]]}, "shape"),
        ({"species": ["C"], "coordinates": [[0, 0, 0]]}, "particle 0 is C, which"),
        ({"species": [6], "coordinates": [[0, 0, 0]]}, "particle 0 is C, which"),
        ({"species": ["Si"], "coordinates": [[0, 0, np.nan]]}, "finite"),
        ({"species": ["Si"], "coordinates": [[0, 0, 0]], "pbc": True}, "cell"),
        ({"species": ["Si"], "coordinates": [[0, 0, 0]], "cell": np.eye(2), "pbc": True}, "cell"),
        (
            {"species": ["Si"], "coordinates": [[0, 0, 0]], "cell": np.zeros((3, 3)), "pbc": True},
            "cell",
        ),
    ],
)
def test_arguments_that_do_not_fit(arguments: dict[str, Any], says: str, tmp_path: Path) -> None:
    potential = load(write_model(tmp_path, Springs()))
    assert says in error(lambda: potential.compute(**arguments))
    # It still works afterwards.
    assert potential.compute(["Si"], [[0, 0, 0]]).energy == 0.0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"nlist": [1, 5]}, "5"),
        ({"nlist": [1, -1]}, "-1"),
        ({"nlist": [1]}, "n_neigh"),
        ({"n_neigh": [1, 1, 1]}, "n_neigh"),
        ({"n_neigh": [3, -1]}, "n_neigh"),
        ({"codes": [0, 4]}, "4"),
        ({"contributing": [1]}, "contributing"),
        ({"n_neigh": [1.0, 1.0]}, "n_neigh"),
        ({"nlist": [0, 0]}, "names that particle itself"),
        ({"n_neigh": [2, 0], "nlist": [1, 1]}, "has 2 entries; there are 2 particles"),
        ({"coordinates": [[0, 0, 0], [2.0, np.nan, 0]]}, "particle 1 is at (2, nan, 0)"),
        ({"coordinates": [[-np.inf, 0, 0], [2.0, 0, 0]]}, "particle 0 is at (-inf, 0, 0)"),
    ],
)
def test_neighbour_lists_that_do_not_fit(change: dict[str, Any], says: str, tmp_path: Path) -> None:
    potential = load(write_model(tmp_path, Springs()))
    sound: dict[str, Any] = {
        "codes": [0, 0],
        "coordinates": [[0, 0, 0], [2.0, 0, 0]],
        "contributing": [1, 1],
        "n_neigh": [1, 1],
        "nlist": [1, 0],
    }
    assert potential.compute_particles(**sound).energy > 0.0
    assert says in error(lambda: potential.compute_particles(**{**sound, **change}))


@pytest.mark.parametrize("kind", ["neighbours", "graphs", "edges", "descriptors"])
def test_a_ghost_nowhere_is_an_error_of_every_kind_of_model(kind: str, tmp_path: Path) -> None:
    """Comparisons with nan are false: such a particle would just have no neighbours."""
    if kind == "neighbours":
        folder = write_model(tmp_path, Springs())
    elif kind == "graphs":
        folder = write_model(tmp_path, Messages(2), preprocessing="Graph", cutoff="3.0\n3")
    elif kind == "edges":
        folder = write_edge_model(tmp_path, Directional())
    else:
        folder = write_descriptor_model(tmp_path, TanhNetwork(15), "every_kind")
    potential = load(folder)
    lists = {"contributing": [1, 1, 0], "n_neigh": [1, 1, 0], "nlist": [1, 0]}
    places = np.array([[0, 0, 0], [2.0, 0, 0], [0, 5.0, 0]])
    assert np.isfinite(potential.compute_particles([0, 0, 0], places, **lists).energy)
    places[2, 1] = np.nan
    says = error(lambda: potential.compute_particles([0, 0, 0], places, **lists))
    assert "particle 2 is at (0, nan, 0)" in says


def test_images_farther_away_than_can_be_counted(tmp_path: Path) -> None:
    core = load(write_model(tmp_path, Springs()))._core
    shifts = np.array([[2**31 - 1, 0, 0]], dtype=np.int32)
    pairs = np.zeros((1, 2), dtype=np.int64)
    arrays = ([0], [[0, 0, 0]], np.eye(3), pairs, shifts)
    assert "2147483647 cells away" in error(
        lambda: core.compute_periodic(*arrays, True, False, False)
    )


def test_no_particles_at_all_have_no_energy(tmp_path: Path) -> None:
    potential = load(write_model(tmp_path, Springs()))
    result = potential.compute([], np.zeros((0, 3)))
    assert result.energy == 0.0
    assert result.forces.shape == (0, 3)
