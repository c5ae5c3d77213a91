"""What ``deps`` installs with package managers, and the names of the packages."""

from __future__ import annotations

from dataclasses import dataclass

from torchml_installer.detect import Survey


@dataclass(frozen=True)
class Need:
    """One thing to install, with the names of its packages.

    name: of the finding (``doctor``), and for ``deps --with``. by_default: building the driver with
    its Python module needs it. An empty tuple: that package manager has no package.
    """

    name: str
    title: str
    conda: tuple[str, ...]
    apt: tuple[str, ...]
    pip: tuple[str, ...]
    by_default: bool = False

    def packages(self, provider: str) -> tuple[str, ...]:
        """The packages of a provider: ``conda``, ``apt`` or ``pip``."""
        return {"conda": self.conda, "apt": self.apt, "pip": self.pip}[provider]

    def is_met(self, facts: Survey) -> bool:
        """Whether something usable was found."""
        return facts.get(self.name).usable


NEEDS = {
    need.name: need
    for need in (
        Need("torch", "torch", ("pytorch",), ("libtorch-dev",), ("torch",), True),
        Need("kim-api", "KIM-API", ("kim-api",), ("libkim-api-dev", "pkg-config"), (), True),
        Need("compiler", "a C++ compiler", ("cxx-compiler",), ("g++",), (), True),
        Need("cmake", "CMake", ("cmake",), ("cmake",), ("cmake",), True),
        Need("build-tool", "ninja", ("ninja",), ("ninja-build",), ("ninja",), True),
        Need("numpy", "numpy", ("numpy",), (), ("numpy",), True),
        Need("vesin", "vesin", ("python-vesin",), (), ("vesin",), True),
        Need("pybind11", "pybind11", ("pybind11",), (), ("pybind11",), True),
        Need(
            "scikit-build-core",
            "scikit-build-core",
            ("scikit-build-core",),
            (),
            ("scikit-build-core",),
            True,
        ),
        Need("python-headers", "Python's headers", ("python",), ("python3-dev",), (), True),
        Need("xxd", "xxd", ("vim",), ("xxd",), ()),
        Need("mpi", "MPI", ("openmpi",), ("libopenmpi-dev", "openmpi-bin"), ()),
        Need("lammps", "LAMMPS", ("lammps",), ("lammps",), ()),
        Need("openkim-models", "KIM's models", ("openkim-models",), ("openkim-models",), ()),
        Need("ase", "ASE", ("ase",), (), ("ase",)),
        Need("kimpy", "kimpy", ("kimpy",), (), ("kimpy",)),
    )
}
