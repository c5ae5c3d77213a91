"""Trained weights as text, which a release can carry and a later torch can read."""

import json
from pathlib import Path

import torch


def write_weights(model: torch.nn.Module, path: Path) -> None:
    """Seven digits of each number, more than a training determines; a line for each tensor."""

    def rounded(values: list | float) -> list | float:
        if isinstance(values, list):
            return [rounded(value) for value in values]
        return float(f"{values:.7g}")

    lines = [
        f"{json.dumps(name)}: {json.dumps(rounded(tensor.tolist()))}"
        for name, tensor in model.state_dict().items()
    ]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def read_weights(model: torch.nn.Module, path: Path) -> None:
    weights = json.loads(path.read_text())
    model.load_state_dict(
        {name: torch.tensor(weights[name], dtype=torch.float64) for name in weights}
    )
