"""`model compile --fold`: models on staged graphs become models on edges with the same results, or
are refused with what prevents it."""

from __future__ import annotations

import functools
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms

from tests.support import ROOT, compiled_models
from tests.support.compiled_models import compile_command
from tests.support.edge_models import edge_parameters
from tests.support.graph_models import (
    CUTOFF,
    LAYERS,
    CountsParticles,
    EveryonesEnergies,
    FailsWithoutEdges,
    FiveLayers,
    FiveLayersWithTheLargestBothWays,
    Messages,
    MessagesSummedByScattering,
    MessagesToSecondRow,
    MessagesWithForces,
    on_a_plain_graph,
    write_graph_model,
)
from tests.support.operator_models import edit_code
from tests.support.structures import (
    STRUCTURES,
    cluster,
    primitive_cell,
    slab,
    strained_triclinic_crystal,
)
from torchml_installer.errors import BadOptionError, NotCompilableError
from torchml_installer.models.compile import CompiledModel

pytestmark = pytest.mark.usefixtures("driver_environment")

ELEMENTS = ["Si", "C"]
TwoElements = functools.partial(Messages, elements=2)


@pytest.fixture(autouse=True)
def _default_type_of_the_other_tests() -> Iterator[None]:
    before = torch.get_default_dtype()
    yield
    torch.set_default_dtype(before)


def staged(layers: int = LAYERS) -> tuple[Any, Any]:
    """How models on staged graphs are called, and a maker of systems for them."""
    from torchml_driver.compile import systems

    called = systems.convention("graph", layers, 1, torch.float64)
    maker = systems.SystemMaker("graph", layers, 1, CUTOFF, [0, 1], torch.float64, "cpu")
    return called, maker


def folded(model: torch.nn.Module, layers: int = LAYERS, returns_forces: bool = False) -> Any:
    from torchml_driver.compile import fold

    called, maker = staged(layers)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    return fold.folded(model, called, maker.example(), returns_forces)


def refusal(model: torch.nn.Module, layers: int = LAYERS) -> str:
    from torchml_driver.compile.failure import ModelError

    with pytest.raises(ModelError) as caught:
        folded(model, layers)
    assert caught.value.kind == "not_compilable"
    assert "without --fold" in str(caught.value.remedy)
    return caught.value.message


def refusal_of_tracing(model: torch.nn.Module) -> str:
    from torchml_driver.compile.failure import ModelError

    with pytest.raises(ModelError) as caught:
        folded(model)
    return caught.value.message


def script(model: torch.nn.Module, path: Path, frozen: bool = False) -> Any:
    """The model from a TorchScript file, as `model compile` reads it."""
    from torchml_driver.compile import scripted

    made = torch.jit.script(model.eval())
    torch.jit.save(torch.jit.freeze(made) if frozen else made, str(path))
    return scripted.load(path)


def mixed(atoms: Atoms) -> Atoms:
    atoms.symbols = np.random.default_rng(1).choice(ELEMENTS, len(atoms))
    return atoms


def on_edges(model: Any, atoms: Atoms) -> tuple[np.ndarray, np.ndarray]:
    """(energies or their sum, forces) of a model on edges, on the periodic graph."""
    from torchml_driver._neighbours import full_cell
    from torchml_driver.compile import both_ways

    codes = np.array([ELEMENTS.index(name) for name in atoms.get_chemical_symbols()])
    system = both_ways.Atoms(codes, atoms.positions, *full_cell(atoms.cell.array, atoms.pbc))
    species, edges, vectors, contributing = both_ways.on_edges(system, staged()[1])
    vectors.requires_grad_(True)
    energies = model(species, edges, vectors, contributing)
    (gradient,) = torch.autograd.grad(energies.sum(), vectors)
    forces = torch.zeros(len(atoms), 3, dtype=torch.float64)
    forces = forces.index_add(0, edges[0], gradient).index_add(0, edges[1], -gradient)
    return energies.detach().numpy(), forces.numpy()


class UsesSenderMinusReceiver(Messages):
    """Differences of coordinates in another unit, in another order, with another sign."""

    def forward(self, species, coords, graph_layer1, graph_layer2, graph_layer3, contributing):  # type: ignore[no-untyped-def]
        edges = [graph_layer1, graph_layer2, graph_layer3]
        other = -0.5 * coords
        vectors = [2.0 * (other[edge[1]] - other[edge[0]]) for edge in edges]
        energies = self.particle_energies(
            species, [edge[0] for edge in edges], [edge[1] for edge in edges], vectors
        )
        return torch.where(contributing == 0, energies, 0.0).sum()


class LargestForAll(Messages):
    """Takes the largest graph for all layers, as wrappers of other libraries' models do."""

    def forward(self, species, coords, graph_layer1, graph_layer2, graph_layer3, contributing):  # type: ignore[no-untyped-def]
        edges = [graph_layer3, graph_layer3, graph_layer3]
        return self.of_edges(species, coords, edges, 0) * (1 - contributing)


@pytest.mark.parametrize("kind", ["python", "torchscript", "frozen"])
@pytest.mark.parametrize(
    "module",
    [
        Messages,
        MessagesToSecondRow,
        MessagesSummedByScattering,
        MessagesWithForces,
        UsesSenderMinusReceiver,
        LargestForAll,
    ],
)
def test_a_folded_model_gives_what_one_periodic_graph_gives(
    module: type[Messages], kind: str, tmp_path: Path
) -> None:
    if kind == "frozen" and module is MessagesWithForces:
        pytest.skip("torch cannot freeze it")
    model = module(elements=2)
    source = model if kind == "python" else script(model, tmp_path / "m.pt", kind == "frozen")
    found = folded(source, returns_forces=module is MessagesWithForces)
    for make in (strained_triclinic_crystal, primitive_cell, slab, cluster):
        atoms = mixed(make())
        energies, forces = on_a_plain_graph(TwoElements(), atoms, ELEMENTS)
        ours, our_forces = on_edges(found, atoms)
        assert ours.sum() == pytest.approx(energies.sum(), rel=1e-12)
        np.testing.assert_allclose(our_forces, forces, rtol=0, atol=1e-11)


def test_receivers_are_in_the_first_row_whatever_the_model_has() -> None:
    """On several ranks, a graph of edges is complete for receivers alone."""
    for module in (Messages, MessagesToSecondRow):
        found = folded(module(elements=2))
        (sum_,) = {node.args[2] for node in found.graph.nodes if "index_add" in str(node.target)}
        assert sum_.args[1:] == (0, 0)


@pytest.mark.parametrize("module", [Messages, MessagesToSecondRow, LargestForAll])
def test_a_folded_model_works_with_images_as_nodes(module: type[Messages]) -> None:
    """As on several ranks: the graph has rings of ghosts, the last of which receive nothing."""
    from torchml_driver import inputs
    from torchml_driver._neighbours import find_pairs, full_cell
    from torchml_driver.compile import both_ways

    found = folded(module(elements=2))
    _, maker = staged()
    for make in (strained_triclinic_crystal, slab):
        atoms = mixed(make())
        codes = np.array([ELEMENTS.index(name) for name in atoms.get_chemical_symbols()])
        system = both_ways.Atoms(codes, atoms.positions, *full_cell(atoms.cell.array, atoms.pbc))
        (species, *_, flags), _, positions = both_ways.staged(system, maker)
        pairs, _ = find_pairs(positions, np.eye(3), np.zeros(3, dtype=bool), CUTOFF)
        n_neigh = np.bincount(pairs[:, 0], minlength=len(positions))
        particles = inputs.System(species, positions, 1 - flags, n_neigh, pairs[:, 1])
        tensors = inputs.model_inputs("edges", particles, cutoff=CUTOFF, layers=LAYERS)
        energies, _ = on_a_plain_graph(TwoElements(), atoms, ELEMENTS)
        assert found(*tensors.values()).sum().item() == pytest.approx(energies.sum(), rel=1e-12)


def test_speed_is_compared_with_the_edges_that_a_packed_model_gets() -> None:
    from torchml_driver.compile import both_ways

    _, maker = staged()
    atoms = both_ways.usual(CUTOFF, [0, 1])
    every, _, _ = both_ways.staged(atoms, maker)
    for module, row in ((Messages, 0), (MessagesToSecondRow, 1)):
        model = module(elements=2)
        assert folded(model).torchml_receiver_row == row
        least = both_ways.least_edges(every, row)
        assert [graph.size(1) for graph in least[2:5]] < [graph.size(1) for graph in every[2:5]]
        torch.testing.assert_close(model(*least), model(*every))


def test_layers_share_what_they_compute_from_the_same_vectors() -> None:
    targets = [str(node.target) for node in folded(TwoElements()).graph.nodes]
    assert targets.count("aten.clamp.default") == 1
    assert targets.count("aten.index_add.default") == LAYERS


def test_both_ways_agree_for_many_layers() -> None:
    from torchml_driver.compile import both_ways, trace

    called, maker = staged(5)
    model = FiveLayers(elements=2)
    original = trace.functions(model, called, False)["energies_and_gradient"]
    assert both_ways.compare(original, folded(model, 5), maker, False) < 1e-11


def test_a_difference_between_both_ways_is_an_error() -> None:
    from torchml_driver.compile import both_ways, trace
    from torchml_driver.compile.failure import ModelError

    called, maker = staged()
    other = TwoElements()
    other.mix = torch.nn.Parameter(other.mix * (1.0 + 1e-7))
    original = trace.functions(other, called, False)["energies_and_gradient"]
    with pytest.raises(ModelError, match=r"differs from the original by .* for a crystal"):
        both_ways.compare(original, folded(TwoElements()), maker, False)


def kliff_network(folder: Path) -> Any:
    """The network of tests/data/export_kliff_model.py, which needs KLIFF to run as a whole."""
    text = (ROOT / "tests/data/export_kliff_model.py").read_text()
    begin, end = text.index("class KliffNetwork"), text.index("def training_set")
    head = f"import torch\nfrom graph_network import GraphNetwork\nCUTOFF, LAYERS = {CUTOFF}, 2\n"
    (folder / "kliff_network.py").write_text(head + text[begin:end])
    sys.path[:0] = [str(folder), str(ROOT / "examples/graph_network")]
    try:
        from kliff_network import KliffNetwork

        torch.manual_seed(3)
        return KliffNetwork().double()
    finally:
        del sys.path[:2]
        sys.modules.pop("kliff_network")


def test_kliffs_sum_over_configurations_is_folded(tmp_path: Path) -> None:
    """Its size depends on the values of `contributing`."""
    from torchml_driver.compile import both_ways, trace

    called, maker = staged(2)
    maker = type(maker)(**{**vars(maker), "codes": [0]})
    scripted = script(kliff_network(tmp_path), tmp_path / "model.pt")
    original = trace.functions(scripted.original(), called, False)["energies_and_gradient"]
    assert both_ways.compare(original, folded(scripted, 2), maker, False) < 1e-10


def test_operators_of_torch_scatter_are_folded(tmp_path: Path) -> None:
    """Compared with the engine, which has its own operators."""
    from torchml_driver import Potential
    from torchml_driver.compile import scripted

    folder = write_graph_model(tmp_path / "model", Messages(elements=2), elements="Si C")

    def change(code: str) -> str:
        begin = code.find("torch.index_add(")
        if begin < 0:
            return code
        end = code.index("message)", begin) + len("message)")
        ours = "ops.torch_scatter.scatter_sum(message, receivers[layer], 0, None, torch.size(h, 0))"
        return code[:begin] + ours + code[end:]

    edited = edit_code(folder / "model.pt", tmp_path / "model.pt", change)
    shutil.copyfile(edited, folder / "model.pt")
    model = scripted.load(folder / "model.pt")
    assert model.original() is model
    found = folded(model)
    for make in (strained_triclinic_crystal, slab):
        atoms = mixed(make())
        result = Potential(folder).compute(
            atoms.get_chemical_symbols(), atoms.positions, atoms.cell.array, atoms.pbc
        )
        energies, forces = on_edges(found, atoms)
        assert energies.sum() == pytest.approx(result.energy, rel=1e-12)
        np.testing.assert_allclose(forces, result.forces, rtol=0, atol=1e-11)


def test_operators_on_sparse_matrices_are_told(tmp_path: Path) -> None:
    from torchml_driver.compile import scripted

    folder = write_graph_model(tmp_path / "model", Messages())

    def change(code: str) -> str:
        rows = "ops.torch_sparse.ptr2ind(torch.select(graph_layer1, 0, 0), 3)"
        return code.replace("[graph_layer1,", f"[torch.add(graph_layer1, {rows}),", 1)

    model = scripted.load(edit_code(folder / "model.pt", tmp_path / "model.pt", change))
    assert "uses torch_sparse::ptr2ind, which cannot be traced" in refusal_of_tracing(model)


class Absolute(Messages):
    """Depends on where the system is."""

    def forward(self, species, coords, graph_layer1, graph_layer2, graph_layer3, contributing):  # type: ignore[no-untyped-def]
        edges = [graph_layer1, graph_layer2, graph_layer3]
        height = coords[:, 2].cos()
        return height * self.of_edges(species, coords, edges, 0) * (1 - contributing)


class SmallestFirst(Messages):
    """Applies the graphs in the wrong order."""

    def forward(self, species, coords, graph_layer1, graph_layer2, graph_layer3, contributing):  # type: ignore[no-untyped-def]
        edges = [graph_layer3, graph_layer2, graph_layer1]
        return self.of_edges(species, coords, edges, 0) * (1 - contributing)


class BothEnds(Messages):
    """Sums messages at the senders in one layer, at the receivers in the others."""

    def forward(self, species, coords, graph_layer1, graph_layer2, graph_layer3, contributing):  # type: ignore[no-untyped-def]
        edges = [graph_layer1, graph_layer2, graph_layer3.flip(0)]
        return self.of_edges(species, coords, edges, 0) * (1 - contributing)


class MeansOverAll(Messages):
    """Subtracts a mean over particles, images among them."""

    def forward(self, species, coords, graph_layer1, graph_layer2, graph_layer3, contributing):  # type: ignore[no-untyped-def]
        edges = [graph_layer1, graph_layer2, graph_layer3]
        energies = self.of_edges(species, coords, edges, 0)
        return (energies - energies.mean(0)) * (1 - contributing)


class Marks(Messages):
    """Lets contributing particles send other messages than images."""

    def forward(self, species, coords, graph_layer1, graph_layer2, graph_layer3, contributing):  # type: ignore[no-untyped-def]
        edges = [graph_layer1, graph_layer2, graph_layer3]
        return self.of_edges(contributing, coords, edges, 0) * (1 - contributing)


@pytest.mark.parametrize(
    ("module", "words", "code"),
    [
        (Absolute, "uses coordinates other than in differences", "height = coords[:, 2].cos()"),
        (CountsParticles, "depends on the number of particles", "return scale * self.of_edges("),
        (FailsWithoutEdges, "uses edge lists other than to take or sum", "graph_layer1.max()"),
        (MeansOverAll, "mixes particles or edges with each other", "energies.mean(0)"),
        (SmallestFirst, "uses the graphs in another order", ""),
        (Marks, "passes messages", ""),
        (BothEnds, "uses edge lists other than", "graph_layer3.flip(0)"),
    ],
)
def test_what_prevents_folding_is_told_with_its_place(
    module: type[Messages], words: str, code: str, tmp_path: Path
) -> None:
    for model in (module(elements=2), script(module(elements=2), tmp_path / "model.pt")):
        message = refusal(model)
        assert message.startswith("The model cannot be folded: it ")
        assert words in message
        if code:
            assert Path(__file__).name in message or "graph_models.py, line" in message
    if code:
        assert code in refusal(module(elements=2))


def test_a_sum_over_everyones_energies_is_told_to_select_them() -> None:
    assert "multiply by (1 - contributing)" in refusal(EveryonesEnergies(True))
    folded(EveryonesEnergies(False))  # the driver selects them


def test_more_messages_than_graphs_are_told() -> None:
    message = refusal(FiveLayersWithTheLargestBothWays(elements=2), 5)
    assert "passes messages 6 times, with graphs for 5 layers" in message


def test_fold_is_for_staged_graphs(tmp_path: Path) -> None:
    words = ("--elements", "Si", "--cutoff", "3.0", "--fold", "--output", tmp_path / "m.pt2")
    done = compile_command("tests.support.graph_models:Messages", *words)
    assert done.returncode == BadOptionError.exit_code
    assert "--pattern is neighbours" in done.stderr


def test_the_command_refuses_what_cannot_be_folded(tmp_path: Path) -> None:
    done = compile_command(
        "tests.support.graph_models:CountsParticles",
        *("--elements", "Si", "--cutoff", "3.0", "--pattern", "graph", "--layers", "3", "--fold"),
        *("--output", tmp_path / "m.pt2"),
    )
    assert done.returncode == NotCompilableError.exit_code
    assert "it depends on the number of particles" in done.stderr
    assert "what to do: Compile it without --fold" in done.stderr
    assert not (tmp_path / "m.pt2").exists()


def test_results_say_that_a_model_can_be_folded_and_how_a_folded_one_is_packed() -> None:
    facts = {"speed_up": 3.0, "device": "cpu", "layers": 3, "foldable": True}
    staged_model = CompiledModel(Path("m.pt2"), {**facts, "folded": False})
    (hint,) = staged_model.hints()
    assert "--fold" in hint
    model = CompiledModel(Path("m.pt2"), {**facts, "folded": True})
    assert model.hints() == []
    assert "m.pt2 --pattern edges --layers 3" in model.next_step()
    assert model.speed() == [
        "3.0 times as fast as TorchScript on staged graphs "
        "(measured with a crystal of 64 atoms, one thread)"
    ]


@pytest.mark.slow
def test_a_folded_package_runs_as_a_model_on_edges(tmp_path: Path) -> None:
    from torchml_driver import Potential

    package = compiled_models.folded_messages()
    (tmp_path / "model.pt2").write_bytes(package.read_bytes())
    text = edge_parameters("model.pt2", elements="Si", cutoff=CUTOFF, layers=LAYERS)
    (tmp_path / "model.param").write_text(text)
    slow = write_graph_model(tmp_path / "slow", MessagesToSecondRow())
    for make in STRUCTURES.values():
        atoms = make()
        system = (atoms.get_chemical_symbols(), atoms.positions, atoms.cell.array, atoms.pbc)
        found, expected = Potential(tmp_path).compute(*system), Potential(slow).compute(*system)
        assert found.energy == pytest.approx(expected.energy, rel=1e-12, abs=1e-12)
        np.testing.assert_allclose(found.forces, expected.forces, rtol=0, atol=1e-11)
        np.testing.assert_allclose(found.virial, expected.virial, rtol=0, atol=1e-10)
