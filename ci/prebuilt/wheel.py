"""Compiles the prebuilt drivers in the root, and packs them into one wheel."""

from __future__ import annotations

import base64
import importlib.util
import json
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ci.prebuilt import root as roots
from ci.release.errors import ReleaseError
from ci.release.python_packages import build
from torchml_installer.detect.record import version_tuple
from torchml_installer.driver import driver_check
from torchml_installer.driver.prebuilt import MODEL, set_run_path
from torchml_installer.support.names import DEFAULT_DRIVER_NAME

#: The first release of each series on PyPI with the new C++ ABI. What is linked with it runs with
#: all others of its series.
TORCHES = (
    *("2.7.0", "2.8.0", "2.9.0", "2.10.0", "2.11.0", "2.12.0", "2.13.0", "2.14.0"),
    "2.15.0",
)
#: The newest symbols that the wheel's tag permits (PEP 600).
_TAG = "manylinux_2_28"
_NEWEST = {"GLIBC": (2, 28), "GLIBCXX": (3, 4, 24), "CXXABI": (1, 3, 11)}
#: What is needed of torch to link with it.
_PARTS = re.compile(r"torch/(include/|share/cmake/|version\.py$|lib/lib(torch_cpu|c10)\.so$)")
#: For the name of the driver in KIM: an identifier. For its run path: a folder that does not exist.
_NAME = "TorchML_prebuilt_name_".ljust(128, "0")
_RUN_PATH = "$ORIGIN/prebuilt/".ljust(2048, "0")
#: From torchml_driver/prebuilt/torch-2.13, for a torch in the same folder of packages.
_MODULE_RUN_PATH = b"$ORIGIN/../../../torch/lib"
_BUILT_FOR = '''\
"""The libtorch that this module was built for."""

#: For example "2.13.0".
VERSION = "{version}"
#: Where torch usually is; $ORIGIN is the module's own folder.
FOLDER = "$ORIGIN/../torch/lib"
'''
_PYPROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

{project}
[tool.hatch.build.targets.wheel]
packages = ["torchml_driver"]

[tool.hatch.build.targets.wheel.hooks.custom]
path = "tag.py"
"""
_HOOK = """\
from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Tag(BuildHookInterface):
    def initialize(self, version, build_data):
        build_data["pure_python"] = False
        build_data["tag"] = "{tag}"
"""
#: KIM-API 2.4 embeds files as base64 text, older ones as they are.
_ENCODINGS = {"2.2": bytes, "2.4": base64.b64encode}


def make(
    sources: Path,
    output: Path,
    env: Mapping[str, str],
    torches: Sequence[str],
    root: Path | None = None,
) -> Path:
    """Makes the wheel in ``output``; returns its path. Raises ReleaseError.

    sources: of the project. torches: releases to compile for, one of a series. root: a folder for
    the root, kept; None: a temporary one.
    """
    with tempfile.TemporaryDirectory(prefix="torchml-prebuilt-") as name:
        work = Path(name).resolve()
        place = work / "root" if root is None else root.absolute()
        roots.make(place)
        shutil.rmtree(place / "recipe")
        shutil.copytree(Path(__file__).with_name("in_root"), place / "recipe")
        (place / "recipe/done").touch()
        _replace(sources / "driver_src", place / "source")
        _replace(_pybind11(), place / "pybind11")
        for folder in ("build", "made"):
            shutil.rmtree(place / folder, ignore_errors=True)
        project = work / "project"
        package = project / "torchml_driver"
        shutil.copytree(
            sources / "driver_src/python/torchml_driver",
            package,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
        epoch = int(env["SOURCE_DATE_EPOCH"])
        builds = [
            _compile(place, torch, package / "prebuilt", epoch)
            for torch in sorted(torches, key=version_tuple)
        ]
        models = {since: _model(place, package / "prebuilt", since) for since in _ENCODINGS}
        libraries = sorted(package.rglob("*.so"))
        newest = newest_symbols(libraries)
        _require_old(newest)
        facts = {
            "schema": 1,
            "version": _version(sources),
            "machine": platform.machine(),
            "instruction_set": "the oldest of these processors; newer sets are chosen at run time",
            "glibc": newest["GLIBC"],
            "libstdcxx": [f"{family}_{newest[family]}" for family in ("GLIBCXX", "CXXABI")],
            "cxx11_abi": True,
            "kim_api": {"soname": "libkim-api.so.2", "linked": _kim(place)},
            "compiler": roots.run(place, "/usr/bin/g++", "--version").splitlines()[0],
            "name_placeholder": _NAME,
            "run_path_room": len(_RUN_PATH),
            "known_energy": models,
            "builds": builds,
        }
        text = json.dumps(facts, indent=2) + "\n"
        (package / "prebuilt/facts.json").write_text(text, "utf-8")
        return _pack(sources, project, output, env)


def newest_symbols(libraries: Iterable[Path]) -> dict[str, str]:
    """The newest version of each family of symbols that the libraries need: "GLIBC" → "2.14"."""
    found: dict[str, set[str]] = {family: set() for family in _NEWEST}
    for library in libraries:
        command = ["readelf", "--version-info", "--wide", str(library)]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        for family, number in re.findall(r"Name: ([A-Z]+)_([0-9.]+)", text):
            found.get(family, set()).add(number)
    return {family: max(numbers, key=version_tuple) for family, numbers in found.items()}


def _require_old(newest: Mapping[str, str]) -> None:
    for family, number in newest.items():
        if version_tuple(number) > _NEWEST[family]:
            raise ReleaseError(f"The libraries need {family}_{number}, which {_TAG} lacks.")


def _compile(root: Path, torch: str, prebuilt: Path, epoch: int) -> dict[str, object]:
    """Compiles for one torch; returns its entry in facts.json."""
    series = ".".join(torch.split(".")[:2])
    print(f"  torch {torch}", flush=True)
    _fetch_torch(torch, root / "torch" / series)
    roots.run(root, "/recipe/build.sh", series, _NAME, _RUN_PATH, epoch=epoch)
    folder = prebuilt / f"torch-{series}"
    folder.mkdir(parents=True)
    modules = {}
    for made in sorted((root / "made" / series).iterdir()):
        shutil.copy(made, folder / made.name)
        if found := re.search(r"\.cpython-(\d)(\d+)-", made.name):
            modules[f"{found[1]}.{found[2]}"] = made.name
            set_run_path(folder / made.name, _MODULE_RUN_PATH)
    (folder / "built_for.py").write_text(_BUILT_FOR.format(version=torch), "utf-8")
    return {"torch": series, "linked": torch, "folder": folder.name, "modules": modules}


def _fetch_torch(release: str, folder: Path) -> None:
    """Unpacks headers and libraries of a release on PyPI, unless an earlier run has."""
    done = folder / "release"
    if done.exists() and done.read_text("utf-8") == release:
        return
    shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="torchml-torch-") as name:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        # Three signs: not a build with a local version (2.13.0+cpu), which other machines lack.
        command += [
            "--no-cache-dir",
            "--only-binary",
            ":all:",
            "--dest",
            name,
            f"torch==={release}",
        ]
        fetched = subprocess.run(command, capture_output=True, text=True, check=False)
        if fetched.returncode != 0:
            raise ReleaseError(f"torch {release} cannot be fetched:\n{fetched.stderr}")
        (wheel,) = Path(name).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            wanted = [name for name in archive.namelist() if _PARTS.match(name)]
            archive.extractall(folder.parent / f"{folder.name}.partial", wanted)
    (folder.parent / f"{folder.name}.partial/torch").rename(folder)
    (folder.parent / f"{folder.name}.partial").rmdir()
    done.write_text(release, "utf-8")


def _model(root: Path, prebuilt: Path, since: str) -> str:
    """Makes the model of known energy for a KIM-API; returns its folder in prebuilt/."""
    folder = f"known-energy-{since}"
    work = root / "made" / folder
    work.mkdir(parents=True)
    driver_check.write_files(work)
    encode = _ENCODINGS[since]
    files = {path.name: encode(path.read_bytes()) for path in sorted(work.iterdir())}
    # The parameter file comes first, as in KIM's own build.
    order = sorted(files, key=lambda name: not name.endswith(".param"))
    lines = [
        f'static const char model_name[] = "{driver_check.MODEL}";',
        f'static const char driver_name[] = "{DEFAULT_DRIVER_NAME}";',
    ]
    for number, name in enumerate(order):
        values = ", ".join(map(str, files[name]))
        lines.append(f"static const unsigned char file_{number}[] = {{{values}}};")
    lines.append("static const SharedLibrarySchemaV2::EmbeddedFile files[] = {")
    lines += [
        f'    {{"{name}", {len(files[name])}, file_{number}}},' for number, name in enumerate(order)
    ]
    lines.append("};")
    (work / "files.inc").write_text("\n".join(lines) + "\n", "utf-8")
    roots.run(root, "/recipe/known_energy.sh", f"/made/{folder}")
    (prebuilt / folder).mkdir()
    shutil.copy(work / MODEL, prebuilt / folder / MODEL)
    return folder


def _pack(sources: Path, project: Path, output: Path, env: Mapping[str, str]) -> Path:
    own = (sources / "driver_src/pyproject.toml").read_text("utf-8")
    tables = re.search(r"^\[project\].*?(?=^\[tool)", own, re.MULTILINE | re.DOTALL)
    if tables is None:
        raise ReleaseError("driver_src/pyproject.toml has no [project] before its [tool] tables.")
    tag = f"py3-none-{_TAG}_{platform.machine()}"
    (project / "pyproject.toml").write_text(_PYPROJECT.format(project=tables[0]), "utf-8")
    (project / "tag.py").write_text(_HOOK.format(tag=tag), "utf-8")
    shutil.copy(sources / "LICENSE", project)
    shutil.copy(sources / "driver_src/README.md", project)
    return build("wheel", project, output, env)


def _version(sources: Path) -> str:
    text = (sources / "driver_src/pyproject.toml").read_text("utf-8")
    found = re.search(r'^version = "([^"]+)"', text, re.MULTILINE)
    assert found is not None, "ci.release.version has read it"
    return found[1]


def _kim(root: Path) -> str:
    """The version of the KIM-API in the root."""
    package = roots.run(root, "/usr/bin/dpkg-query", "-W", "-f", "${Version}", "libkim-api-dev")
    return package.partition("-")[0]


def _pybind11() -> Path:
    spec = importlib.util.find_spec("pybind11")
    if spec is None or spec.origin is None:
        raise ReleaseError(f"{sys.executable} has no pybind11: run `pip install pybind11`.")
    return Path(spec.origin).parent


def _replace(source: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
