"""What libraries' models are made of is divided into parts that take blocks of rows, and gives the
same results: products with several rows for each, copies into empty tensors, weights cut out of one
vector, indices computed on the way."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.support.edge_models import CUTOFF

pytestmark = pytest.mark.usefixtures("driver_environment")

LAYERS = 2


class Base(torch.nn.Module):
    """Layers of messages, which `message` makes of a node's features and an edge's vector."""

    def __init__(self) -> None:
        super().__init__()
        random = torch.Generator().manual_seed(1)
        weights = 0.3 * torch.randn(400, generator=random, dtype=torch.float64)
        self.weights = torch.nn.Parameter(weights, requires_grad=False)

    def ends(self, edge_index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return edge_index[0], edge_index[1]

    def message(self, features: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
        return features * (vectors * vectors).sum(1, keepdim=True)

    def add(
        self, messages: torch.Tensor, receivers: torch.Tensor, nodes: torch.Tensor
    ) -> torch.Tensor:
        return torch.zeros_like(nodes).index_add(0, receivers, messages)

    def update(self, nodes: torch.Tensor) -> torch.Tensor:
        return nodes.tanh()

    def forward(
        self,
        species: torch.Tensor,
        edge_index: torch.Tensor,
        edge_vectors: torch.Tensor,
        contributing: torch.Tensor,
    ) -> torch.Tensor:
        receivers, senders = self.ends(edge_index)
        nodes = self.weights[:24].view(2, 12).index_select(0, species)
        for _ in range(LAYERS):
            messages = self.message(nodes.index_select(0, senders), edge_vectors)
            nodes = self.update(nodes + self.add(messages, receivers, nodes))
        return nodes.sum(1) * contributing


class ComputedIndex(Base):
    """Two sums take the same index, which is not a row of the argument."""

    def ends(self, edge_index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        rolled = torch.roll(edge_index, 1, 0)
        return rolled[1], edge_index[1]


class CheapIndex(Base):
    """The same, of an index that each part could compute again."""

    def ends(self, edge_index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return edge_index[0] * 1 + 0, edge_index.flip(0)[0]


class SeveralRowsForEach(Base):
    """As e3nn has it: four rows of three features for each particle, in one axis."""

    def update(self, nodes: torch.Tensor) -> torch.Tensor:
        rows = nodes.view(-1, 3, 4).permute(0, 2, 1).reshape(-1, 3)
        mixed = 0.5 * torch.mm(rows, self.weights[24:33].view(3, 3))
        return mixed.view(-1, 4, 3).permute(0, 2, 1).reshape(-1, 12).tanh()


class SmallMatricesForEach(Base):
    """As MACE has it: products of several small matrices for each particle."""

    def update(self, nodes: torch.Tensor) -> torch.Tensor:
        matrices = nodes.reshape(-1, 2, 2)
        return torch.bmm(matrices, matrices.transpose(1, 2)).tanh().view(-1, 12)


class Scattered(Base):
    """As SevenNet has it: scatter_reduce, and pieces of a tensor copied into an empty one."""

    def add(
        self, messages: torch.Tensor, receivers: torch.Tensor, nodes: torch.Tensor
    ) -> torch.Tensor:
        index = receivers.view(-1, 1).expand_as(messages)
        return torch.zeros_like(nodes).scatter_reduce(0, index, messages, "sum")

    def update(self, nodes: torch.Tensor) -> torch.Tensor:
        made = torch.zeros_like(nodes)
        made[:, :5] = nodes[:, :5].tanh()
        made[:, 5:] = torch.nn.functional.softplus(nodes[:, 5:])
        return made


class ByNames(Base):
    """As SchNetPack and MACE have it: columns by name, and one column of each row."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("columns", torch.arange(12).flip(0))

    def update(self, nodes: torch.Tensor) -> torch.Tensor:
        rows = torch.arange(nodes.size(0))
        first = nodes[rows, torch.zeros_like(rows)]
        turned = nodes[:, self.columns] * torch.stack([first, first]).sum(0).unsqueeze(1)
        return torch.zeros_like(nodes).index_add(1, self.columns, turned.sin())


class Filtered(Base):
    """As most have it: a network of the distance gives the weights of messages."""

    def message(self, features: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
        squares = vectors.square().sum(1, keepdim=True)
        hidden = torch.mm(squares, self.weights[40:52].view(1, 12)).tanh()
        return features * torch.mm(hidden, self.weights[52:196].view(12, 12)).tanh()


MODELS = (
    Base,
    Filtered,
    ComputedIndex,
    CheapIndex,
    SeveralRowsForEach,
    SmallMatricesForEach,
    Scattered,
    ByNames,
)


def divided(model: torch.nn.Module) -> tuple[Any, Any, Any, Any]:
    """How the model is called, makers of systems, what it computes, and the same in parts."""
    from torchml_driver.compile import blocks, systems, trace

    called = systems.convention("edges", LAYERS, 1, torch.float64)
    maker = systems.SystemMaker("edges", LAYERS, 1, CUTOFF, [0, 1], torch.float64, "cpu")
    function = trace.functions(model, called, False)["energies_and_gradient"]
    program = trace.export(function, called, maker.example())
    return called, maker, function, blocks.divided(program, called, "energies_and_gradient")


@pytest.mark.parametrize("module", MODELS)
def test_all_parts_take_blocks_of_rows_and_give_what_the_model_gives(module: Any) -> None:
    from torchml_driver.compile import package

    called, maker, function, found = divided(module())
    assert found is not None
    whole = [part.name for part in found.plan.parts() if part.block == 0]
    assert len(whole) == (1 if module is ComputedIndex else 0), whole
    for words, inputs in maker.systems():
        expected = function(*inputs)
        for block in (7, 100_000):
            made = package.run_plan(found.plan, found.code, called, inputs, block)
            for one, other in zip(made, expected, strict=True):
                torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-11, msg=words)


@pytest.mark.parametrize("module", MODELS)
def test_no_part_makes_what_another_has_made(module: Any) -> None:
    *_, found = divided(module())
    made = [
        output.value
        for part in found.plan.parts()
        for output in part.outputs
        if output.added_at is None
    ]
    assert len(made) == len(set(made))
    for part in found.plan.parts():
        given = {one.value for one in part.inputs}
        assert not given & {one.value for one in part.outputs if one.added_at is None}, part.name


def test_the_last_part_reads_no_wide_tensors_of_all_layers() -> None:
    """What a layer adds to the gradient by edge vectors is computed where its tensors are."""
    *_, found = divided(Filtered())
    last = found.plan.parts()[-1]
    inputs = [node for node in found.code[last.name].graph.nodes if node.op == "placeholder"]
    width = {
        node.name: node.meta["val"].shape[1:].numel()
        for node, one in zip(inputs, last.inputs, strict=True)
        if one.split
    }
    # Vectors, ends, and what one layer has kept: two products of 12 columns.
    assert sum(width.values()) < 3 + 2 + 3 * 12, width


def test_what_depends_on_weights_alone_is_computed_once() -> None:
    *_, found = divided(SeveralRowsForEach())
    for name, module in found.code.items():
        for node in module.graph.nodes:
            constant = node.all_input_nodes and all(
                one.op == "get_attr" for one in node.all_input_nodes
            )
            # The layout for BLAS is a view.
            assert not constant or node.target is torch.ops.aten.permute.default, (name, node)
