"""Other libraries in a process: another torch, a BLAS, an OpenMP library.

Each program runs in a separate process, with small libraries that are compiled here.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.installer.compiled import compiled, needs_compiler
from tests.support import ROOT, SANITIZER_SETTINGS, DriverEnvironment
from tests.support.structures import EXAMPLE_MODEL

pytestmark = [
    needs_compiler,
    pytest.mark.usefixtures("in_collection"),
    pytest.mark.skipif(bool(SANITIZER_SETTINGS), reason="LD_PRELOAD is the sanitizers'"),
]

ENERGY = -261.3538177342696

#: Loads a model and prints its energy and warnings.
IN_PYTHON = """
import sys, warnings
from tests.support.structures import rattled_crystal
atoms = rattled_crystal()
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    import torchml_driver
    potential = torchml_driver.Potential(sys.argv[1])
for one in seen:
    print("warning:", one.category.__name__, one.message)
arrays = (atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc)
print("energy:", potential.compute(*arrays).energy)
"""
#: The same through KIM, without torch in Python.
IN_KIM = """
import sys
from tests.support.kim_simulator import Particles, Simulator
from tests.support.structures import CUTOFF, rattled_crystal
assert "torch" not in sys.modules
print("energy:", Simulator(sys.argv[1]).compute(Particles.of(rattled_crystal(), CUTOFF)).energy)
"""

#: Products of column-major matrices, as BLAS defines them.
BLAS = """
template <class T>
T entry(const T* matrix, int rows, char transposed, int i, int j) {
    const bool plain = transposed == 'n' || transposed == 'N';
    return plain ? matrix[i + long(j) * rows] : matrix[j + long(i) * rows];
}
template <class T>
void multiply(const char* ta, const char* tb, const int* m, const int* n, const int* k,
              const T* alpha, const T* a, const int* lda, const T* b, const int* ldb,
              const T* beta, T* c, const int* ldc) {
    for (int j = 0; j < *n; ++j) {
        for (int i = 0; i < *m; ++i) {
            T sum = 0;
            for (int l = 0; l < *k; ++l) {
                sum += entry(a, *lda, *ta, i, l) * entry(b, *ldb, *tb, l, j);
            }
            T& result = c[i + long(j) * *ldc];
            result = FACTOR * *alpha * sum + (*beta == 0 ? 0 : *beta * result);
        }
    }
}
#define ROUTINE(T, name)                                                                    \\
    extern "C" void name(const char* ta, const char* tb, const int* m, const int* n,        \\
                         const int* k, const T* alpha, const T* a, const int* lda,          \\
                         const T* b, const int* ldb, const T* beta, T* c, const int* ldc) { \\
        multiply(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);                     \\
    }
ROUTINE(double, dgemm_)
ROUTINE(float, sgemm_)
"""


def library(folder: Path, name: str, source: str, *options: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return compiled(folder / name, source, f"-Wl,-soname,{name}", *options)


def blas(folder: Path, factor: str) -> Path:
    """A BLAS with two routines; factor: 1 for a correct one."""
    return library(folder, "libblas.so.3", BLAS.replace("FACTOR", factor))


def other_torch(folder: Path, version: str = "1.99.0") -> Path:
    """A folder like torch's, with unusable libraries."""
    library(folder / "lib", "libc10.so", "int c10_of_another_torch;\n")
    library(folder / "lib", "libtorch_cpu.so", "int cpu_of_another_torch;\n")
    (folder / "version.py").write_text(f"__version__ = '{version}'\n")
    return folder / "lib"


def ran(
    program: str, model: Path | str, environment: DriverEnvironment, cwd: Path, **variables: str
) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    env: Mapping[str, str] = {**environment.env, "PYTHONPATH": path, **variables}
    return subprocess.run(
        [sys.executable, "-c", program, str(model)],
        cwd=cwd,
        env=dict(env),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def energy(done: subprocess.CompletedProcess[str]) -> float:
    assert done.returncode == 0, done.stdout + done.stderr
    return float(done.stdout.split("energy:")[1])


class TestAnotherTorch:
    def test_ld_library_path_leads_to_no_other_torch(
        self, driver_environment: DriverEnvironment, tmp_path: Path
    ) -> None:
        """Neither the module nor the driver."""
        variables = {"LD_LIBRARY_PATH": str(other_torch(tmp_path / "other"))}
        done = ran(IN_PYTHON, driver_environment.packed, driver_environment, tmp_path, **variables)
        assert energy(done) == pytest.approx(ENERGY, abs=1e-8)
        done = ran(IN_KIM, EXAMPLE_MODEL, driver_environment, tmp_path, **variables)
        assert energy(done) == pytest.approx(ENERGY, abs=1e-8)

    def test_an_import_that_fails_names_both_torches(
        self, driver_environment: DriverEnvironment, tmp_path: Path
    ) -> None:
        """As in a Python that has imported its own torch before."""
        import torch

        other = other_torch(tmp_path / "other")
        program = f"""
import ctypes
ctypes.CDLL({str(other / "libc10.so")!r})
ctypes.CDLL({str(other / "libtorch_cpu.so")!r})
import torchml_driver
"""
        done = ran(program, "", driver_environment, tmp_path)
        assert done.returncode == 1
        last = done.stderr.splitlines()[-1]
        assert last.startswith("ImportError: The engine of torchml_driver was built for torch")
        for part in (torch.__version__.partition("+")[0], torch.__file__.rpartition("/")[0]):
            assert part in last
        assert f"torch 1.99.0 in {other}" in last
        assert "`torchml-install driver`" in last

    def test_a_torch_for_import_that_is_another_is_warned_of(
        self, driver_environment: DriverEnvironment, tmp_path: Path
    ) -> None:
        package = tmp_path / "packages/torch"
        other_torch(package)
        (package / "__init__.py").write_text("raise ImportError('not today')\n")
        program = f"import sys\nsys.path[:0] = [{str(package.parent)!r}]\n{IN_PYTHON}"
        done = ran(program, driver_environment.packed, driver_environment, tmp_path)
        assert energy(done) == pytest.approx(ENERGY, abs=1e-8)
        (warning,) = (line for line in done.stdout.splitlines() if line.startswith("warning:"))
        assert f"torch 1.99.0 in {package}" in warning

    @pytest.mark.parametrize("program", [IN_PYTHON, IN_KIM], ids=["Python", "KIM"])
    def test_two_torches_are_an_error_that_names_both(
        self, program: str, driver_environment: DriverEnvironment, tmp_path: Path
    ) -> None:
        """Under two names, such as Debian's together with another one."""
        other = library(tmp_path / "other/lib", "libtorch_cpu.so.1.99", "int another_torch;\n")
        (tmp_path / "other/version.py").write_text("__version__ = '1.99.0'\n")
        model = driver_environment.packed if program == IN_PYTHON else EXAMPLE_MODEL
        loading = f"import ctypes\nctypes.CDLL({str(other)!r})\n"
        done = ran(loading + program, model, driver_environment, tmp_path)
        assert done.returncode == 1
        log = tmp_path / "kim.log"
        said = done.stderr if program == IN_PYTHON else log.read_text()
        assert "two torches" in said
        assert f"torch 1.99.0 in {other.parent}" in said


class TestLinearAlgebra:
    @pytest.mark.parametrize("program", [IN_PYTHON, IN_KIM], ids=["Python", "KIM"])
    def test_a_blas_that_is_wrong_is_an_error_that_names_it(
        self, program: str, driver_environment: DriverEnvironment, tmp_path: Path
    ) -> None:
        preloaded = blas(tmp_path / "blas", "2")
        model = driver_environment.packed if program == IN_PYTHON else EXAMPLE_MODEL
        done = ran(program, model, driver_environment, tmp_path, LD_PRELOAD=str(preloaded))
        assert done.returncode == 1
        said = done.stderr if program == IN_PYTHON else (tmp_path / "kim.log").read_text()
        assert "cannot multiply matrices" in said
        assert str(preloaded) in said
        assert "dgemm_" in said

    def test_a_blas_that_takes_the_place_of_torchs_is_warned_of(
        self, driver_environment: DriverEnvironment, tmp_path: Path
    ) -> None:
        preloaded = blas(tmp_path / "blas", "1")
        variables = {"LD_PRELOAD": str(preloaded)}
        done = ran(IN_PYTHON, driver_environment.packed, driver_environment, tmp_path, **variables)
        assert energy(done) == pytest.approx(ENERGY, abs=1e-8)
        (warning,) = (line for line in done.stdout.splitlines() if line.startswith("warning:"))
        assert "ModelWarning" in warning
        assert f"{preloaded}, which replaces torch's own dgemm_, sgemm_" in warning
        done = ran(IN_KIM, EXAMPLE_MODEL, driver_environment, tmp_path, **variables)
        assert energy(done) == pytest.approx(ENERGY, abs=1e-8)
        assert f"TorchML: this process has loaded {preloaded}" in (tmp_path / "kim.log").read_text()

    def test_threads_that_another_library_counts_are_an_error(
        self, driver_environment: DriverEnvironment, tmp_path: Path
    ) -> None:
        """Every thread would do the first one's share."""
        stub = 'extern "C" int omp_get_thread_num() { return 0; }\n'
        preloaded = library(tmp_path / "omp", "libstubs.so", stub)
        variables = {"LD_PRELOAD": str(preloaded)}
        done = ran(IN_PYTHON, driver_environment.packed, driver_environment, tmp_path, **variables)
        assert done.returncode == 1
        assert f"counted by {preloaded} (omp_get_thread_num)" in done.stderr

    def test_nothing_is_said_where_torch_has_its_own(
        self, driver_environment: DriverEnvironment, tmp_path: Path
    ) -> None:
        done = ran(IN_PYTHON, driver_environment.packed, driver_environment, tmp_path)
        assert energy(done) == pytest.approx(ENERGY, abs=1e-8)
        assert "warning:" not in done.stdout
