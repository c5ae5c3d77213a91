"""A small network on symmetry functions, as a TorchScript-able module.

J. Behler and M. Parrinello, Phys. Rev. Lett. 98, 146401 (2007). The driver computes the symmetry
functions that descriptor.dat lists, and turns the network's gradient into forces.
"""

import torch


class DescriptorNetwork(torch.nn.Module):
    """Energies of atoms, eV, of their symmetry functions.

    width: how many symmetry functions an atom has
    features: of each of two hidden layers
    """

    def __init__(self, width: int, features: int = 24) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(width, features),
            torch.nn.SiLU(),
            torch.nn.Linear(features, features),
            torch.nn.SiLU(),
            torch.nn.Linear(features, 1),
        )
        # Each symmetry function is taken in units of its deviation from its mean, and energies are
        # fitted around a constant.
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("deviation", torch.ones(width))
        self.register_buffer("shift", torch.zeros(1))

    def forward(self, descriptor: torch.Tensor) -> torch.Tensor:
        """Energies (n), eV, of symmetry functions (n, width)."""
        return self.layers((descriptor - self.mean) / self.deviation).squeeze(1) + self.shift
