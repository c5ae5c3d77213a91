"""Trains and exports small models on descriptors with KLIFF; made tests/data/kliff_descriptor/.

Runs in a separate environment with Python 3.8 to 3.10, for which libdescriptor is published:

    python3.10 -m venv kliff && kliff/bin/pip install kliff==1.0.1 libdescriptor==0.2.3 torch
    kliff/bin/python tests/data/export_kliff_descriptor_model.py --output FOLDER

KLIFF writes FOLDER/NAME with CMakeLists.txt, descriptor.dat, kim_model.param, model.pt and a record
of the Python environment; this script adds reference.json: what KLIFF's own descriptors, and the
network on them, give for a structure. The quality of the network does not matter.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

import torch  # before libdescriptor, or the process ends in free(): invalid pointer

# isort: split
import libdescriptor
import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.lj import LennardJones
from ase.io import write
from kliff.dataset import Configuration
from kliff.trainer.torch_trainer import DNNTrainer
from kliff.transforms.configuration_transforms import Descriptor

CUTOFF = 4.0  # angstrom
ELEMENTS = ["Si", "C"]
#: Kind of descriptor, KLIFF's name of its parameters, number of descriptors.
KINDS = {
    "SymmetryFunctions": ("set51", 51),
    "Bispectrum": ("bs_defaults", None),
    "SOAP": ("soap_defaults", None),
}


def accept_numbers() -> None:
    """Converts arguments: KLIFF 1.0.1 passes arrays, libdescriptor 0.2.3 takes numbers and lists.

    KLIFF supports only one cutoff for all pairs, so a matrix of cutoffs becomes a number.
    """
    original = libdescriptor.DescriptorKind.init_descriptor

    def plain(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return float(value.flat[0]) if value.ndim == 2 and len(set(value.flat)) == 1 else value
        return value

    def init(*arguments: Any) -> Any:
        try:
            return original(*arguments)
        except TypeError:
            lists = [
                value.ravel().tolist() if isinstance(value, np.ndarray) else value
                for value in map(plain, arguments)
            ]
            return original(*lists)

    libdescriptor.DescriptorKind.init_descriptor = staticmethod(init)


def crystal(seed: int) -> Atoms:
    atoms = bulk("SiC", "zincblende", a=4.36, cubic=True)
    atoms.rattle(0.1, seed=seed)
    return atoms


def training_set() -> list[Atoms]:
    """Five rattled crystals with Lennard-Jones energies and forces."""
    found = []
    for seed in range(5):
        atoms = crystal(seed)
        atoms.calc = LennardJones(sigma=1.8, epsilon=0.5, rc=4.0, smooth=True)
        plain = Atoms(atoms.symbols, atoms.positions, cell=atoms.cell, pbc=True)
        plain.info["Energy"] = atoms.get_potential_energy()
        plain.arrays["force"] = atoms.get_forces()
        found.append(plain)
    return found


def export(kind: str, output: Path) -> Path:
    """Trains in the current directory; returns the portable-model folder that KLIFF writes."""
    torch.manual_seed(7)
    torch.set_default_dtype(torch.float64)
    parameters, _ = KINDS[kind]
    width = Descriptor(CUTOFF, ELEMENTS, kind, parameters).width
    write("training.xyz", training_set(), format="extxyz")
    name = f"TorchML_Kliff_{kind}__MO_000000000002_000"
    manifest = {
        "workspace": {"name": f"workspace-{kind}", "seed": 7},
        "dataset": {
            "type": "ase",
            "path": "training.xyz",
            "save": False,
            "keys": {"energy": "Energy", "forces": "force"},
        },
        "model": {"name": name},
        "transforms": {
            "configuration": {
                "name": "Descriptor",
                "kwargs": {
                    "cutoff": CUTOFF,
                    "species": ELEMENTS,
                    "descriptor": kind,
                    "hyperparameters": parameters,
                },
            }
        },
        "training": {
            "loss": {"function": "MSE", "weights": {"config": 1.0, "energy": 1.0, "forces": 1.0}},
            "optimizer": {"name": "Adam", "learning_rate": 1e-3},
            "training_dataset": {"train_size": 4},
            "validation_dataset": {"val_size": 1},
            "batch_size": 2,
            "epochs": 2,
            "device": "cpu",
            "num_workers": None,
            "ckpt_interval": 1,
        },
        "export": {"model_path": str(output), "model_name": name, "generate_tarball": False},
    }
    network = torch.nn.Sequential(
        torch.nn.Linear(width, 6), torch.nn.Tanh(), torch.nn.Linear(6, 1)
    ).double()
    trainer = DNNTrainer(manifest, network)
    trainer.train()
    trainer.save_kim_model()
    folder = output / name
    (folder / "reference.json").write_text(json.dumps(reference(kind, folder)), encoding="utf-8")
    return folder


def reference(kind: str, folder: Path) -> dict[str, Any]:
    """Energy (eV) and forces (n, 3) (eV/angstrom) of a structure, by KLIFF's descriptors."""
    atoms = crystal(11) * (2, 1, 1)
    configuration = Configuration.from_ase_atoms(atoms)
    descriptor = Descriptor(CUTOFF, ELEMENTS, kind, KINDS[kind][0])
    zeta = torch.tensor(descriptor.forward(configuration), requires_grad=True)
    energy = torch.jit.load(str(folder / "model.pt"))(zeta).sum()
    (gradient,) = torch.autograd.grad(energy, zeta)
    forces = -np.asarray(descriptor.backward(configuration, gradient.numpy())).reshape(-1, 3)
    return {
        "symbols": atoms.get_chemical_symbols(),
        "positions": atoms.positions.tolist(),
        "cell": atoms.cell.array.tolist(),
        "descriptors": zeta.tolist(),
        "energy": energy.item(),
        "forces": forces.tolist(),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER")
    chosen = parser.parse_args().output.absolute()
    chosen.mkdir(parents=True, exist_ok=True)
    # KLIFF puts its workspace into the current directory.
    os.chdir(chosen)
    accept_numbers()
    for name in KINDS:
        print(export(name, chosen))
