"""Trains and exports a small graph model with KLIFF; made tests/data/kliff_graph.param.

Runs in a separate environment with KLIFF 1.0.1 and the packages that its graph trainer imports:

    python -m venv kliff && kliff/bin/pip install kliff==1.0.1 torch torch_geometric \
        pytorch_lightning tensorboard torch_scatter
    kliff/bin/python tests/data/export_kliff_model.py --output FOLDER

KLIFF writes FOLDER/NAME with CMakeLists.txt, kliff_graph.param, model.pt and a record of the
Python environment. Its quality does not matter: two epochs on a Lennard-Jones crystal.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.lj import LennardJones
from ase.io import write
from kliff.trainer.lightning_trainer import GNNLightningTrainer

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "examples" / "graph_network"))

from graph_network import GraphNetwork  # noqa: E402

NAME = "TorchML_Kliff_Si__MO_000000000001_000"
CUTOFF = 4.0  # angstrom
LAYERS = 2


class KliffNetwork(torch.nn.Module):
    """A graph network with KLIFF's names for its inputs, and KLIFF's form of the result.

    ``contributions`` numbers the sums that energies go to: 0 and 1 for the contributing and the
    other particles of the first configuration of a batch, 2 and 3 for those of the second, ...
    """

    def __init__(self) -> None:
        super().__init__()
        self.network = GraphNetwork(cutoff=CUTOFF, layers=LAYERS, features=8, radial=4)

    def forward(
        self,
        species: torch.Tensor,
        coords: torch.Tensor,
        edge_index0: torch.Tensor,
        edge_index1: torch.Tensor,
        contributions: torch.Tensor,
    ) -> torch.Tensor:
        """Energy of each configuration: [configurations], eV."""
        edges = [edge_index0, edge_index1]
        vectors = [
            coords.index_select(0, edge[1]) - coords.index_select(0, edge[0]) for edge in edges
        ]
        energies = self.network.particle_energies(species, edges, vectors)
        sums = torch.zeros(int(contributions.max()) + 1, dtype=energies.dtype)
        return sums.index_add(0, contributions, energies)[::2]


def training_set() -> list[Atoms]:
    """Five rattled crystals of silicon with Lennard-Jones energies and forces."""
    found = []
    for seed in range(5):
        atoms = bulk("Si", a=5.43, cubic=True)
        atoms.rattle(0.1, seed=seed)
        atoms.calc = LennardJones(sigma=2.1, epsilon=0.5, rc=4.0, smooth=True)
        energy, forces = atoms.get_potential_energy(), atoms.get_forces()
        plain = Atoms(atoms.symbols, atoms.positions, cell=atoms.cell, pbc=True)
        plain.info["Energy"], plain.arrays["force"] = energy, forces
        found.append(plain)
    return found


def export(output: Path) -> Path:
    """Trains in the current directory; returns the portable-model folder that KLIFF writes."""
    torch.manual_seed(7)
    torch.set_default_dtype(torch.float64)
    write("training.xyz", training_set(), format="extxyz")
    manifest = {
        "workspace": {"name": "workspace", "seed": 7},
        "dataset": {
            "type": "ase",
            "path": "training.xyz",
            "save": False,
            "keys": {"energy": "Energy", "forces": "force"},
            "dynamic_loading": True,
        },
        "model": {
            "name": NAME,
            "input_args": ["species", "coords", "edge_index0", "edge_index1", "contributions"],
        },
        "transforms": {
            "configuration": {
                "name": "RadialGraph",
                "kwargs": {"cutoff": CUTOFF, "species": ["Si"], "n_layers": LAYERS},
            }
        },
        "training": {
            "loss": {"function": "MSE", "weights": {"energy": 1.0, "forces": 1.0}},
            "optimizer": {"name": "Adam", "learning_rate": 1e-3},
            "training_dataset": {"train_size": 4},
            "validation_dataset": {"val_size": 1},
            "batch_size": 2,
            "epochs": 2,
            "device": "cpu",
            "accelerator": "cpu",
            "strategy": "auto",
            "num_workers": 1,
            "ckpt_interval": 1,
        },
        "export": {"model_path": str(output), "model_name": NAME},
    }
    trainer = GNNLightningTrainer(manifest, KliffNetwork())
    trainer.train()
    trainer.save_kim_model()
    return output / NAME


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER")
    chosen = parser.parse_args().output.absolute()
    chosen.mkdir(parents=True, exist_ok=True)
    # KLIFF puts its workspace into the current directory.
    os.chdir(chosen)
    print(export(chosen))
