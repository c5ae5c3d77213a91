"""Models on edges as machine code: the same results, whole and in blocks of rows."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.support import compiled_models
from tests.support.edge_models import (
    CUTOFF,
    ELEMENTS,
    LAYERS,
    Continuous,
    Directional,
    PairsWithEdgeGradient,
    edge_parameters,
    on_a_periodic_graph,
)
from tests.support.handed_over import hand_over
from tests.support.structures import cluster, isolated_atom, slab, strained_triclinic_crystal

pytestmark = pytest.mark.usefixtures("driver_environment")


def divided(model: torch.nn.Module) -> tuple[Any, Any, Any, Any]:
    """How the model is called, makers of systems, what it computes, and the same in parts."""
    from torchml_driver.compile import blocks, systems, trace

    called = systems.convention("edges", LAYERS, 1, torch.float64)
    maker = systems.SystemMaker("edges", LAYERS, 1, CUTOFF, [0, 1], torch.float64, "cpu")
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    function = trace.functions(model, called, False)["energies_and_gradient"]
    program = trace.export(function, called, maker.example())
    return called, maker, function, blocks.divided(program, called, "energies_and_gradient")


@pytest.mark.parametrize("module", [Continuous, Directional])
@pytest.mark.parametrize("block", [7, 100, 100_000])
def test_blocks_of_edges_give_what_all_edges_give(module: Any, block: int) -> None:
    from torchml_driver.compile import package

    called, maker, function, found = divided(module())
    assert found is not None
    assert called.arguments == ("species", "edge_index", "edge_vectors", "contributing")
    assert called.sizes[1][1] == called.sizes[2][0]  # each edge has a vector
    for words, inputs in maker.systems():
        made = package.run_plan(found.plan, found.code, called, inputs, block)
        for one, other in zip(made, function(*inputs), strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-11, msg=words)


def test_the_example_to_trace_with_has_no_two_sizes_that_are_equal() -> None:
    from torchml_driver.compile import systems

    maker = systems.SystemMaker("edges", LAYERS, 1, CUTOFF, [0, 1], torch.float64, "cpu")
    species, edge_index, edge_vectors, contributing = maker.example()
    assert edge_index.shape == (2, len(edge_vectors))
    assert len({2, 3, len(species), len(edge_vectors)}) == 4
    assert len(contributing) == len(species)
    assert (edge_index[0].diff() >= 0).all()


def written(folder: Path) -> Path:
    folder.mkdir()
    shutil.copyfile(compiled_models.edges(), folder / "model.pt2")
    (folder / "model.param").write_text(edge_parameters("model.pt2"))
    return folder


@pytest.mark.slow
def test_a_compiled_model_gives_what_the_original_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchml_driver import Potential

    folder = written(tmp_path / "model")
    model = Directional()
    for mode in ("auto", "fold", "stage"):
        monkeypatch.setenv("KIM_MODEL_GHOSTS", mode)
        potential = Potential(folder)
        for make in (strained_triclinic_crystal, slab, cluster, isolated_atom):
            atoms = make()
            atoms.symbols = np.random.default_rng(1).choice(ELEMENTS, len(atoms))
            codes = np.array([ELEMENTS.index(name) for name in atoms.get_chemical_symbols()])
            expected = on_a_periodic_graph(model, atoms)
            reach = (1 if mode == "fold" else LAYERS) * CUTOFF
            system = hand_over(atoms, 1.1 * reach, 1.1 * CUTOFF, np.random.default_rng(3))
            result = system.compute(potential, codes, particle_virials=True)
            assert result.energy == pytest.approx(expected.energy, abs=1e-10)
            for name in ("forces", "particle_virials"):
                found = system.on_atoms(getattr(result, name))
                np.testing.assert_allclose(found, getattr(expected, name), rtol=0, atol=1e-9)
            result = potential.compute(
                atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc, particle_virials=True
            )
            np.testing.assert_allclose(result.forces, expected.forces, rtol=0, atol=1e-9)
            np.testing.assert_allclose(result.virial, expected.virial, rtol=0, atol=1e-9)


@pytest.mark.slow
def test_a_compiled_model_may_return_the_gradient(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchml_driver import Potential

    shutil.copyfile(compiled_models.edges_with_gradient(), tmp_path / "model.pt2")
    settings = "returns_edge_gradient True"
    text = edge_parameters("model.pt2", layers=2, returns_forces=True, settings=settings)
    (tmp_path / "model.param").write_text(text)
    for mode in ("auto", "fold", "stage"):
        monkeypatch.setenv("KIM_MODEL_GHOSTS", mode)
        potential = Potential(tmp_path)
        for make in (strained_triclinic_crystal, slab, cluster, isolated_atom):
            atoms = make()
            expected = on_a_periodic_graph(PairsWithEdgeGradient(), atoms)
            reach = (1 if mode == "fold" else 2) * CUTOFF
            system = hand_over(atoms, 1.1 * reach, 1.1 * CUTOFF, np.random.default_rng(3))
            codes = np.zeros(len(atoms), dtype=int)
            result = system.compute(potential, codes, particle_virials=True)
            assert result.energy == pytest.approx(expected.energy, abs=1e-10)
            for name in ("forces", "particle_virials"):
                found = system.on_atoms(getattr(result, name))
                np.testing.assert_allclose(found, getattr(expected, name), rtol=0, atol=1e-10)
