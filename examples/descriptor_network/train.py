"""Train the network of descriptor_network.py on silicon, as a published potential describes it.

The training set has energies and forces of crystals, rattled and strained, some with a vacancy or
surfaces (../silicon.py); it takes a few minutes on one core. Symmetry functions and their
derivatives are the driver's own, through its Python module: the network is trained on what it is
run with.
"""

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from ase import Atoms
from descriptor_network import DescriptorNetwork
from make_model import DESCRIPTOR, network, write_model
from torchml_driver.descriptors import Descriptor

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from silicon import reference_crystals
from weights import write_weights

STEP = 1e-4  # angstrom, of finite differences of symmetry functions


@dataclass
class Configuration:
    """Atoms, with their symmetry functions and the reference results.

    values: [atoms, width]; energy: eV per atom; forces: [atoms, 3], eV/angstrom.
    """

    atoms: Atoms
    values: torch.Tensor
    energy: float
    forces: torch.Tensor


class Forces(torch.autograd.Function):
    """Forces [atoms, 3] of the energy's gradient by symmetry functions, [atoms, width].

    They are linear in it: F = -J^T g with the derivatives J of symmetry functions by positions. So
    the gradient of a loss by g is -J (dL/dF), how the symmetry functions change when the atoms move
    along dL/dF.
    """

    @staticmethod
    def forward(ctx, gradient: torch.Tensor, atoms: Atoms, descriptor: Descriptor) -> torch.Tensor:
        ctx.atoms, ctx.descriptor = atoms, descriptor
        return torch.tensor(-descriptor.vjp(atoms, gradient.numpy()).gradient)

    @staticmethod
    def backward(ctx, by_forces: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        largest = by_forces.abs().max().item() or 1.0
        ahead, behind = ctx.atoms.copy(), ctx.atoms.copy()
        ahead.positions += STEP / largest * by_forces.numpy()
        behind.positions -= STEP / largest * by_forces.numpy()
        difference = ctx.descriptor.values(ahead) - ctx.descriptor.values(behind)
        return torch.tensor(-difference * largest / (2 * STEP)), None, None


def configurations(count: int, seed: int, descriptor: Descriptor) -> list[Configuration]:
    return [
        Configuration(
            atoms,
            torch.tensor(descriptor.values(atoms)),
            atoms.get_potential_energy() / len(atoms),
            torch.tensor(atoms.get_forces()),
        )
        for atoms in reference_crystals(count, seed)
    ]


def predict(
    model: DescriptorNetwork, configuration: Configuration, descriptor: Descriptor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Energy per atom, eV, and forces, eV/angstrom, to be differentiated by the weights."""
    values = configuration.values.detach().requires_grad_()
    energy = model(values).sum()
    (gradient,) = torch.autograd.grad(energy, values, create_graph=model.training)
    forces = Forces.apply(gradient, configuration.atoms, descriptor)
    return energy / len(values), forces


def train(
    model: DescriptorNetwork, training_set: list[Configuration], descriptor: Descriptor, epochs: int
) -> None:
    generator = torch.Generator().manual_seed(1)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    batch = 4
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=1e-2, total_steps=epochs * -(-len(training_set) // batch), pct_start=0.1
    )
    model.train()
    for epoch in range(epochs):
        total = 0.0
        order = torch.randperm(len(training_set), generator=generator).tolist()
        for start in range(0, len(order), batch):
            optimizer.zero_grad()
            chosen = [training_set[k] for k in order[start : start + batch]]
            for configuration in chosen:
                energy, forces = predict(model, configuration, descriptor)
                # Errors per atom come out several times smaller than those of force components.
                loss = 10.0 * (energy - configuration.energy).square()
                loss = loss + (forces - configuration.forces).square().mean()
                (loss / len(chosen)).backward()
                total += loss.item()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
            optimizer.step()
            schedule.step()
        if epoch % 5 == 0 or epoch == epochs - 1:
            print(f"epoch {epoch:3d}  loss {total / len(training_set):.6f}", flush=True)
    model.eval()


def errors(
    model: DescriptorNetwork, configurations: list[Configuration], descriptor: Descriptor
) -> str:
    answers = [predict(model, configuration, descriptor) for configuration in configurations]
    references = np.array([configuration.energy for configuration in configurations])
    energies = np.array([energy.item() for energy, _ in answers])
    right = torch.cat([configuration.forces for configuration in configurations])
    wrong = torch.cat([forces for _, forces in answers]) - right
    return (
        f"energy {1e3 * np.sqrt(np.mean((energies - references) ** 2)):.2f} meV/atom "
        f"(spread {1e3 * references.std():.0f}), "
        f"force {wrong.square().mean().sqrt():.4f} eV/angstrom "
        f"(of {right.square().mean().sqrt():.2f}), root mean square"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("DN_Si.pt"), metavar="FILE.pt")
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
    # So that no result depends on the number of threads; the systems are small.
    torch.set_num_threads(1)
    start = time.perf_counter()
    descriptor = Descriptor(DESCRIPTOR, ["Si"])
    training_set = configurations(400, 1, descriptor)
    held_out = configurations(80, 2, descriptor)

    model = network()
    values = torch.cat([configuration.values for configuration in training_set])
    model.mean.copy_(values.mean(0))
    model.deviation.copy_(values.std(0))
    model.shift.fill_(np.mean([configuration.energy for configuration in training_set]))
    train(model, training_set, descriptor, options.epochs)
    print(f"{len(training_set)} training configurations: {errors(model, training_set, descriptor)}")
    print(f"{len(held_out)} held out: {errors(model, held_out, descriptor)}")
    print(f"It took {time.perf_counter() - start:.0f} s.")
    if options.weights:
        write_weights(model, options.weights)
    write_model(model, options.output)


if __name__ == "__main__":
    main()
