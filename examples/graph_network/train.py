"""Train the network of graph_network.py on a published potential's energies and forces of silicon.

The crystals are rattled and strained, some with a vacancy or surfaces (../silicon.py); it takes a
few minutes on one core.
"""

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import vesin
from ase import Atoms
from graph_network import GraphNetwork
from make_model import CUTOFF, LAYERS, network, write_model

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from silicon import reference_crystals
from weights import write_weights


@dataclass
class Graph:
    """One periodic configuration, or several side by side, with the reference results.

    edges: [2, edges], row 0 the receivers; offsets: [edges, 3], where the sender's image lies, to
    be added to its position; configuration: [atoms], which one an atom is of; energies:
    [configurations], eV; forces: [atoms, 3], eV/angstrom.
    """

    positions: torch.Tensor
    edges: torch.Tensor
    offsets: torch.Tensor
    configuration: torch.Tensor
    sizes: torch.Tensor
    energies: torch.Tensor
    forces: torch.Tensor

    @classmethod
    def of(cls, atoms: Atoms) -> "Graph":
        neighbours = vesin.NeighborList(cutoff=CUTOFF, full_list=True, sorted=True)
        i, j, shifts = neighbours.compute(
            atoms.positions, atoms.cell.array, atoms.pbc, quantities="ijS", copy=True
        )
        return cls(
            positions=torch.tensor(atoms.positions),
            edges=torch.tensor(np.stack([i, j]).astype(np.int64)),
            offsets=torch.tensor(shifts @ atoms.cell.array),
            configuration=torch.zeros(len(atoms), dtype=torch.int64),
            sizes=torch.tensor([len(atoms)]),
            energies=torch.tensor([atoms.get_potential_energy()], dtype=torch.float64),
            forces=torch.tensor(atoms.get_forces()),
        )

    @classmethod
    def side_by_side(cls, graphs: list["Graph"]) -> "Graph":
        """One graph of many without edges between them: one evaluation instead of many."""
        sizes = torch.cat([graph.sizes for graph in graphs])
        first = (sizes.cumsum(0) - sizes).tolist()
        return cls(
            positions=torch.cat([graph.positions for graph in graphs]),
            edges=torch.cat(
                [graph.edges + start for graph, start in zip(graphs, first, strict=True)], dim=1
            ),
            offsets=torch.cat([graph.offsets for graph in graphs]),
            configuration=torch.repeat_interleave(torch.arange(len(graphs)), sizes),
            sizes=sizes,
            energies=torch.cat([graph.energies for graph in graphs]),
            forces=torch.cat([graph.forces for graph in graphs]),
        )


def configurations(count: int, seed: int) -> list[Graph]:
    return [Graph.of(atoms) for atoms in reference_crystals(count, seed)]


def predict(model: GraphNetwork, graph: Graph) -> tuple[torch.Tensor, torch.Tensor]:
    """Energies of the configurations, eV, and forces, eV/angstrom, to be differentiated again."""
    positions = graph.positions.detach().requires_grad_()
    receiver, sender = graph.edges[0], graph.edges[1]
    vectors = positions.index_select(0, sender) - positions.index_select(0, receiver)
    # All layers share one graph here: particles have images instead of ghosts.
    basis = model.basis(vectors + graph.offsets)
    species = torch.zeros(len(positions), dtype=torch.int64)
    energies = model.energies_from_bases(species, [graph.edges] * LAYERS, [basis] * LAYERS)
    (gradient,) = torch.autograd.grad(energies.sum(), positions, create_graph=model.training)
    totals = torch.zeros(len(graph.sizes), dtype=torch.float64)
    return totals.index_add(0, graph.configuration, energies), -gradient


def train(model: GraphNetwork, graphs: list[Graph], epochs: int, batch: int) -> None:
    generator = torch.Generator().manual_seed(1)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    steps = epochs * -(-len(graphs) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=5e-3, total_steps=steps, pct_start=0.1, final_div_factor=100.0
    )
    model.train()
    for epoch in range(epochs):
        total = 0.0
        order = torch.randperm(len(graphs), generator=generator).tolist()
        for start in range(0, len(order), batch):
            graph = Graph.side_by_side([graphs[k] for k in order[start : start + batch]])
            energies, forces = predict(model, graph)
            per_atom = (energies - graph.energies) / graph.sizes
            # Errors per atom come out several times smaller than those of force components.
            loss = 10.0 * per_atom.square().mean() + (forces - graph.forces).square().mean()
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
            optimizer.step()
            schedule.step()
            total += loss.item() * len(graph.sizes)
        if epoch % 5 == 0 or epoch == epochs - 1:
            print(f"epoch {epoch:3d}  loss {total / len(graphs):.6f}", flush=True)
    model.eval()


def errors(model: GraphNetwork, graphs: list[Graph]) -> str:
    graph = Graph.side_by_side(graphs)
    energies, forces = predict(model, graph)
    per_atom = ((energies - graph.energies) / graph.sizes).detach()
    spread = (graph.energies / graph.sizes).std()
    return (
        f"energy {1e3 * per_atom.square().mean().sqrt():.2f} meV/atom "
        f"(spread {1e3 * spread:.0f}), "
        f"force {(forces - graph.forces).square().mean().sqrt():.4f} eV/angstrom "
        f"(of {graph.forces.square().mean().sqrt():.2f}), root mean square"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("GN_Si.pt"), metavar="FILE.pt")
    parser.add_argument(
        "--weights",
        type=Path,
        metavar="FILE.json",
        help="the trained weights, which make_model.py reads",
    )
    parser.add_argument("--epochs", type=int, default=50, metavar="N", help="default: 50")
    options = parser.parse_args()

    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    # Batches this small gain little from more threads, and so no result depends on their number.
    torch.set_num_threads(1)
    start = time.perf_counter()
    graphs = configurations(400, seed=1)
    held_out = configurations(80, seed=2)
    everything = Graph.side_by_side(graphs)

    model = network()
    model.shift.fill_(float(everything.energies.sum() / everything.sizes.sum()))
    train(model, graphs, options.epochs, batch=4)
    print(f"{len(graphs)} training configurations: {errors(model, graphs)}")
    print(f"{len(held_out)} held out: {errors(model, held_out)}")
    print(f"It took {time.perf_counter() - start:.0f} s.")
    if options.weights:
        write_weights(model, options.weights)
    write_model(model, options.output)


if __name__ == "__main__":
    main()
