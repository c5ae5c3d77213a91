"""Write the network of edge_network.py with its trained weights as a TorchScript file."""

import argparse
import os
import sys
from pathlib import Path

import torch
from edge_network import EdgeNetwork

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from weights import read_weights

KIM_NAME = "TorchML_EN_Si__MO_000000000000_000"
CUTOFF = 4.5  # angstrom, beyond the second neighbours at 3.84
LAYERS = 2
WEIGHTS = Path(__file__).with_name("weights.json")


def network() -> EdgeNetwork:
    """Not trained yet."""
    return EdgeNetwork(elements=1, cutoff=CUTOFF, layers=LAYERS).double()


def trained(path: Path = WEIGHTS) -> EdgeNetwork:
    model = network()
    read_weights(model, path)
    return model.eval()


def write_model(model: EdgeNetwork, path: Path) -> None:
    torch.jit.script(model).save(str(path))
    print(f"Wrote {path}. To make a KIM model of it and install it:")
    print(
        f"  torchml-install model pack '{path}' --elements Si --cutoff {CUTOFF}"
        f" --pattern edges --layers {LAYERS} --name {KIM_NAME}"
    )
    print(f"  torchml-install model install {KIM_NAME}")
    script = os.path.relpath(Path(__file__).with_name("in.silicon"))
    print(f"  lmp -var model {KIM_NAME} -in {script}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("EN_Si.pt"), metavar="FILE.pt")
    write_model(trained(), parser.parse_args().output)


if __name__ == "__main__":
    main()
