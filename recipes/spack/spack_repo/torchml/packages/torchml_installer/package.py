from spack.package import *
from spack_repo.builtin.build_systems.python import PythonPackage


class TorchmlInstaller(PythonPackage):
    """The command torchml-install: installs, packs, checks and measures Torch models for KIM.

    From a checkout: `spack repo add recipes/spack/spack_repo/torchml`, then
    `spack dev-build torchml-installer`.
    """

    license("BSD-3-Clause")

    version("0.1.0")

    depends_on("python@3.10:", type=("build", "run"))
    depends_on("py-hatchling@1.26:", type="build")
    depends_on("py-click@8.1:", type=("build", "run"))
    depends_on("py-rich@13:", type=("build", "run"))
