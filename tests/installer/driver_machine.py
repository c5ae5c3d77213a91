"""A synthetic machine with a torch, a KIM-API, and a stand-in for the driver's sources."""

from __future__ import annotations

from tests.installer.synthetic_machines import ODD_NAME, Machine, make_kim, make_torch, write

DEFAULT = "TorchML__MD_173118614730_001"

#: Installs one file a driver, which says what it was configured with; `work.cmake` is its compiler.
STAND_IN = """\
cmake_minimum_required(VERSION 3.18)
project(stand_in LANGUAGES NONE)
if(TORCHML_WERROR)
  message(FATAL_ERROR "torchml: warnings are errors here. Unset TORCHML_WERROR.")
endif()
if(TORCHML_SANITIZE)
  message(FATAL_ERROR "torchml: sanitizers: ${TORCHML_SANITIZE}.")
endif()
add_custom_command(OUTPUT built
  COMMAND ${CMAKE_COMMAND} -P "${CMAKE_CURRENT_SOURCE_DIR}/work.cmake"
  COMMAND ${CMAKE_COMMAND} -E touch built
  DEPENDS work.cmake)
add_custom_target(work ALL DEPENDS built)
foreach(name IN LISTS TORCHML_DRIVER_NAMES)
  file(WRITE "${CMAKE_CURRENT_BINARY_DIR}/${name}" "${TORCH_ROOT}\\n${KIM_API_CMAKE_CXX_COMPILER}")
  install(FILES "${CMAKE_CURRENT_BINARY_DIR}/${name}"
    DESTINATION "${KIM_API_MODEL_DRIVER_INSTALL_PREFIX}/${name}" RENAME library.so)
endforeach()
"""


class DriverMachine(Machine):
    """A machine with a synthetic torch and KIM-API, and the stand-in for the driver's sources."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine.folder, machine.environment)
        odd = self.folder / ODD_NAME
        self.environment |= {
            "TORCH_ROOT": str(make_torch(odd / "torch")),
            "KIM_API_CMAKE_PREFIX_DIR": str(make_kim(odd / "kim")),
            "KIM_API_MODEL_DRIVERS_DIR": str(odd / "collection"),
        }
        self.collection = odd / "collection"
        self.sources = odd / "driver_src"
        write(self.sources / "CMakeLists.txt", STAND_IN)
        write(
            self.sources / "pyproject.toml",
            '[project]\nname = "torchml-driver"\nversion = "1.2.3"\ndependencies = ["vesin"]\n'
            '[tool.scikit-build]\nwheel.packages = []\ninstall.components = ["python"]\n',
        )
        self.work('message(STATUS "working")')
        self.script = write(
            self.folder / "run.py",
            "from pathlib import Path\n"
            "import torchml_installer.driver.build as build\n"
            f"build.shared_folder = lambda name: Path({str(self.sources)!r})\n"
            "from torchml_installer.cli import main\n"
            "main()\n",
        )

    def work(self, cmake_code: str) -> None:
        """Sets what building does."""
        write(self.sources / "work.cmake", cmake_code + "\n")

    def command(self, *arguments: str) -> list[str]:
        return ["driver", "--no-python", "--collection", "environment", *arguments]

    def installed(self) -> list[str]:
        if not self.collection.exists():
            return []
        return sorted(path.name for path in self.collection.iterdir())
