"""Write the Stillinger-Weber potential of stillinger_weber.py as a TorchScript file."""

import argparse
import os
from pathlib import Path

import torch
from stillinger_weber import CUTOFF, ELEMENTS, StillingerWeber

HERE = Path(__file__).parent
KIM_NAME = "TorchML_SW_Si__MO_000000000000_000"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("SW_Si.pt"), metavar="FILE.pt")
    output: Path = parser.parse_args().output

    model = torch.jit.script(StillingerWeber()).eval()
    model.save(str(output))
    print(f"Wrote {output}. To make a KIM model of it and install it:")
    print(
        f"  torchml-install model pack '{output}' --elements {','.join(ELEMENTS)}"
        f" --cutoff {CUTOFF} --name {KIM_NAME}"
    )
    print(f"  torchml-install model install {KIM_NAME}")
    script, data = (os.path.relpath(HERE / name) for name in ("in.silicon", "silicon.data"))
    print(f"  lmp -var model {KIM_NAME} -var data {data} -in {script}")


if __name__ == "__main__":
    main()
