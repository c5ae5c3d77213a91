"""Makes the model in a folder of examples/, packs it and installs it into the environment.

    install_example.py EXAMPLE [ARGUMENT ...]

ARGUMENT: passed on to `torchml-install model pack`, with {CUTOFF} and the like replaced by the
values in the example's make_model.py.
"""

import importlib
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any


def facts_of(example: str) -> dict[str, Any]:
    """The names and values in that folder's make_model.py."""
    sys.path.insert(0, str(Path("examples", example).resolve()))
    return vars(importlib.import_module("make_model"))


def leave_out_places(model: Path) -> None:
    """Removes the paths of sources on this machine from a TorchScript file.

    Only error messages use them; without them, the same source gives the same file.
    """
    places = re.compile(r".*\.debug_pkl|[^/]+/\.data/serialization_id")  # the latter is a checksum
    whole = model.with_suffix(".whole")
    model.rename(whole)
    with zipfile.ZipFile(whole) as original, zipfile.ZipFile(model, "w") as written:
        for entry in original.infolist():
            if not places.fullmatch(entry.filename):
                written.writestr(entry, original.read(entry))
    whole.unlink()


def main(example: str, arguments: list[str]) -> None:
    facts = facts_of(example)
    name, file = facts["KIM_NAME"], f"{example}.pt"
    sys.argv = ["make_model.py", "--output", file]
    facts["main"]()
    leave_out_places(Path(file))
    more = [argument.format_map(facts) for argument in arguments]
    what = ["--elements", "Si", "--cutoff", str(facts["CUTOFF"]), "--name", name, *more]
    subprocess.run(["torchml-install", "model", "pack", file, *what], check=True)
    where = ["--collection", "system", "--kim-root", os.environ["PREFIX"]]
    compiler = ["--cxx", os.environ["CXX"]]
    subprocess.run(["torchml-install", "model", "install", name, *where, *compiler], check=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
