"""libcuda.so.1 is missing at link time: a library that needs it (a CUDA-aware MPI, a CUDA build) is
linked on a machine without NVIDIA's driver, such as a login node or a container."""

from __future__ import annotations

import re
import shutil
import subprocess

from torchml_installer.building.plan import BuildPlan
from torchml_installer.detect import cuda
from torchml_installer.errors import KnownProblemError
from torchml_installer.remedies.remedy import Remedy, Repair, Symptom
from torchml_installer.support.paths import cache_folder, is_plain, own_temporary_folder
from torchml_installer.support.process import plain_language_environment

_IN_LOG = re.compile(
    r"libcuda\.so\.1,? needed by \S+,? not found"
    r"|cannot find -lcuda\b|unable to find library -lcuda\b"
)
_FLAGS = ("CMAKE_EXE_LINKER_FLAGS", "CMAKE_SHARED_LINKER_FLAGS", "CMAKE_MODULE_LINKER_FLAGS")


class LibcudaMissing(Remedy):
    name = "libcuda-missing"

    def before_build(self, plan: BuildPlan) -> Symptom | None:
        return None  # the driver does not need it; only the build shows what else it links

    def in_log(self, text: str, plan: BuildPlan) -> Symptom | None:
        match = _IN_LOG.search(text)
        if match is None:
            return None
        return Symptom(
            f"The linker reports '{match[0]}'. libcuda comes with NVIDIA's driver, which this "
            "machine lacks. Programs need the real one only where they run: a stub with its "
            "symbols is enough to link them.",
            repair="link against a stub of libcuda in a private folder, unused at run time",
        )

    def fix(self, plan: BuildPlan) -> Repair:
        """Adds a folder that only the linker sees: no run path, no LD_LIBRARY_PATH."""
        parent = cache_folder() if is_plain(cache_folder()) else own_temporary_folder()
        folder = parent / "libcuda-stub"
        folder.mkdir(parents=True, exist_ok=True)
        flags = f"-L{folder} -Wl,-rpath-link,{folder}"
        library = folder / cuda.LIBRARY
        library.unlink(missing_ok=True)
        if (stub := cuda.stub()) is not None:
            shutil.copyfile(stub, library)
        else:
            # Without a toolkit there are no symbols: the linker must ignore undefined ones.
            self._make_empty(plan, str(library))
            flags += " -Wl,--allow-shlib-undefined"
        link = folder / "libcuda.so"
        link.unlink(missing_ok=True)
        link.symlink_to(library.name)
        flags = f"{plan.variable('LDFLAGS')} {flags}".strip()
        whose = "an empty" if stub is None else "the CUDA toolkit's"
        linked = plan.with_variables(dict.fromkeys(_FLAGS, flags))
        return Repair(f"the linker finds {whose} libcuda in {folder}.", linked)

    def _make_empty(self, plan: BuildPlan, library: str) -> None:
        cxx = plan.tools.compiler.where
        assert cxx is not None, "the build had one"
        options = ("-shared", "-nostdlib", f"-Wl,-soname,{cuda.LIBRARY}", "-x", "c++", "/dev/null")
        done = subprocess.run(
            [str(cxx), *options, "-o", library],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=plain_language_environment(plan.environment),
            check=False,
        )
        if done.returncode != 0:
            reason = done.stderr.decode(errors="replace").strip()
            raise KnownProblemError(
                f"Cannot make a stub of libcuda: {reason}",
                "Load the module of the CUDA toolkit, which has one in lib64/stubs, and run again.",
            )
