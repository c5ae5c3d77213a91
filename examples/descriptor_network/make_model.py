"""Write the network of descriptor_network.py with its trained weights as a TorchScript file."""

import argparse
import os
import sys
from pathlib import Path

import torch
from descriptor_network import DescriptorNetwork

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from weights import read_weights

KIM_NAME = "TorchML_DN_Si__MO_000000000000_000"
CUTOFF = 4.2  # angstrom, as in descriptor.dat
WIDTH = 18
DESCRIPTOR = Path(__file__).with_name("descriptor.dat")
WEIGHTS = Path(__file__).with_name("weights.json")


def network() -> DescriptorNetwork:
    """Not trained yet."""
    return DescriptorNetwork(WIDTH).double()


def trained(path: Path = WEIGHTS) -> DescriptorNetwork:
    model = network()
    read_weights(model, path)
    return model.eval()


def write_model(model: DescriptorNetwork, path: Path) -> None:
    torch.jit.script(model).save(str(path))
    print(f"Wrote {path}. To make a KIM model of it and install it:")
    print(
        f"  torchml-install model pack '{path}' --elements Si --cutoff {CUTOFF}"
        f" --pattern descriptor --descriptor '{DESCRIPTOR}' --name {KIM_NAME}"
    )
    print(f"  torchml-install model install {KIM_NAME}")
    script = os.path.relpath(Path(__file__).with_name("in.silicon"))
    print(f"  lmp -var model {KIM_NAME} -in {script}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("DN_Si.pt"), metavar="FILE.pt")
    write_model(trained(), parser.parse_args().output)


if __name__ == "__main__":
    main()
