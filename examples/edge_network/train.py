"""Train the network of edge_network.py on a published potential's energies and forces of silicon.

The crystals are rattled and strained, some with a vacancy or surfaces (../silicon.py); it takes a
minute or two on one core.
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
from edge_network import EdgeNetwork
from make_model import CUTOFF, network, write_model

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from silicon import reference_crystals
from weights import write_weights


@dataclass
class Batch:
    """Periodic configurations side by side, without edges between them, with reference results.

    edge_index: [2, edges]; edge_vectors: [edges, 3], angstrom; configuration: [atoms], which one an
    atom is of; sizes: [configurations], atoms; energies: [configurations], eV; forces: [atoms, 3],
    eV/angstrom.
    """

    edge_index: torch.Tensor
    edge_vectors: torch.Tensor
    configuration: torch.Tensor
    sizes: torch.Tensor
    energies: torch.Tensor
    forces: torch.Tensor

    @classmethod
    def of(cls, crystals: list[Atoms]) -> "Batch":
        neighbours = vesin.NeighborList(cutoff=CUTOFF, full_list=True, sorted=True)
        indices, vectors, first = [], [], 0
        for atoms in crystals:
            # An edge to a periodic image is an edge to its owner: that is all there is to folding.
            i, j, distance = neighbours.compute(
                atoms.positions, atoms.cell.array, atoms.pbc, quantities="ijD", copy=True
            )
            indices.append(np.stack([i, j]).astype(np.int64) + first)
            vectors.append(distance)
            first += len(atoms)
        sizes = torch.tensor([len(atoms) for atoms in crystals])
        return cls(
            edge_index=torch.tensor(np.concatenate(indices, axis=1)),
            edge_vectors=torch.tensor(np.concatenate(vectors)),
            configuration=torch.repeat_interleave(torch.arange(len(crystals)), sizes),
            sizes=sizes,
            energies=torch.tensor([atoms.get_potential_energy() for atoms in crystals]),
            forces=torch.tensor(np.concatenate([atoms.get_forces() for atoms in crystals])),
        )


def predict(model: EdgeNetwork, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Energies of the configurations, eV, and forces, eV/angstrom, to be differentiated again.

    Forces follow from the gradient with respect to the edges' vectors, as in the driver.
    """
    vectors = batch.edge_vectors.detach().requires_grad_()
    atoms = torch.ones_like(batch.configuration)
    energies = model(0 * atoms, batch.edge_index, vectors, atoms)
    (gradient,) = torch.autograd.grad(energies.sum(), vectors, create_graph=model.training)
    receiver, sender = batch.edge_index[0], batch.edge_index[1]
    forces = torch.zeros_like(batch.forces)
    forces = forces.index_add(0, receiver, gradient).index_add(0, sender, -gradient)
    totals = torch.zeros_like(batch.energies).index_add(0, batch.configuration, energies)
    return totals, forces


def train(model: EdgeNetwork, batches: list[Batch], epochs: int) -> None:
    generator = torch.Generator().manual_seed(1)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=5e-3, total_steps=epochs * len(batches), pct_start=0.1
    )
    model.train()
    for epoch in range(epochs):
        total = 0.0
        for k in torch.randperm(len(batches), generator=generator).tolist():
            energies, forces = predict(model, batches[k])
            per_atom = (energies - batches[k].energies) / batches[k].sizes
            # Errors per atom come out several times smaller than those of force components.
            loss = 10.0 * per_atom.square().mean() + (forces - batches[k].forces).square().mean()
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
            optimizer.step()
            schedule.step()
            total += loss.item()
        if epoch % 5 == 0 or epoch == epochs - 1:
            print(f"epoch {epoch:3d}  loss {total / len(batches):.6f}", flush=True)
    model.eval()


def errors(model: EdgeNetwork, batch: Batch) -> str:
    energies, forces = predict(model, batch)
    per_atom = ((energies - batch.energies) / batch.sizes).detach()
    spread = (batch.energies / batch.sizes).std()
    return (
        f"energy {1e3 * per_atom.square().mean().sqrt():.2f} meV/atom "
        f"(spread {1e3 * spread:.0f}), "
        f"force {(forces - batch.forces).square().mean().sqrt():.4f} eV/angstrom "
        f"(of {batch.forces.square().mean().sqrt():.2f}), root mean square"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("EN_Si.pt"), metavar="FILE.pt")
    parser.add_argument(
        "--weights",
        type=Path,
        metavar="FILE.json",
        help="the trained weights, which make_model.py reads",
    )
    parser.add_argument("--epochs", type=int, default=20, metavar="N", help="default: 20")
    options = parser.parse_args()

    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    # Batches this small gain little from more threads, and so no result depends on their number.
    torch.set_num_threads(1)
    crystals = reference_crystals(400, seed=1)
    held_out = Batch.of(reference_crystals(80, seed=2))
    everything = Batch.of(crystals)

    model = network()
    model.shift.fill_(float(everything.energies.sum() / everything.sizes.sum()))
    train(model, [Batch.of(crystals[k : k + 4]) for k in range(0, 400, 4)], options.epochs)
    print(f"{len(crystals)} training configurations: {errors(model, everything)}")
    print(f"{len(held_out.sizes)} held out: {errors(model, held_out)}")
    print(f"It took {time.process_time():.0f} s of CPU time.")
    if options.weights:
        write_weights(model, options.weights)
    write_model(model, options.output)


if __name__ == "__main__":
    main()
