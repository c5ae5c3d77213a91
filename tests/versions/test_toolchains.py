"""The driver and its Python module, built and run with toolchains other than the suite's: the
oldest libtorch, the oldest and the newest torch that can be linked, CUDA builds without a GPU or a
CUDA toolkit, the oldest CMake, gcc and clang."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.kim import KIM

from tests.support import (
    DRIVER,
    ROOT,
    DriverEnvironment,
    kim_item,
    run,
    torchml_install,
)
from tests.support.descriptor_models import TanhNetwork
from tests.support.example_network import CUTOFF as NETWORK_CUTOFF
from tests.support.example_network import LAYERS, directly, example_network
from tests.support.lammps_runs import Lammps
from tests.support.structures import (
    ENERGY_TOLERANCE,
    EXAMPLE_MODEL,
    FORCE_TOLERANCE,
    REFERENCE_MODEL,
    rattled_crystal,
)
from tests.support.torch_models import parameter_text, torchscript
from tests.versions.computing import DESCRIPTOR_MODELS, DESCRIPTORS, references, structures
from tests.versions.toolchains import Toolchain

NETWORK = "TorchML_GN_Si"

TOOLCHAINS = [
    Toolchain(torch="system", cxx="g++", cmake="system"),
    *(
        pytest.param(toolchain, marks=pytest.mark.slow)
        for toolchain in (
            Toolchain(torch="system", cxx="clang++", cmake="3.18.4.post1"),
            Toolchain(torch="2.7.0", cxx="g++", cmake="3.18.4.post1"),
            Toolchain(torch="active", cxx="clang++", cmake="3.25.2"),
            Toolchain(torch="newest", cxx="g++-11", cmake="active"),
            Toolchain(torch="newest", cxx="clang++", cmake="3.18.4.post1"),
        )
    ),
]

#: The libraries that the driver may request from the loader, without CUDA's and Python's.
NEEDED = re.compile(
    r"lib(torch_cpu|c10|kim-api|stdc\+\+|m|gcc_s|c|dl|pthread|rt)\.so(\.\d+)*|ld-linux.*"
)


@dataclass(frozen=True)
class Built:
    """A toolchain's driver and Python module, with models in a separate collection."""

    toolchain: Toolchain
    python: Path
    collection: Path
    env: Mapping[str, str]


pytestmark = pytest.mark.usefixtures("in_folder")


@pytest.fixture
def in_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """KIM writes its log into the current folder."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def packed(
    driver_environment: DriverEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """Portable models with either calling convention, made with the suite's torch."""
    work = tmp_path_factory.mktemp("models")
    (work / "GN_Si.pt").write_bytes(torchscript(example_network()))
    pattern = ("--pattern", "graph", "--layers", str(LAYERS))
    options = ("--elements", "Si", "--cutoff", str(NETWORK_CUTOFF), *pattern, "--name", NETWORK)
    torchml_install("model", "pack", "GN_Si.pt", *options, env=driver_environment.env, cwd=work)
    descriptors = {name: descriptor_model(work, name) for name in DESCRIPTOR_MODELS}
    return {EXAMPLE_MODEL: driver_environment.packed, NETWORK: work / NETWORK, **descriptors}


class Weighted(torch.nn.Module):
    """The energy is the weighted sum of the descriptors."""

    def __init__(self, weights: np.ndarray) -> None:
        super().__init__()
        self.register_buffer("weights", torch.tensor(weights))

    def forward(self, descriptors: torch.Tensor) -> torch.Tensor:
        return (self.weights * descriptors).sum()


def descriptor_model(work: Path, name: str) -> Path:
    """A portable model with the weights of the descriptor's reference for silicon."""
    descriptor, kind = DESCRIPTOR_MODELS[name]
    folder = work / name
    folder.mkdir()
    module = Weighted(references()[f"case/{descriptor}@silicon/weights"])
    (folder / "model.pt").write_bytes(torchscript(module))
    shutil.copy(DESCRIPTORS / f"{descriptor}.kliff.dat", folder / "descriptor.dat")
    lines = ("1", "Si", "", "Descriptor", "", "5.0", "", "model.pt", "", "False", "1", "", kind)
    (folder / "model.param").write_text("\n".join(lines) + "\n")
    files = ["model.param", "model.pt", "descriptor.dat"]
    (folder / "CMakeLists.txt").write_text(kim_item(name, files))
    return folder


@pytest.fixture(scope="module", params=TOOLCHAINS, ids=lambda toolchain: toolchain.name)
def built(
    request: pytest.FixtureRequest,
    packed: Mapping[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Built:
    """Built with the users' command."""
    toolchain: Toolchain = request.param
    if lacking := toolchain.lacking():
        pytest.skip(f"{lacking} is not on this machine")
    python = toolchain.python()
    collection = tmp_path_factory.mktemp("collection")
    env = {
        **toolchain.environment(python),
        "KIM_API_MODEL_DRIVERS_DIR": str(collection),
        "KIM_API_PORTABLE_MODELS_DIR": str(collection),
    }
    command = (python, "-m", "torchml_installer")
    where = ("--collection", "environment")
    tools = ("--torch-root", toolchain.torch_root(), "--cxx", toolchain.cxx, "--python")
    run([*command, "driver", *where, *tools], env=env, cwd=collection)
    for folder in packed.values():
        run([*command, "model", "install", folder, *where], env=env, cwd=collection)
    return Built(toolchain, python, collection, env)


def expected(name: str, atoms: Atoms) -> tuple[float, np.ndarray]:
    """Energy (eV) and forces (eV/Å) without the driver."""
    if name == NETWORK:
        return directly(example_network(), atoms)
    if name in DESCRIPTOR_MODELS:
        case = f"case/{DESCRIPTOR_MODELS[name][0]}@silicon"
        weighted = references()[f"{case}/weights"] * references()[f"{case}/values"]
        return weighted.sum(), -references()[f"{case}/products"]
    atoms.calc = KIM(REFERENCE_MODEL)
    return atoms.get_potential_energy(), atoms.get_forces()


def assert_as_expected(built: Built, models: Mapping[str, Path], tmp_path: Path) -> None:
    """Results of installed models and of their folders, from KIM and from the Python module."""
    named = [f"{name}={folder}" for name, folder in models.items()]
    command = [built.python, "-m", "tests.versions.computing", "results.npz", *named]
    loaded = run(command, env=dict(built.env), cwd=tmp_path).splitlines()
    root = built.toolchain.torch_root().resolve()
    assert [Path(path).resolve().is_relative_to(root) for path in loaded] == [True], loaded
    found = np.load(tmp_path / "results.npz")
    for name in models:
        for structure, make in structures(name).items():
            energy, forces = expected(name, make())
            for door in ("kim", "python"):
                ours = {
                    what: found[f"{name} {structure} {door} {what}"]
                    for what in ("energy", "forces", "stress")
                }
                assert ours["energy"] == pytest.approx(energy, abs=ENERGY_TOLERANCE)
                np.testing.assert_allclose(ours["forces"], forces, rtol=0, atol=FORCE_TOLERANCE)
                same = found[f"{name} {structure} kim stress"]
                np.testing.assert_allclose(ours["stress"], same, rtol=0, atol=1e-12)


def test_models_give_the_same_as_without_the_driver(
    built: Built, packed: Mapping[str, Path], tmp_path: Path
) -> None:
    assert_as_expected(built, packed, tmp_path)


def assert_newer_torch_is_asked_for(built: Built, folder: Path) -> None:
    """For a driver with a torch from before AOTInductor, whatever the package contains."""
    (folder / "model.pt2").write_bytes(b"PK")
    (folder / "model.param").write_text(parameter_text("model.pt2"))
    program = f"import torchml_driver; torchml_driver.Potential({str(folder)!r})"
    done = subprocess.run(
        [built.python, "-c", program], env=built.env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "model.pt2 is an AOTInductor package, which needs torch 2.7 or newer" in done.stderr
    assert "this driver was built for torch 1.13" in done.stderr
    assert "torchml-install driver --torch-root" in done.stderr


def assert_libtorch_is_missed(built: Built, work: Path) -> None:
    """For a package from torch 2.7, which might otherwise use another torch."""
    root = built.toolchain.torch_root()
    libraries = work / "site-packages" / "torch" / "lib"
    libraries.mkdir(parents=True)
    for library in (root / "lib").iterdir():
        if library.name != "libtorch.so":
            (libraries / library.name).symlink_to(library)
    for folder in ("nvidia", "cusparselt"):  # CUDA's libraries, by their place next to torch
        (work / "site-packages" / folder).symlink_to(root.parent / folder)
    model = str(work / "TorchML_Compiled_Si")
    program = f"import torchml_driver; torchml_driver.Potential({model!r})"
    env = {**built.env, "LD_LIBRARY_PATH": str(libraries)}
    done = subprocess.run(
        [built.python, "-c", program], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stderr
    assert "TorchML_Compiled_Si.pt2 needs libtorch.so of torch 2.7.0" in done.stderr
    assert f"(there is no {libraries / 'libtorch.so'})" in done.stderr


def test_a_compiled_model_runs_with_its_torch_or_is_told_that_this_one_cannot(
    built: Built, tmp_path: Path
) -> None:
    if built.toolchain.torch == "system":
        assert_newer_torch_is_asked_for(built, tmp_path)
        return
    env, command = dict(built.env), [built.python, "-m", "torchml_installer", "model"]
    (tmp_path / "model.pt").write_bytes(torchscript(TanhNetwork(51)))
    kind = ("--elements", "Si", "--cutoff", "5.0", "--pattern", "descriptor")
    path = os.pathsep.join([str(built.toolchain.torch_root().parent), str(ROOT)])
    compiler = [built.python, "-m", "torchml_installer", "model", "compile"]
    made = ("--width", "51", "--arguments", '{"width": 51}', "--output", "model.pt2")
    printed = run(
        [*compiler, "tests.support.descriptor_models:TanhNetwork", *kind, *made],
        env={**env, "PYTHONPATH": path},
        cwd=tmp_path,
    )
    version = built.toolchain.torch_version()
    assert f"needs: torch {version} and a driver built for it" in printed
    folders = []
    for name, file in (("TorchML_Scripted_Si", "model.pt"), ("TorchML_Compiled_Si", "model.pt2")):
        options = ("--descriptor", DESCRIPTORS / "set51.kliff.dat", "--name", name)
        run([*command, "pack", file, *kind, *options], env=env, cwd=tmp_path)
        run([*command, "install", name, "--collection", "environment"], env=env, cwd=tmp_path)
        folders.append(f"{name}={tmp_path / name}")
    computing = [built.python, "-m", "tests.versions.computing", "results.npz", *folders]
    run(computing, env=env, cwd=tmp_path)
    found = np.load(tmp_path / "results.npz")
    compiled = [name for name in found if name.startswith("TorchML_Compiled_Si")]
    assert len(compiled) == 18  # three structures, two ways into the driver, three results
    for name in compiled:
        scripted = found[name.replace("Compiled", "Scripted")]
        np.testing.assert_allclose(found[name], scripted, rtol=0, atol=1e-10)
    if built.toolchain.torch == "2.7.0":
        assert_libtorch_is_missed(built, tmp_path)


@pytest.mark.parametrize("ranks", [1, 2])
def test_lammps_runs_both_models(built: Built, ranks: int, tmp_path: Path) -> None:
    atoms = rattled_crystal()
    env = {**built.env, "OMP_NUM_THREADS": "1", "KIM_MODEL_EXECUTION_DEVICE": "cpu"}
    for name in (EXAMPLE_MODEL, NETWORK):
        energy, forces = expected(name, atoms)
        ours = Lammps(tmp_path, env).static(atoms, name, ranks)
        assert ours.energy == pytest.approx(energy, abs=ENERGY_TOLERANCE)
        np.testing.assert_allclose(ours.forces, forces, rtol=0, atol=FORCE_TOLERANCE)


def test_the_libraries_need_nothing_but_torch_kim_and_the_languages_own(built: Built) -> None:
    find = "import torchml_driver._core as core; print(core.__file__)"
    module = Path(run([built.python, "-c", find], env=dict(built.env)).strip())
    (driver,) = (built.collection / DRIVER).glob("*.so")
    libraries = built.toolchain.torch_root().resolve() / "lib"
    for file in (driver, module):
        dynamic = run(["readelf", "--dynamic", "--wide", file])
        needed = re.findall(r"\(NEEDED\)\s+Shared library: \[(.+)\]", dynamic)
        assert any(name.startswith("libtorch_cpu.so") for name in needed)
        assert [name for name in needed if not NEEDED.fullmatch(name)] == []
        (path,) = re.findall(r"\((?:RUNPATH|RPATH)\)\s+Library r\w*path: \[(.*)\]", dynamic)
        folders = [Path(folder).resolve() for folder in path.split(":")]
        assert [folder.is_relative_to(libraries) for folder in folders] == [True]


def test_without_a_gpu_asking_for_one_says_why_there_is_none(built: Built, tmp_path: Path) -> None:
    env = {**built.env, "KIM_MODEL_EXECUTION_DEVICE": "cuda", "CUDA_VISIBLE_DEVICES": ""}
    script = f"from ase.calculators.kim import KIM; KIM({EXAMPLE_MODEL!r})"
    done = subprocess.run(
        [built.python, "-c", script], env=env, cwd=tmp_path, capture_output=True, check=False
    )
    assert done.returncode == 1
    log = (tmp_path / "kim.log").read_text()
    assert re.search(r"TorchML: .*KIM_MODEL_EXECUTION_DEVICE.*'cuda'", log), log
    cuda_build = (built.toolchain.torch_root() / "lib" / "libtorch_cuda.so").exists()
    # As if CUDA_VISIBLE_DEVICES hid the machine's GPUs.
    reasons = (
        "no NVIDIA driver|No CUDA GPUs are available" if cuda_build else "built without support"
    )
    assert re.search(reasons, log), log
