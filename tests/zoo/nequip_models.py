"""Small NequIP and Allegro models, trained for a moment; runs where both are installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from ase.build import bulk
from ase.calculators.lj import LennardJones
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

TYPES = ["H", "O", "Si"]
_BINARIES = Path(sys.executable).parent
_NEQUIP = {
    "_target_": "nequip.model.NequIPGNNModel",
    **{"num_layers": 2, "num_features": 8, "radial_mlp_depth": 1, "radial_mlp_width": 16},
}
_ALLEGRO = {
    "_target_": "allegro.model.AllegroModel",
    **{"num_layers": 2, "num_scalar_features": 16, "num_tensor_features": 4},
    "radial_chemical_embed": {"_target_": "allegro.nn.TwoBodyBesselScalarEmbed", "num_bessels": 6},
}
_CUTOFFS = {"H": 3.0, "O": {"H": 2.5, "O": 3.7, "Si": 4.0}}
_MORE = {
    "pair_potential": {
        "_target_": "nequip.nn.pair_potential.ZBL",
        **{"units": "metal", "chemical_species": TYPES},
    },
    "per_edge_type_cutoff": _CUTOFFS,
}
_KINDS: dict[str, dict[str, Any]] = {
    "nequip": _NEQUIP,
    "nequip32": {**_NEQUIP, "model_dtype": "float32"},
    "nequip_more": {**_NEQUIP, **_MORE, "num_layers": 3},
    "nequip_types": {**_NEQUIP, "type_names": ["A", "B", "C"]},
    "allegro": _ALLEGRO,
    "allegro32": {**_ALLEGRO, "model_dtype": "float32"},
    "allegro_more": {**_ALLEGRO, **_MORE},
}


def make(kind: str, path: str) -> None:
    """A checkpoint; with one, also a package or TorchScript of it, by the suffix of the path."""
    if path.endswith(".ckpt"):
        _train(kind, Path(path))
        return
    checkpoint = path.partition(".")[0] + ".ckpt"
    if path.endswith(".nequip.zip"):
        _run("nequip-package", "build", checkpoint, path)
        return
    from nequip.model.inference_models.torchscript import save_torchscript_model
    from nequip.model.saved_models.load_utils import load_saved_model
    from nequip.utils.global_state import set_global_state

    set_global_state(allow_tf32=False)
    model = load_saved_model(checkpoint)
    # As `nequip-compile --mode torchscript` does with older versions of torch.
    save_torchscript_model(model, {**model.metadata, "allow_tf32": "0"}, path, "cpu")


def calculator(kind: str, path: str) -> Any:
    from nequip.integrations.ase import NequIPCalculator

    names = _KINDS[kind].get("type_names", TYPES)
    settings = {"chemical_species_to_atom_type_map": dict(zip(TYPES, names, strict=True))}
    if path.endswith(".nequip.pth"):
        return NequIPCalculator.from_compiled_model(path, **settings)
    return NequIPCalculator._from_saved_model(path, **settings)


def _train(kind: str, path: Path) -> None:
    work = path.parent / f"training-{path.stem}"
    work.mkdir()
    _write_data(work / "data.xyz")
    names = _KINDS[kind].get("type_names", TYPES)
    model = {
        **{"seed": 1, "model_dtype": "float64", "type_names": names, "r_max": 4.0, "l_max": 1},
        **{"avg_num_neighbors": 12.0, "per_type_energy_scales": 1.5},
        "per_type_energy_shifts": dict(zip(names, (-1.0, -2.0, -3.0), strict=True)),
        **_KINDS[kind],
    }
    mapper = {
        "_target_": "nequip.data.transforms.ChemicalSpeciesToAtomTypeMapper",
        "model_type_names": names,
        "chemical_species_to_atom_type_map": dict(zip(TYPES, names, strict=True)),
    }
    neighbours = {"_target_": "nequip.data.transforms.NeighborListTransform", "r_max": 4.0}
    loader = {"_target_": "torch.utils.data.DataLoader", "batch_size": 4}
    metrics = {"_target_": "nequip.train.EnergyForceMetrics", "coeffs": {"total_energy_mae": 1.0}}
    checkpoint = {
        "_target_": "lightning.pytorch.callbacks.ModelCheckpoint",
        **{"dirpath": str(work), "filename": "last"},
    }
    config = {
        "run": ["train"],
        "data": {
            "_target_": "nequip.data.datamodule.ASEDataModule",
            "seed": 1,
            "split_dataset": {"file_path": str(work / "data.xyz"), "train": 4, "val": 2},
            "transforms": [mapper, neighbours],
            **{"train_dataloader": loader, "val_dataloader": loader},
        },
        "trainer": {
            "_target_": "lightning.Trainer",
            **{"accelerator": "cpu", "max_epochs": 1, "logger": False, "callbacks": [checkpoint]},
        },
        "training_module": {
            "_target_": "nequip.train.EMALightningModule",
            "loss": {"_target_": "nequip.train.EnergyForceLoss", "coeffs": _coefficients()},
            **{"val_metrics": metrics, "train_metrics": metrics, "test_metrics": metrics},
            "optimizer": {"_target_": "torch.optim.Adam", "lr": 0.01},
            "model": model,
        },
    }
    (work / "config.yaml").write_text(yaml.safe_dump(config))
    _run("nequip-train", "-cp", str(work), "-cn", "config", f"hydra.run.dir={work / 'run'}")
    (work / "last.ckpt").rename(path)


def _coefficients() -> dict[str, float]:
    return {"total_energy": 1.0, "forces": 1.0}


def _write_data(path: Path) -> None:
    frames = []
    random = np.random.default_rng(0)
    for seed in range(6):
        atoms = bulk("Si", cubic=True)
        atoms.symbols = random.permutation(["Si"] * 3 + ["O"] * 3 + ["H"] * 2)
        atoms.rattle(0.1, seed=seed)
        atoms.calc = LennardJones(sigma=2.0, epsilon=0.3, rc=4.0)
        energy, forces = atoms.get_potential_energy(), atoms.get_forces()
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
        frames.append(atoms)
    write(path, frames)


def _run(program: str, *arguments: str) -> None:
    torch.set_num_threads(1)
    subprocess.run([str(_BINARIES / program), *arguments], check=True)
