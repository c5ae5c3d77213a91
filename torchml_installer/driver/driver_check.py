"""Tests a newly built driver with a known energy before it replaces the installed one.

In private folders, this writes a model of a few lines without torch, builds it as KIM builds
models, and has the KIM-API evaluate it in a separate process (``known_energy.py``).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torchml_installer.building.cmake_project import CMakeProject
from torchml_installer.building.plan import BuildPlan
from torchml_installer.driver import known_energy
from torchml_installer.errors import REPORT, PythonModuleError, WrongEnergyError
from torchml_installer.models.parameter_file import CallingConvention, Parameters
from torchml_installer.support import console
from torchml_installer.support.kim_items import ItemKind
from torchml_installer.support.names import DEFAULT_DRIVER_NAME
from torchml_installer.support.paths import plain_temporary_parent
from torchml_installer.support.user_python import user_python

#: The name of the test's model in KIM.
MODEL = "TorchML_known_energy"
_CODE = """\
class Model(Module):
  __parameters__ = []
  __buffers__ = []
  training : bool
  _is_full_backward_hook : Optional[bool]
  def forward(self: __torch__.Model,
    species: Tensor,
    coords: Tensor,
    n_neigh: Tensor,
    nlist: Tensor,
    contributing: Tensor) -> Tensor:
    _0 = torch.arange(torch.numel(n_neigh), dtype=None, layout=None, device=ops.prim.device(coords))
    _1 = annotate(List[Optional[Tensor]], [torch.repeat_interleave(_0, n_neigh)])
    _2 = annotate(List[Optional[Tensor]], [torch.to(nlist, 4)])
    _3 = torch.sub(torch.index(coords, _1), torch.index(coords, _2))
    _4 = torch.sqrt(torch.sum(torch.mul(_3, _3), [1]))
    return torch.mul(torch.sum(torch.exp(torch.neg(_4))), 0.5)
"""
#: An object of the class above: pickle's GLOBAL, EMPTY_TUPLE, NEWOBJ, its attributes, BUILD, STOP.
_OBJECT = (
    b"\x80\x02c__torch__\nModel\n)\x81}(X\x08\x00\x00\x00training\x88"
    b"X\x16\x00\x00\x00_is_full_backward_hookNub."
)
_CMAKE_LISTS = """\
cmake_minimum_required(VERSION 3.10)
list(APPEND CMAKE_PREFIX_PATH $ENV{{KIM_API_CMAKE_PREFIX_DIR}})
find_package(KIM-API-ITEMS 2.2 REQUIRED CONFIG)
kim_api_items_setup_before_project(ITEM_TYPE "portableModel")
project({model})
kim_api_items_setup_after_project(ITEM_TYPE "portableModel")
add_kim_api_model_library(NAME "{model}" DRIVER_NAME "{driver}"
  PARAMETER_FILES "{model}.param" "{model}.pt")
"""
_MODULE_RUN = f"""\
import json, sys
import torchml_driver
potential = torchml_driver.Potential(sys.argv[1], atomic_numbers=False, device="cpu")
places = [[0.0, 0.0, 0.0], [{known_energy.DISTANCE}, 0.0, 0.0]]
result = potential.compute(["{known_energy.ELEMENT}"] * 2, places)
forces = [[float(x) for x in row] for row in result.forces]
print(json.dumps({{"energy": float(result.energy), "forces": forces}}))
"""


def write_model(path: Path) -> None:
    """A TorchScript file: half the sum of exp(-distance) over all neighbours."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        files: dict[str, str | bytes] = {
            "data.pkl": _OBJECT,
            "code/__torch__.py": _CODE,
            "constants.pkl": b"\x80\x02).",
            "version": b"3\n",
        }
        for name, contents in files.items():
            # With the format's oldest time, so that releases can be reproduced.
            archive.writestr(zipfile.ZipInfo(f"model/{name}"), contents)


def require_known_energy(project: CMakeProject, driver: Path) -> None:
    """Raises WrongEnergyError if the driver in that folder computes another energy.

    project: the driver's, for its plan and log. Raises BuildFailedError if no model can be built
    here at all.
    """
    plan = project.plan
    if (library := plan.tools.kim.library) is None:
        prefix = plan.tools.kim.where
        console.warn(f"the driver is installed untested: there is no libkim-api in {prefix}")
        return
    work = _work_folder(plan)
    try:
        models = _build_model(project, driver.name, work)
        _ask(library, driver, models, work, plan, _Subject(driver.name, _BUILT))
    finally:
        shutil.rmtree(work, ignore_errors=True)


def require_known_energy_with(model: bytes, driver: Path, plan: BuildPlan) -> None:
    """The same for a prebuilt driver, with a model's prebuilt library, and so without a compiler.

    Raises WrongEnergyError. The model names the driver by its default name.
    """
    library = plan.tools.kim.library
    assert library is not None, "a prebuilt driver fits"
    work = _work_folder(plan)
    try:
        item = work / "models" / MODEL
        item.mkdir(parents=True)
        (item / ItemKind.MODEL.library).write_bytes(model)
        with console.step("testing the driver with a known energy"):
            subject = _Subject(DEFAULT_DRIVER_NAME, _PREBUILT)
            _ask(library, driver, work / "models", work, plan, subject)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def require_known_energy_of_module(folder: Path, plan: BuildPlan) -> None:
    """Raises PythonModuleError if the Python module in that folder computes another energy.

    Everything it imports is installed by now.
    """
    work = _work_folder(plan)
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    try:
        write_files(work)
        with console.step("testing the Python module with a known energy"):
            done = subprocess.run(
                [user_python().executable, "-c", _MODULE_RUN, f"{work}/{MODEL}.param"],
                cwd=work,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                env={**_environment(plan), "PYTHONPATH": path},
                timeout=120.0,
                check=False,
            )
    except subprocess.TimeoutExpired:
        message = f"{_BUILT_MODULE} did not answer within two minutes."
        raise PythonModuleError(message, _WITHOUT) from None
    finally:
        shutil.rmtree(work, ignore_errors=True)
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        reason = said[-1] if said else "it printed nothing"
        raise PythonModuleError(f"{_BUILT_MODULE} {_how(done.returncode)}: {reason}", _WITHOUT)
    if wrong := difference(json.loads(done.stdout)):
        raise PythonModuleError(f"{_BUILT_MODULE} {wrong}", _WITHOUT)


def _work_folder(plan: BuildPlan) -> Path:
    parent = plain_temporary_parent(plan.variable("TMPDIR"))
    return Path(tempfile.mkdtemp(prefix="torchml-check-", dir=parent))


def _environment(plan: BuildPlan) -> dict[str, str]:
    """For programs that compute the energy: the driver's default behaviour."""
    variables = {**os.environ, **plan.environment}
    return {name: value for name, value in variables.items() if not name.startswith("KIM_MODEL_")}


def write_files(folder: Path) -> None:
    """Writes the model's files, except the one that only KIM's build needs."""
    write_model(folder / f"{MODEL}.pt")
    parameters = Parameters(
        elements=(known_energy.ELEMENT,),
        pattern=CallingConvention.NEIGHBOURS,
        cutoff=known_energy.CUTOFF,
        model_file=f"{MODEL}.pt",
    )
    (folder / f"{MODEL}.param").write_text(parameters.as_text(), encoding="utf-8")


def _build_model(project: CMakeProject, driver: str, work: Path) -> Path:
    source = work / "source"
    source.mkdir()
    text = _CMAKE_LISTS.format(model=MODEL, driver=driver)
    (source / "CMakeLists.txt").write_text(text, encoding="utf-8")
    write_files(source)
    model = CMakeProject(project.plan, source, work / "build", project.log)
    variables: dict[str, str | Path] = {
        "KIM_API_INSTALL_COLLECTION": "USER",
        "KIM_API_PORTABLE_MODEL_INSTALL_PREFIX": work / "models",
    }
    with console.step("testing the driver with a known energy"):
        model.configure("configuring a model", variables)
        model.compile("building a model", jobs=1)
        model.install("collecting the model")
    return work / "models"


@dataclass(frozen=True)
class _Subject:
    """The driver in a test. name: the model's name for it; begin: how a message about it begins."""

    name: str
    begin: str


def _ask(
    library: Path, driver: Path, models: Path, work: Path, plan: BuildPlan, subject: _Subject
) -> None:
    # KIM separates folders by colons, and a collection may have one in its path.
    drivers = work / "drivers"
    drivers.mkdir()
    (drivers / subject.name).symlink_to(driver)
    folder = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join([folder, *filter(None, [os.environ.get("PYTHONPATH")])])
    # It imports no other package, so any Python works; this one has torchml_installer.
    command = [sys.executable, "-m", "torchml_installer.driver.known_energy", str(library), MODEL]
    try:
        done = subprocess.run(
            command,
            cwd=work,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env={
                **_environment(plan),
                "PYTHONPATH": path,
                "KIM_API_MODEL_DRIVERS_DIR": str(drivers),
                "KIM_API_PORTABLE_MODELS_DIR": str(models),
            },
            timeout=120.0,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise WrongEnergyError(f"{subject.begin} did not answer within two minutes.") from None
    said = done.stderr.decode(errors="replace").strip().splitlines()
    if done.returncode == known_energy.NOT_ASKED:
        console.warn(f"the driver is installed untested: {said[-1] if said else ''}")
        return
    if done.returncode != 0:
        raise WrongEnergyError(f"{subject.begin} {_how(done.returncode)}: {_reason(work, said)}")
    if wrong := difference(json.loads(done.stdout)):
        raise WrongEnergyError(f"{subject.begin} {wrong}")


def _how(code: int) -> str:
    return f"crashed (signal {-code})" if code < 0 else "failed"


def difference(answer: dict[str, Any]) -> str:
    """What is wrong with energy and forces, "" if they are right."""
    wanted = [known_energy.ENERGY, *(x for row in known_energy.FORCES for x in row)]
    found = [answer["energy"], *(x for row in answer["forces"] for x in row)]
    apart = [abs(a - b) for a, b in zip(wanted, found, strict=True)]
    # Compared one by one, since max() may miss a NaN.
    if all(value <= known_energy.TOLERANCE for value in apart):
        return ""
    return (
        f"gave wrong results: {answer['energy']!r} eV instead of {known_energy.ENERGY!r} eV, and "
        f"forces off by up to {max(apart[1:]):.1e} eV/Å."
    )


_BUILT = "The driver was built, but in a test with two particles it"
_PREBUILT = "The prebuilt driver was not installed: in a test with two particles it"
_WITHOUT = (
    "A module installed before is still in place. To build without the module, add --no-python; "
    f"and please {REPORT}"
)
_BUILT_MODULE = "The Python module was built but not installed: in a test with two particles it"


def _reason(work: Path, said: list[str]) -> str:
    """The driver's line in KIM's log, else the last line that the process printed."""
    log = work / "kim.log"
    lines = log.read_text(errors="replace").splitlines() if log.is_file() else []
    errors = [line for line in lines if " * error * " in line]
    return (errors or said or ["it printed nothing"])[0]
