from spack.package import *
from spack_repo.builtin.build_systems.cmake import CMakePackage, generator


class TorchmlDriver(CMakePackage):
    """KIM-API model driver for interatomic potentials written in Torch.

    From a checkout: `spack repo add recipes/spack/spack_repo/torchml`, then
    `spack dev-build torchml-driver`.
    The Python module needs vesin, which Spack lacks: `python -m pip install vesin`.
    """

    license("BSD-3-Clause")

    version("0.1.0")

    variant("mpi", default=False, description="Ask MPI for a process's rank on its node")
    variant("graph", default=True, description="Support models that need staged graphs")
    variant("python", default=False, description="Build the Python module torchml_driver")

    depends_on("c", type="build")
    depends_on("cxx", type="build")
    depends_on("cmake@3.18:", type="build")
    depends_on("ninja", type="build")
    depends_on("kim-api@2.2:")
    # libtorch comes with it.
    depends_on("py-torch@1.13:", type=("build", "link", "run"))
    depends_on("mpi", when="+mpi")
    extends("python@3.10:", when="+python")
    depends_on("py-pybind11@2.12:", type="build", when="+python")
    depends_on("py-numpy", type=("build", "run"), when="+python")

    generator("ninja")
    root_cmakelists_dir = "driver_src"

    @property
    def collection(self):
        """The folder in which KIM finds the driver."""
        return join_path(self.prefix.lib, "kim-api", "model-drivers")

    def cmake_args(self):
        # torch/share/cmake
        torch = ancestor(self.spec["py-torch"].package.cmake_prefix_paths[0], 2)
        args = [
            self.define("TORCH_ROOT", torch),
            self.define("TORCHML_KIM", True),
            self.define("KIM_API_INSTALL_COLLECTION", "USER"),
            self.define("KIM_API_MODEL_DRIVER_INSTALL_PREFIX", self.collection),
            self.define_from_variant("TORCHML_MPI", "mpi"),
            self.define_from_variant("TORCHML_GRAPH", "graph"),
            self.define_from_variant("TORCHML_PYTHON", "python"),
        ]
        if self.spec.satisfies("+python"):
            args.append(self.define("Python_EXECUTABLE", self.spec["python"].command.path))
            args.append(self.define("TORCHML_PYTHON_INSTALL_DIR", python_platlib))
        return args

    def setup_run_environment(self, env):
        env.prepend_path("KIM_API_MODEL_DRIVERS_DIR", self.collection)
