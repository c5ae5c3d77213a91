"""Makes the model of a folder of examples/, packs it and installs it into the environment.

    install_example.py EXAMPLE [ARGUMENT ...]

ARGUMENT: handed on to `torchml-install model pack`, with what the example's make_model.py states in
place of {CUTOFF} and the like.
"""

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any


def facts_of(example: str) -> dict[str, Any]:
    """What make_model.py of that folder holds.

    TorchScript remembers where the model's source lay. Here that is nowhere in particular, so that
    the same source gives the same file.
    """
    folder = Path("examples", example).resolve()
    sys.path.insert(0, str(folder))
    module = sys.modules[example] = ModuleType(example)
    module.__file__ = f"{example}.py"
    source = (folder / module.__file__).read_text("utf-8")
    exec(compile(source, module.__file__, "exec"), module.__dict__)
    import make_model

    return vars(make_model)


def main(example: str, arguments: list[str]) -> None:
    facts = facts_of(example)
    name, file = facts["KIM_NAME"], f"{example}.pt"
    sys.argv = ["make_model.py", "--output", file]
    facts["main"]()
    more = [argument.format_map(facts) for argument in arguments]
    what = ["--elements", "Si", "--cutoff", str(facts["CUTOFF"]), "--name", name, *more]
    subprocess.run(["torchml-install", "model", "pack", file, *what], check=True)
    where = ["--collection", "system", "--kim-root", os.environ["PREFIX"]]
    compiler = ["--cxx", os.environ["CXX"]]
    subprocess.run(["torchml-install", "model", "install", name, *where, *compiler], check=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
