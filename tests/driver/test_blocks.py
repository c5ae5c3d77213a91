"""Models divided into parts that take edges and particles block by block compute what they did."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

pytestmark = pytest.mark.usefixtures("driver_environment")

CUTOFF = 3.0

Sum = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


def index_add(h: torch.Tensor, receiver: torch.Tensor, message: torch.Tensor) -> torch.Tensor:
    return torch.zeros_like(h).index_add(0, receiver, message)


def scatter_add(h: torch.Tensor, receiver: torch.Tensor, message: torch.Tensor) -> torch.Tensor:
    spread = receiver.unsqueeze(1).expand_as(message)
    return torch.zeros_like(h).scatter_add_(0, spread, message)


def onto_itself(h: torch.Tensor, receiver: torch.Tensor, message: torch.Tensor) -> torch.Tensor:
    return h.index_add(0, receiver, message)


def put(h: torch.Tensor, receiver: torch.Tensor, message: torch.Tensor) -> torch.Tensor:
    return torch.zeros_like(h).index_put((receiver,), message, accumulate=True)


class Network(torch.nn.Module):
    """Two rounds of messages, summed up by one of the functions above."""

    def __init__(self, sum_up: Sum = index_add, by_brackets: bool = False) -> None:
        super().__init__()
        self.sum_up = sum_up
        self.by_brackets = by_brackets
        self.start = torch.nn.Embedding(2, 6, dtype=torch.float64)
        self.filter = torch.nn.Linear(1, 6, dtype=torch.float64)
        self.mix = torch.nn.Linear(6, 6, dtype=torch.float64)

    def rows(self, table: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        return table[index] if self.by_brackets else table.index_select(0, index)

    def forward(self, species, coords, graph_layer1, graph_layer2, contributing):  # type: ignore[no-untyped-def]
        h = self.start(species)
        for edges in (graph_layer2, graph_layer1):
            vectors = self.rows(coords, edges[1]) - self.rows(coords, edges[0])
            x = vectors.square().sum(1, keepdim=True) / CUTOFF**2
            weight = self.filter((1.0 - x).clamp(min=0.0) ** 3)
            h = h + torch.tanh(self.sum_up(h, edges[0], weight * self.rows(self.mix(h), edges[1])))
        return (h * h).sum(1) * (1 - contributing)


class Directions(Network):
    """Tensors with several axes per edge, put together and multiplied."""

    def forward(self, species, coords, graph_layer1, graph_layer2, contributing):  # type: ignore[no-untyped-def]
        h = self.start(species)
        receiver, sender = graph_layer1.unbind(0)
        vectors = coords[sender] - coords[receiver]
        r = vectors.norm(dim=1, keepdim=True)
        features = torch.cat([vectors, *torch.cat([r, r * r], 1).chunk(2, 1)], 1)
        features = features.sort(1)[0][:, :4]
        outer = torch.bmm(features.unsqueeze(2), features.unsqueeze(1)).view(-1, 16)
        weight = torch.softmax(outer, 1)[:, :6] * (1.0 - r / CUTOFF).clamp(min=0.0) ** 2
        h = h + index_add(h, receiver, weight * h[sender])
        return (h * h).sum(1) * (1 - contributing) + 0.0 * graph_layer2.sum()


class Attention(Network):
    """Divides by a sum over all edges: the rows before and after it are in different parts."""

    def forward(self, species, coords, graph_layer1, graph_layer2, contributing):  # type: ignore[no-untyped-def]
        h = self.start(species)
        vectors = coords[graph_layer2[1]] - coords[graph_layer2[0]]
        weight = torch.exp(-vectors.square().sum(1, keepdim=True))
        total = weight.new_zeros(h.size(0), 1).index_add(0, graph_layer2[0], weight) + 1.0
        share = weight / total[graph_layer2[0]] / (weight.mean() + 1.0)
        h = h + index_add(h, graph_layer2[0], share * self.mix(h)[graph_layer2[1]])
        return (h * h).sum(1) * (1 - contributing)


MODELS: dict[str, Callable[[], torch.nn.Module]] = {
    "index_add": Network,
    "scatter_add": lambda: Network(scatter_add),
    "index_put": lambda: Network(put, by_brackets=True),
    "sums onto a tensor": lambda: Network(onto_itself),
    "several axes": Directions,
    "sums over all edges": Attention,
}


def maker() -> Any:
    """Of systems as the driver hands them over."""
    from torchml_driver.compile import systems

    return systems.SystemMaker("graph", 2, 0, CUTOFF, [0, 1], torch.float64, "cpu")


def convention() -> Any:
    from torchml_driver.compile import systems

    return systems.convention("graph", 2, 0, torch.float64)


def run(
    found: Any, inputs: tuple[torch.Tensor, ...], block: int | None = None, **other: Any
) -> Any:
    """By the engine, in blocks of so many rows at most."""
    from torchml_driver.compile import package

    code, called = other.get("code", found.code), other.get("called") or convention()
    return package.run_plan(found.plan, code, called, inputs, block or package.WHOLE)


def divided(model: torch.nn.Module, **options: bool) -> tuple[Callable[..., Any], Any]:
    """What the model computes, and the same in parts: energies and the gradient."""
    from torchml_driver.compile import blocks, trace

    called = convention()
    torch.manual_seed(1)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter).requires_grad_(False)
    function = trace.functions(model, called, False)["energies_and_gradient"]
    program = trace.export(function, called, maker().example())
    found = blocks.divided(program, called, "entry", **options)
    assert found is not None
    return function, found


@pytest.mark.parametrize("name", MODELS)
def test_energies_and_gradients_are_those_of_the_whole_model(name: str) -> None:
    function, found = divided(MODELS[name]())
    for words, inputs in maker().systems():
        expected = function(*inputs)
        if not all(tensor.isfinite().all() for tensor in expected):
            continue
        for block in (None, 5):
            results = run(found, inputs, block)
            for one, other in zip(results, expected, strict=True):
                torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12, msg=words)


def test_no_part_of_message_passing_takes_all_edges_at_once() -> None:
    _, found = divided(Network())
    plan = found.plan
    assert all(part.block for part in plan.parts())


def rows_computed(found: Any, inputs: tuple[torch.Tensor, ...]) -> list[int]:
    """By each part that takes species or contributions, in their order."""
    seen: dict[str, int] = {}

    def noting(part: Any) -> Callable[..., tuple[torch.Tensor, ...]]:
        own = [place for place, one in enumerate(part.inputs) if one.value in (0, 4)]

        def run_part(*arguments: torch.Tensor) -> tuple[torch.Tensor, ...]:
            for place in own[:1]:
                seen[part.name] = seen.get(part.name, 0) + arguments[place].size(0)
            return found.code[part.name](*arguments)

        return run_part

    run(found, inputs, code={part.name: noting(part) for part in found.plan.parts()})
    return list(seen.values())


def rings(inputs: tuple[torch.Tensor, ...]) -> list[int]:
    """How many particles up to the first, the second, ... ring come first."""
    reached = 1 - inputs[-1]
    ends = []
    for layer in (None, inputs[2], inputs[3]):
        if layer is not None:
            reached = reached.index_fill(0, layer.flatten(), 1)
        ends.append(int(reached.nonzero().max()) + 1)
    return ends


def test_outer_particles_take_part_in_outer_layers_only() -> None:
    _, found = divided(Network())
    (inputs,) = (inputs for words, inputs in maker().systems() if words.startswith("48"))
    own, inner, outer = rings(inputs)
    assert own < inner < outer
    rows = rows_computed(found, inputs)
    # What the outer layer, the inner one and the energies need; the gradients in between.
    assert rows == [outer, inner, own, inner, own]


def test_all_particles_take_part_where_rings_are_not_told_apart() -> None:
    _, found = divided(Network(), rings=False)
    (inputs,) = (inputs for words, inputs in maker().systems() if words.startswith("48"))
    assert set(rows_computed(found, inputs)) == {inputs[0].size(0)}


@pytest.mark.parametrize("name", ["index_add", "index_put", "sums onto a tensor"])
def test_particles_in_any_order_are_all_right(name: str) -> None:
    function, found = divided(MODELS[name]())
    for words, inputs in maker().systems():
        n = inputs[0].size(0)
        order = torch.randperm(n, generator=torch.Generator().manual_seed(n))
        place = order.argsort()
        species, coords, *layers, contributing = inputs
        turned = (species[order], coords[order], *(place[one] for one in layers))
        inputs = (*turned, contributing[order])
        results = run(found, inputs)
        for one, other in zip(results, function(*inputs), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12, msg=words)


def test_products_are_not_computed_twice() -> None:
    _, found = divided(Network())
    products = [
        node
        for module in found.code.values()
        for node in module.graph.nodes
        if node.target in (torch.ops.aten.mm.default, torch.ops.aten.linear.default)
        or node.target is torch.ops.aten.addmm.default
    ]
    # By round: the filter and the mixing, and the gradient of each by what it is applied to.
    assert len(products) <= 8


def test_wide_rows_come_in_smaller_blocks() -> None:
    class Wide(Network):
        def __init__(self) -> None:
            super().__init__()
            self.start = torch.nn.Embedding(2, 600, dtype=torch.float64)
            self.filter = torch.nn.Linear(1, 600, dtype=torch.float64)
            self.mix = torch.nn.Linear(600, 600, dtype=torch.float64)

    def smallest(found: Any) -> int:
        return min(part.block for part in found.plan.parts())

    assert smallest(divided(Wide())[1]) == 128
    assert smallest(divided(Network())[1]) == 8192


def test_a_descriptor_model_is_one_part() -> None:
    from torchml_driver.compile import blocks, systems, trace

    called = systems.convention("descriptor", 0, 5, torch.float64)
    made = systems.SystemMaker("descriptor", 0, 5, CUTOFF, [0], torch.float64, "cpu")
    layers = (torch.nn.Linear(5, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
    model = torch.nn.Sequential(*layers).double().requires_grad_(False)
    function = trace.functions(model, called, False)["energies_and_gradient"]
    found = blocks.divided(trace.export(function, called, made.example()), called, "entry")
    assert found is not None
    assert len(found.plan.parts()) == 1
    for words, inputs in made.systems():
        results = run(found, inputs, 4, called=called)
        for one, other in zip(results, function(*inputs), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12, msg=words)
