"""The command ``python -m ci.prebuilt``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ci.prebuilt import wheel
from ci.release.__main__ import environment
from ci.release.errors import ReleaseError
from ci.release.sources import Commit

ROOT = Path(__file__).resolve().parent.parent.parent


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m ci.prebuilt", description="Makes the wheel of prebuilt drivers."
    )
    parser.add_argument("--output", type=Path, default=ROOT / "dist", help="%(default)s")
    parser.add_argument(
        "--torch",
        action="append",
        metavar="X.Y.Z",
        help=f"releases to compile for, one of a series (default: {', '.join(wheel.TORCHES)})",
    )
    parser.add_argument("--root", type=Path, help="keep the root in this folder for the next time")
    options = parser.parse_args()
    try:
        env = environment(Commit.head(ROOT).epoch)
        options.output.mkdir(parents=True, exist_ok=True)
        made = wheel.make(
            ROOT, options.output.absolute(), env, options.torch or wheel.TORCHES, options.root
        )
    except ReleaseError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(made)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
