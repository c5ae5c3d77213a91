"""A synthetic machine whose package managers are stand-ins, which note how they were called."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.installer.synthetic_machines import ODD_NAME, Machine, make_kim, make_torch, write

INSTALLS_XXD = 'printf "#!/bin/sh\\n" > "{programs}/xxd"; /bin/chmod +x "{programs}/xxd"'


class PackagesMachine(Machine):
    """A machine without xxd, whose programs are those in ``programs``."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine.folder, machine.environment)
        self.programs = self.folder / ODD_NAME.replace('"', "").replace("$", "") / "bin"
        self.programs.mkdir(parents=True)
        self.calls = self.folder / "calls"
        odd = self.folder / ODD_NAME
        self.environment["TORCH_ROOT"] = str(make_torch(odd / "torch"))
        self.environment["KIM_API_CMAKE_PREFIX_DIR"] = str(make_kim(odd / "kim"))
        self.environment["PATH"] = str(self.programs)

    def program(self, name: str, then: str = "") -> Path:
        """A program that notes its arguments, one a line, and does something."""
        script = f'#!/bin/sh\n(echo "{name}"; printf "%s\\n" "$@") >> "{self.calls}"\n'
        then = then.replace("{programs}", str(self.programs))
        return write(self.programs / name, f"{script}{then}\n", executable=True)

    def called(self) -> list[str]:
        return self.calls.read_text().splitlines() if self.calls.exists() else []

    def conda(self, then: str = INSTALLS_XXD) -> None:
        """The active Python is an active conda environment's."""
        self.environment["CONDA_PREFIX"] = sys.prefix
        self.program("conda", then)
