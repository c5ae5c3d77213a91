"""Each detector says where it looked, in order, and why it did not take what was there."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.installer.synthetic_machines import OLD_ABI, make_kim, make_program, make_torch, write
from torchml_installer.detect import (
    accelerators,
    build_tool,
    cmake,
    compiler,
    cuda,
    cxx_library,
    enzyme,
    kim_api,
    lammps,
    libdescriptor,
    modules,
    mpi,
    pkg_config,
    programs,
    published_models,
    python_packages,
    torch,
    torch_extension,
    xxd,
)
from torchml_installer.detect.known_extensions import EXTENSIONS
from torchml_installer.detect.record import Finding, Place
from torchml_installer.support import receipts

SCATTER = EXTENSIONS["scatter"]
Setter = Callable[[Mapping[str, str]], None]


@pytest.fixture(autouse=True)
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clean_environment: Setter) -> Path:
    """A machine with one empty folder on PATH, which is returned, and no variable set."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in (
        *("CUDA_HOME", "CUDA_PATH", "CUDAToolkit_ROOT", "CUDNN_ROOT", "CUDNN_PATH", "ROCM_PATH"),
        *("ROCM_HOME", "HIP_PATH", "ENZYME_ROOT", "Enzyme_ROOT", "Enzyme_DIR", "LMOD_CMD"),
        *(
            "MODULESHOME",
            "LOADEDMODULES",
            "LMOD_VERSION",
            "LD_LIBRARY_PATH",
            "CRAYPE_VERSION",
            "CRAY_MPICH_VERSION",
            *torch.MODULES,
        ),
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(programs, "python_program_folder", lambda: tmp_path / "python-bin")
    monkeypatch.setattr(torch, "python_torch_folder", lambda: None)
    return folder


def refused(found: Finding) -> list[tuple[str, str]]:
    return [(place.how, place.refused) for place in found.looked]


def test_a_torch_of_the_old_abi_and_those_behind_it_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = make_torch(tmp_path / "python", "2.4.0", config=OLD_ABI)
    monkeypatch.setattr(torch, "python_torch_folder", lambda: old)
    monkeypatch.setenv("CONDA_PREFIX", str(make_torch(tmp_path / "conda")))
    looked = torch.detect(None).looked
    assert [place.where for place in looked[2:4]] == [old, tmp_path / "conda"]
    assert "uses the old C++ ABI" in looked[2].refused
    assert looked[3].refused == "2.13.0+cpu: an earlier one is used"


def test_places_that_lead_to_no_torch_are_listed_in_order(tmp_path: Path) -> None:
    assert refused(torch.detect(None))[:5] == [
        ("TORCH_ROOT", "not set"),
        ("Torch_ROOT", "not set"),
        ("the active Python", "it has no package torch"),
        ("CONDA_PREFIX", "not set"),
        (
            "modules",
            "not set, and neither is any of PY_TORCH_ROOT, PYTORCH_ROOT, PYTORCH_HOME, "
            "LIBTORCH_ROOT, LIBTORCH_HOME, LIBTORCH, CMAKE_PREFIX_PATH",
        ),
    ]
    looked = torch.detect(make_torch(tmp_path)).looked
    assert [(place.how, place.refused) for place in looked[:2]] == [
        ("--torch-root", ""),
        ("TORCH_ROOT", "not set"),
    ]
    assert (looked[-1].where, looked[-1].how) == (Path("/opt/libtorch"), "/opt")


@pytest.mark.parametrize(
    ("variable", "value", "inside"),
    [
        ("EBROOTPYTORCH", "{}", "lib/python3.11/site-packages/torch"),
        ("PY_TORCH_ROOT", "{}", "lib/python3.11/site-packages/torch"),
        ("PYTORCH_HOME", "{}", ""),
        ("LIBTORCH", "{}", ""),
        ("CMAKE_PREFIX_PATH", "/nowhere:{}", ""),
        ("CMAKE_PREFIX_PATH", "{}", "lib/python3.11/site-packages/torch"),
        ("CMAKE_PREFIX_PATH", "{}/share/cmake", ""),
    ],
)
def test_what_modules_of_clusters_set_leads_to_their_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, inside: str
) -> None:
    root = make_torch(tmp_path / inside)
    monkeypatch.setenv(variable, value.format(tmp_path))
    found = torch.detect(None)
    assert (found.where, found.how) == (root, f"the module {variable}")


def test_a_kim_api_without_its_development_files_is_listed_before_the_one_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONDA_PREFIX", str(make_kim(tmp_path / "conda", development=False)))
    whole = make_kim(tmp_path / "whole")
    make_program(whole / "bin/kim-api-collections-management", "")
    monkeypatch.setenv("PATH", str(whole / "bin"))
    looked = kim_api.detect(None).looked
    assert looked[0].refused == "not set"
    assert "lacks the files to build" in looked[1].refused
    assert [(place.where, place.refused) for place in looked if place.how == "PATH"] == [
        (whole, "")
    ]


def test_kim_is_found_by_pkg_config(
    bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = kim_api.detect(None)
    assert ("pkg-config", "no such program") in refused(found)
    make_program(bare / "pkg-config", "", code=1)
    assert ("pkg-config", "it knows no libkim-api") in refused(kim_api.detect(None))
    prefix = make_kim(tmp_path / "kim")
    # As Debian's file puts it.
    make_program(bare / "pkg-config", f"{prefix}/lib/pkgconfig/../../")
    make_program(prefix / "bin/kim-api-collections-management", "")
    monkeypatch.setenv("PATH", f"{bare}:{prefix / 'bin'}")
    found = kim_api.detect(None)
    assert (found.where, found.how, found.version) == (prefix, "pkg-config", "2.3.0")
    ways = {place.how: place.refused for place in found.looked}
    assert (ways["pkg-config"], ways["PATH"]) == ("", "already searched")


def test_two_kim_apis_are_both_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = make_kim(tmp_path / "first")
    monkeypatch.setenv("CONDA_PREFIX", str(make_kim(tmp_path / "conda", "2.4.2")))
    found = kim_api.detect(first)
    assert found.where == first
    assert ("CONDA_PREFIX", "2.4.2: an earlier one is used") in refused(found)


def test_compilers_and_cmakes_that_do_not_run_are_listed(bare: Path) -> None:
    make_program(bare / "c++", "no license", code=1)
    make_program(bare / "g++", "g++ (GCC) 12.2.0")
    (_, first), (_, second), *_ = refused(compiler.detect(None))
    assert "does not run" in first
    assert second == ""
    make_program(bare / "cmake", "cmake version 3.16.3")
    ((_, reason),) = refused(cmake.detect())
    assert "the driver needs 3.18 or newer" in reason


def test_a_stub_of_libcuda_is_no_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "_cached_library", lambda: None)
    monkeypatch.setattr(cuda, "_SYSTEM", ())
    stub = write(tmp_path / "cuda/lib64/stubs/libcuda.so.1")
    real = write(tmp_path / "driver/libcuda.so.1")
    monkeypatch.setenv("LD_LIBRARY_PATH", str(stub.parent))
    found = cuda.detect_driver()
    assert not found.usable
    assert found.details == {"libcuda": "only a stub"}
    assert "only for linking" in found.looked[0].refused
    monkeypatch.setenv("LD_LIBRARY_PATH", f"{stub.parent}:{tmp_path}:{real.parent}")
    found = cuda.detect_driver()
    assert (found.where, found.details) == (real, {"libcuda": "real"})
    assert found.looked[1].refused == "no libcuda.so.1"


def test_a_link_to_a_stub_is_a_stub(tmp_path: Path) -> None:
    stub = write(tmp_path / "cuda/lib64/stubs/libcuda.so")
    link = tmp_path / "lib/libcuda.so.1"
    link.parent.mkdir()
    link.symlink_to(stub)
    assert cuda.is_stub(link)


def test_the_cuda_toolkit_is_found_with_its_stub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "cuda"
    make_program(root / "bin/nvcc", "Cuda compilation tools, release 12.4, V12.4.131")
    stub = write(root / "targets/x86_64-linux/lib/stubs/libcuda.so")
    monkeypatch.setenv("CUDA_HOME", str(tmp_path / "gone"))
    monkeypatch.setenv("CUDA_PATH", str(root))
    found = cuda.detect_toolkit()
    assert (found.where, found.version) == (root, "12.4")
    assert found.details == {"libcuda stub": str(stub)}
    assert refused(found)[:3] == [
        ("CUDA_HOME", "no bin/nvcc"),
        ("CUDA_PATH", ""),
        ("CUDAToolkit_ROOT", "not set"),
    ]
    assert cuda.stub() == stub


def test_a_script_that_starts_an_nvcc_elsewhere_is_no_toolkit(bare: Path) -> None:
    make_program(bare / "nvcc", "Cuda compilation tools, release 12.4, V12.4.131")
    found = cuda.detect_toolkit()
    assert found.where != bare.parent
    assert ("PATH", "it has bin/nvcc but nothing else") in refused(found)


def test_cudnn_and_rocm_are_found_with_their_versions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "cudnn"
    write(root / "lib/libcudnn.so.9")
    write(
        root / "include/cudnn_version.h",
        "#define CUDNN_MAJOR 9\n#define CUDNN_MINOR 1\n#define CUDNN_PATCHLEVEL 0\n",
    )
    monkeypatch.setenv("CUDNN_ROOT", str(tmp_path / "gone"))
    monkeypatch.setenv("CUDNN_PATH", str(root))
    found = accelerators.detect_cudnn()
    assert (found.where, found.version) == (root, "9.1.0")
    assert refused(found)[0] == ("CUDNN_ROOT", "no lib/libcudnn.so")
    write(tmp_path / "rocm/lib/libamdhip64.so.6")
    write(tmp_path / "rocm/.info/version", "6.1.0-82\n")
    monkeypatch.setenv("ROCM_PATH", str(tmp_path / "rocm"))
    assert accelerators.detect_rocm().version == "6.1.0-82"


@pytest.mark.parametrize(
    ("detector", "variables"),
    [
        (cuda.detect_toolkit, ("CUDA_HOME", "CUDA_PATH", "CUDAToolkit_ROOT", "CONDA_PREFIX")),
        (accelerators.detect_cudnn, ("CUDNN_ROOT", "CUDNN_PATH")),
        (accelerators.detect_rocm, ("ROCM_PATH", "ROCM_HOME", "HIP_PATH")),
        (enzyme.detect, ("ENZYME_ROOT", "Enzyme_ROOT", "Enzyme_DIR", "CONDA_PREFIX")),
    ],
)
def test_variables_that_are_not_set_are_listed_before_the_systems_folders(
    detector: Callable[[], Finding], variables: tuple[str, ...]
) -> None:
    places = refused(detector())
    assert places[: len(variables)] == [(variable, "not set") for variable in variables]
    assert len(places) > len(variables)


def test_enzyme_is_found_however_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = write(tmp_path / "lib/ClangEnzyme-14.so")
    monkeypatch.setenv("ENZYME_ROOT", str(tmp_path))
    found = enzyme.detect()
    assert (found.where, found.version) == (library, "LLVM 14")
    monkeypatch.setenv("ENZYME_ROOT", str(tmp_path / "gone"))
    monkeypatch.setenv("Enzyme_DIR", str(tmp_path / "lib/cmake/Enzyme"))
    found = enzyme.detect()
    assert (found.where, found.how) == (library, "Enzyme_DIR")
    assert refused(found)[0] == ("ENZYME_ROOT", "no lib/ClangEnzyme-*.so")


def test_lammps_without_kim_and_those_behind_it_are_listed(bare: Path) -> None:
    write(bare / "lmp", "no KIM here", executable=True)
    write(bare / "lmp_serial", "libkim-api.so.2", executable=True)
    looked = lammps.detect().looked
    assert [place.where.name for place in looked] == ["lmp", "lmp_serial", "lmp_mpi"]
    assert "without its KIM package" in looked[0].refused
    assert [place.refused for place in looked[1:]] == ["an earlier one is used", "no such program"]


def test_a_ninja_that_does_not_run_is_listed_before_make(bare: Path) -> None:
    make_program(bare / "ninja", "", code=1)
    make_program(bare / "make", "GNU Make 4.3")
    assert refused(build_tool.detect()) == [("PATH", "does not run"), ("PATH", "")]


def test_libdescriptor_says_where_it_was_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert refused(libdescriptor.detect()) == [
        ("LIBDESCRIPTOR_ROOT", "not set"),
        ("torchml-install deps", "no lib/libdescriptor.so"),
    ]
    monkeypatch.setenv("CONDA_PREFIX", str(tmp_path))
    assert refused(libdescriptor.detect())[1] == ("CONDA_PREFIX", "no lib/libdescriptor.so")


def test_libraries_are_found_where_deps_was_told_to_put_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    for name in ("libtorch", SCATTER.title, libdescriptor.TITLE):
        for prefix in ("removed", "prefix"):
            receipts.write(receipts.Receipt("library", name, [tmp_path / prefix / name], {}))
    libtorch = torch.detect(make_torch(tmp_path / "prefix/libtorch")).where
    found = torch.detect(None)
    assert (found.where, found.how) == (libtorch, "torchml-install deps")
    write(tmp_path / "prefix" / SCATTER.title / "lib/libtorchscatter.so")
    scatter = torch_extension.detect(SCATTER, found)
    assert (scatter.where, scatter.usable) == (tmp_path / "prefix" / SCATTER.title, True)
    broken = write(tmp_path / "prefix" / libdescriptor.TITLE / "lib/libdescriptor.so")
    descriptor = libdescriptor.detect()
    assert descriptor.where == broken.parents[1]
    assert "cannot be used" in descriptor.looked[-1].refused
    # What somebody has written into a receipt never breaks the report.
    write(tmp_path / "data/torchml-install/receipts/library-libtorch-0.json", '{"files": 3}')
    assert torch.detect(None).where == libtorch


def test_modules_say_what_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert refused(modules.detect()) == [("LMOD_CMD", "not set"), ("MODULESHOME", "not set")]
    monkeypatch.setenv("LMOD_CMD", str(write(tmp_path / "lmod")))
    monkeypatch.setenv("LMOD_VERSION", "8.7")
    monkeypatch.setenv("LOADEDMODULES", "gcc/12:cuda/12.4")
    found = modules.detect()
    assert (found.version, found.details) == ("Lmod 8.7", {"loaded": "gcc/12 cuda/12.4"})


@pytest.mark.parametrize(
    ("text", "family"),
    [
        ("mpirun (Open MPI) 4.1.4", "Open MPI"),
        ("HYDRA build details:\n    Version: 4.0.2", "MPICH"),
        ("Intel(R) MPI Library for Linux* OS, Version 2021.5", "Intel MPI"),
        ("something else 1.0", ""),
    ],
)
def test_the_family_of_an_mpirun_is_told(bare: Path, text: str, family: str) -> None:
    make_program(bare / "mpirun", text)
    found = mpi.detect()
    assert mpi.launcher_family(text) == family
    assert found.version.startswith(family)
    assert found.usable


@pytest.mark.parametrize(
    ("text", "family"),
    [
        ("gcc -I/usr/lib/x86_64-linux-gnu/openmpi/include -lmpi_cxx -lmpi", "Open MPI"),
        ("g++ -I/usr/include/x86_64-linux-gnu/mpich -lmpichcxx -lmpich", "MPICH"),
        ("g++ -I/opt/intel/oneapi/mpi/2021.5/include -lmpicxx -lmpifort -lmpi", "Intel MPI"),
        ("g++ -I/opt/mpi/include -lmpi", ""),
    ],
)
def test_the_family_of_a_compiler_wrapper_is_told(bare: Path, text: str, family: str) -> None:
    assert mpi.wrapper_family(make_program(bare / "mpicxx", text)) == family


def test_an_mpirun_that_does_not_run_is_listed(bare: Path) -> None:
    make_program(bare / "mpirun", "", code=1)
    make_program(bare / "mpiexec", "mpiexec (OpenRTE, Open MPI) 4.1.4")
    found = mpi.detect()
    assert found.where == bare / "mpiexec"
    assert refused(found)[:2] == [("PATH", "does not run"), ("PATH", "")]


def test_every_compiler_wrapper_is_shown_with_its_family(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_program(bare / "mpicxx", "g++ -I/usr/lib/openmpi/include -lmpi")
    (bare / "mpic++").symlink_to(bare / "mpicxx")
    make_program(bare / "mpiicpx", "icpx -I/opt/intel/oneapi/mpi/2021.5/include -lmpicxx -lmpi")
    make_program(bare / "CC", "")
    found = mpi.detect()
    shown = f"Open MPI {bare / 'mpicxx'}; Intel MPI {bare / 'mpiicpx'}"
    assert found.details == {"compiler wrapper": shown}
    assert [(place.where.name, place.refused) for place in found.looked] == [
        ("mpirun", "no such program"),
        ("mpiexec", "no such program"),
        ("mpicxx", ""),
        ("mpic++", "the same as an earlier one"),
        ("mpiicpx", ""),
        ("mpiicpc", "no such program"),
    ]
    monkeypatch.setenv("CRAYPE_VERSION", "2.7.20")
    assert mpi.detect().looked[-1].refused == "no module cray-mpich is loaded"
    monkeypatch.setenv("CRAY_MPICH_VERSION", "8.1.25")
    assert mpi.detect().details == {"compiler wrapper": f"{shown}; MPICH {bare / 'CC'}"}


def test_lammps_is_compared_with_the_mpirun_at_hand() -> None:
    built = Finding("lammps", "LAMMPS", details={"MPI": "MPICH"})
    for version, kind in (("Intel MPI 2021.5", "of the same MPI"), ("Open MPI 4.1.4", "another")):
        launcher = Finding("mpi", "MPI", version=version)
        assert kind in lammps.compared(built, launcher).details["mpirun"]
    assert lammps.compared(built, Finding("mpi", "MPI")) == built


@pytest.mark.parametrize(
    ("library", "family"),
    [
        (b"libmpi_gnu_103.so.12", "MPICH"),
        (b"libmpi_cray.so.12", "MPICH"),
        (b"libmpi_nvidia.so.12", "MPICH"),
        (b"libmpich_gnu_82.so.3", "MPICH"),
        (b"libmpi_cxx.so.40\0libmpi.so.40", "Open MPI"),
        (b"libmpi_usempif08.so.40", ""),
    ],
)
def test_the_family_of_a_library_is_told(library: bytes, family: str) -> None:
    assert mpi.library_family(b"\0" + library + b"\0") == family


def test_mpich_and_its_descendants_go_together() -> None:
    assert mpi.compatible("MPICH", "Intel MPI")
    assert mpi.compatible("", "Open MPI")
    assert not mpi.compatible("MPICH", "Open MPI")
    assert mpi.library_family(b"\0libmpi.so.40\0") == "Open MPI"
    assert mpi.library_family(b"\0libmpich.so.12\0") == "MPICH"
    assert mpi.library_family(b"\0libm.so.6\0") == ""


def test_the_libstdcxx_that_programs_load_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conda = tmp_path / "conda"
    (conda / "conda-meta").mkdir(parents=True)
    assert cxx_library.at_run_time(conda) is None
    own = write(conda / "lib" / cxx_library.NAME)
    assert cxx_library.at_run_time(conda) == own
    system = cxx_library.at_run_time(tmp_path)
    assert system is None or not system.is_relative_to(tmp_path)
    first = write(tmp_path / "loaded" / cxx_library.NAME)
    monkeypatch.setenv("LD_LIBRARY_PATH", f":/nowhere:{first.parent}")
    assert cxx_library.at_run_time(conda) == first


def test_small_programs_are_listed_with_those_behind_them(
    bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    detectors = {"xxd": xxd.detect, "pkg-config": pkg_config.detect, "cmake": cmake.detect}
    for name, detector in detectors.items():
        assert not detector().usable
        assert refused(detector()) == [("PATH", "no such program")]
        says = "cmake version 3.25.1" if name == "cmake" else "1.8.1"
        first, second = make_program(bare / name, says), make_program(tmp_path / name, says)
        monkeypatch.setenv("PATH", f"{bare}:{tmp_path}")
        found = detector()
        assert (found.usable, found.where) == (True, first)
        assert [place.where for place in found.looked] == [first, second]
        assert refused(found) == [("PATH", ""), ("PATH", "an earlier one is used")]
        monkeypatch.setenv("PATH", str(bare))
    assert pkg_config.detect().version == "1.8.1"


def test_ninja_and_make_are_both_listed(bare: Path) -> None:
    assert refused(build_tool.detect()) == [("PATH", "no such program")] * 2
    make_program(bare / "make", "GNU Make 4.3")
    make_program(bare / "ninja", "1.11.1")
    assert refused(build_tool.detect()) == [("PATH", ""), ("PATH", "an earlier one is used")]
    make_program(bare / "ninja", "", code=1)
    assert refused(build_tool.detect()) == [("PATH", "does not run"), ("PATH", "")]


def test_published_models_are_found_beside_the_kim_api_and_in_collections(
    bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("KIM_API_PORTABLE_MODELS_DIR", raising=False)
    prefix = tmp_path / "kim"
    make_program(prefix / "bin/kim-api-collections-management", "")
    monkeypatch.setenv("PATH", str(prefix / "bin"))
    potential = published_models.REFERENCE
    name = f"{potential}_005"
    assert refused(published_models.detect()) == [("beside the KIM-API", f"no {potential}")]
    own = tmp_path / "home/.kim-api/2.3.0/portable-models-dir"
    (own / name).mkdir(parents=True)
    found = published_models.detect()
    assert (found.where, found.how) == (own, "the user's collection")
    variable = tmp_path / "collection"
    (variable / name).mkdir(parents=True)
    monkeypatch.setenv("KIM_API_PORTABLE_MODELS_DIR", f"/nowhere:{variable}")
    assert published_models.detect().where == variable
    beside = prefix / "lib/x86_64-linux-gnu/kim-api"
    (beside / "portable-models" / name).mkdir(parents=True)
    found = published_models.detect()
    assert (found.where, found.how) == (beside, "beside the KIM-API")
    assert [reason for _, reason in refused(found)] == [
        "",
        f"no {potential}",
        "an earlier one is used",
        "an earlier one is used",
    ]
    assert published_models.reference_in(beside) == name
    (beside / "portable-models" / f"{potential}_006").mkdir()  # as in Debian forky
    assert published_models.reference_in(beside) == f"{potential}_006"


def test_the_newest_symbols_of_a_libstdcxx_are_compared_as_numbers(tmp_path: Path) -> None:
    library = write(tmp_path / "libstdc++.so.6", "GLIBCXX_3.4.9\0GLIBCXX_3.4.30\0GLIBCXX_3.4\0")
    assert cxx_library.newest_symbols(library) == (3, 4, 30)
    assert cxx_library.newest_symbols(tmp_path / "missing") == ()


# --- Python packages ------------------------------------------------------------------------


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The one folder in which Python looks for packages."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.setattr(sys, "path", [str(folder)])
    # Other tests have imported it.
    monkeypatch.delitem(sys.modules, "ase", raising=False)
    return folder


def test_a_package_is_where_python_would_import_it_from(packages: Path) -> None:
    write(packages / "ase/__init__.py", "raise SystemExit('ase was imported')\n")
    found = python_packages.detect("ase")
    assert (found.usable, found.where, found.version) == (True, packages / "ase", "")
    write(packages / "ase-9.9.dist-info/METADATA", "Name: ase\nVersion: 9.9\n")
    assert python_packages.detect("ase").version == "9.9"
    assert found.looked == (Place(packages / "ase", "the active Python"),)


@pytest.mark.parametrize("notes", ["ase-9.9-py3.11.egg-info/PKG-INFO", "ase-9.9.egg-info"])
def test_the_version_of_what_older_tools_installed_is_read(packages: Path, notes: str) -> None:
    write(packages / "ase/__init__.py")
    write(packages / "ase_extras-1.0.dist-info/METADATA", "Version: 1.0\n")
    write(packages / notes, "Metadata-Version: 1.2\nName: ase\nVersion: 9.9\n")
    assert python_packages.detect("ase").version == "9.9"


def test_a_half_removed_package_is_missing(packages: Path) -> None:
    (packages / "ase-9.9.dist-info").mkdir()
    (packages / "kimpy").mkdir()
    for name in ("ase", "kimpy"):
        found = python_packages.detect(name)
        assert (found.usable, found.version) == (False, "")
        assert found.looked[0].refused == f"no package {name}"
    found = python_packages.detect("ase")
    assert "pip install ase --ignore-installed" in found.next_step
    assert found.looked[-1].where == packages / "ase-9.9.dist-info"
    assert "half removed" in found.looked[-1].refused


def test_the_python_module_comes_from_the_driver_and_not_from_pip(packages: Path) -> None:
    found = python_packages.detect("torchml_driver")
    assert not found.usable
    assert found.next_step.endswith(": `torchml-install driver`.")
    write(packages / "torchml_driver/__init__.py")
    write(packages / "torchml_driver-0.1.0.dist-info/METADATA", "Version: 0.1.0\n")
    found = python_packages.detect("torchml_driver")
    assert (found.where, found.version) == (packages / "torchml_driver", "0.1.0")


def test_a_package_that_developers_work_on_is_found(
    packages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = write(packages.parent / "source/ase/__init__.py")
    spec = importlib.util.spec_from_file_location("ase", origin)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: spec)
    found = python_packages.detect("ase")
    assert found.where == origin.parent
    assert [place.refused for place in found.looked] == ["no package ase", ""]
