"""Models on edges that return forces, or the gradient by edge_vectors, give what the same model
gives without."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms

from tests.driver.test_edges import SYSTEMS, compute, mixed
from tests.driver.test_folding import codes_of, hand_over
from tests.support import ROOT
from tests.support.edge_models import (
    CUTOFF,
    LAYERS,
    Directional,
    Expected,
    WithEdgeGradient,
    WithForces,
    on_a_periodic_graph,
    write_edge_model,
)
from tests.support.structures import strained_triclinic_crystal
from tests.support.torch_models import torchscript

pytestmark = [pytest.mark.usefixtures("driver_environment"), pytest.mark.sanitize]

GRADIENT = "returns_edge_gradient True"
#: A model, and the settings of its parameter file.
KINDS: Mapping[str, tuple[Any, str]] = {
    "forces": (WithForces, ""),
    "gradient": (WithEdgeGradient, GRADIENT),
}
MODES = ("auto", "fold", "stage")


def load(folder: Path, kind: str) -> Any:
    import torchml_driver

    module, settings = KINDS[kind]
    return torchml_driver.Potential(
        write_edge_model(folder, module(), returns_forces=True, settings=settings)
    )


def assert_equal(result: Any, expected: Expected, *names: str) -> None:
    assert result.energy == pytest.approx(expected.energy, abs=1e-10)
    for name in names:
        np.testing.assert_allclose(
            getattr(result, name), getattr(expected, name), rtol=0, atol=1e-10, err_msg=name
        )


@pytest.mark.parametrize("name", ["skewed", "slab", "cluster", "perfect_crystal", "no_pairs"])
@pytest.mark.parametrize("mode", MODES)
def test_in_python_everything_is_as_without(
    tmp_path: Path, mode: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KIM_MODEL_GHOSTS", mode)
    atoms = mixed(SYSTEMS[name]())
    expected = on_a_periodic_graph(Directional(), atoms)
    names = ("forces", "virial", "particle_energies")
    given = {"particle_energies": True}
    assert_equal(compute(load(tmp_path / "forces", "forces"), atoms, **given), expected, *names)
    potential = load(tmp_path / "gradient", "gradient")
    result = compute(potential, atoms, particle_virials=True, **given)
    assert_equal(result, expected, *names, "particle_virials")


def handed(atoms: Atoms, mode: str) -> Any:
    reach = (1 if mode == "fold" else LAYERS) * CUTOFF
    return hand_over(atoms, reach + 0.5, CUTOFF + 0.5, np.random.default_rng(3))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", KINDS)
def test_images_that_are_particles_change_nothing(
    tmp_path: Path, kind: str, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KIM_MODEL_GHOSTS", mode)
    potential = load(tmp_path, kind)
    atoms = mixed(strained_triclinic_crystal())
    expected = on_a_periodic_graph(Directional(), atoms)
    system = handed(atoms, mode)
    if kind == "forces" and mode == "fold":  # forces alone cannot be asked for here
        from torchml_driver import NotDefinedError

        with pytest.raises(NotDefinedError, match=r"virial.*KIM_MODEL_GHOSTS=auto.*edge-gradient"):
            system.compute(potential, codes_of(atoms))
        result = system.compute(potential, codes_of(atoms), forces=False)
        assert result.energy == pytest.approx(expected.energy, abs=1e-10)
        return
    particle_virials = kind == "gradient"
    assert potential.defines_particle_virials is particle_virials
    result = system.compute(potential, codes_of(atoms), particle_virials=particle_virials)
    assert result.energy == pytest.approx(expected.energy, abs=1e-10)
    forces = system.on_atoms(result.forces)
    np.testing.assert_allclose(forces, expected.forces, rtol=0, atol=1e-10)
    np.testing.assert_allclose(result.virial, expected.virial, rtol=0, atol=1e-9)
    if particle_virials:
        parts = system.on_atoms(result.particle_virials)
        np.testing.assert_allclose(parts, expected.particle_virials, rtol=0, atol=1e-10)
    folded = kind == "gradient" and mode != "stage"
    assert potential.graph.mode == ("folded" if folded else "staged")
    if kind == "forces" and mode == "auto":
        assert "returns forces on nodes" in potential.graph.reason


def test_forces_and_virial_are_derivatives_of_the_energy(
    tmp_path: Path,
) -> None:
    atoms = mixed(strained_triclinic_crystal())
    for kind in KINDS:
        potential = load(tmp_path / kind, kind)
        result = compute(potential, atoms)
        step = 1e-5
        for atom, axis in [(0, 0), (5, 2)]:
            energies = []
            for sign in (1, -1):
                moved = atoms.copy()
                moved.positions[atom, axis] += sign * step
                energies.append(compute(potential, moved, forces=False).energy)
            slope = (energies[0] - energies[1]) / (2 * step)
            assert result.forces[atom, axis] == pytest.approx(-slope, abs=1e-6)
        energies = []
        for sign in (1, -1):
            strain = np.eye(3)
            strain[0, 1] += sign * step / 2
            strain[1, 0] += sign * step / 2
            strained = atoms.copy()
            strained.set_cell(atoms.cell.array @ strain, scale_atoms=True)
            energies.append(compute(potential, strained, forces=False).energy)
        slope = (energies[0] - energies[1]) / (2 * step)
        assert result.virial[5] == pytest.approx(slope, abs=1e-5 * np.abs(result.virial).max())


def test_particle_virials_of_forces_on_nodes_are_refused(tmp_path: Path) -> None:
    from torchml_driver import NotDefinedError

    with pytest.raises(NotDefinedError, match="particle virials were requested"):
        compute(load(tmp_path, "forces"), mixed(SYSTEMS["cluster"]()), particle_virials=True)


@pytest.mark.parametrize(
    ("kind", "other", "says"),
    [
        ("forces", "gradient", r"edge gradient of shape .* set returns_edge_gradient to False"),
        ("gradient", "forces", r"a row for each edge.* --returns-edge-gradient"),
    ],
)
def test_one_is_not_taken_for_the_other(tmp_path: Path, kind: str, other: str, says: str) -> None:
    import torchml_driver

    module, settings = KINDS[kind][0], KINDS[other][1]
    folder = write_edge_model(tmp_path, module(), returns_forces=True, settings=settings)
    with pytest.raises(torchml_driver.Error, match=says):
        compute(torchml_driver.Potential(folder), mixed(SYSTEMS["cluster"]()))


@pytest.mark.parametrize("kind", KINDS)
def test_as_many_edges_as_nodes_leave_no_doubt(tmp_path: Path, kind: str) -> None:
    atoms = Atoms("SiC", [[0, 0, 0], [1.7, 0.3, 0.2]])  # two of each
    expected = on_a_periodic_graph(Directional(), atoms)
    assert_equal(compute(load(tmp_path, kind), atoms), expected, "forces", "virial")


def installer(*words: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "torchml_installer", "model", *words]
    return subprocess.run(program, capture_output=True, text=True, check=False, cwd=ROOT)


@pytest.mark.parametrize("kind", KINDS)
def test_pack_checks_it_and_inspect_shows_it(tmp_path: Path, kind: str) -> None:
    (tmp_path / "M.pt").write_bytes(torchscript(KINDS[kind][0]()))
    options = {"forces": "--returns-forces", "gradient": "--returns-edge-gradient"}
    kinds = [option for name, option in options.items() if name != kind]
    common = (
        *("pack", str(tmp_path / "M.pt"), "--elements", "Si,C", "--cutoff", str(CUTOFF)),
        *("--pattern", "edges", "--layers", str(LAYERS), "--output", str(tmp_path / "packed")),
    )
    refused = installer(*common, *kinds, "--json")
    assert refused.returncode != 0
    packed = installer(*common, options[kind], "--json")
    assert packed.returncode == 0, packed.stderr
    facts = json.loads(packed.stdout)
    assert (facts["returns_forces"], facts["returns_edge_gradient"]) == (True, kind == "gradient")
    shown = installer("inspect", facts["folder"]).stdout
    second = {"forces": "forces", "gradient": "gradient by edges"}[kind]
    assert f"energies and {second}" in shown
    verified = installer("verify", facts["folder"])
    assert verified.returncode == 0, verified.stdout


def test_single_precision_gradients_are_converted(tmp_path: Path) -> None:
    import torchml_driver

    atoms = mixed(strained_triclinic_crystal())
    model = WithEdgeGradient(dtype=torch.float32)
    folder = write_edge_model(tmp_path, model, returns_forces=True, settings=GRADIENT)
    result = compute(torchml_driver.Potential(folder), atoms, particle_virials=True)
    expected = on_a_periodic_graph(Directional(), atoms)
    scale = np.abs(expected.forces).max()
    np.testing.assert_allclose(result.forces, expected.forces, rtol=0, atol=1e-4 * scale)
