"""The environment files and the recipes fit each other and conda-forge's metadata."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("rattler", reason="py-rattler is not installed")
pytest.importorskip("rattler_build", reason="py-rattler-build is not installed")

from rattler.exceptions import SolverError

from ci.conda_packages import NAMES, RECIPES, variant_config
from ci.provision import DEFAULT_TORCH
from tests.conda.snapshot import MetadataChannel
from tests.support import ROOT
from torchml_installer.deps.needs import NEEDS as DEPS
from torchml_installer.detect import cmake, kim_api

TEMPLATES = ROOT / "env_templates"
#: The CUDA version of the machine for each environment.
FILES = {"environment-cpu.yml": None, "environment-cuda.yml": "12.9", "environment-mpi.yml": None}
#: pixi's name for the same environment.
PIXI = {
    "environment-cpu.yml": "default",
    "environment-cuda.yml": "cuda",
    "environment-mpi.yml": "mpi",
}


def dependencies(path: Path) -> list[str]:
    """The list in an environment file, in the form for solvers ("name version build")."""
    text = path.read_text().partition("\ndependencies:\n")[2]
    found = re.findall(r"^  - (.+)$", text, re.MULTILINE)
    return [re.sub(r"^([^= ]+)=([^=]+)=(.+)$", r"\1 \2 \3", spec) for spec in found]


def pixi_dependencies(environment: str) -> list[str]:
    tomllib = pytest.importorskip("tomllib", reason="this Python reads no TOML")
    manifest = tomllib.loads((TEMPLATES / "pixi.toml").read_text())
    tables = [manifest["dependencies"]]
    tables += [
        manifest["feature"][feature]["dependencies"]
        for feature in manifest["environments"][environment]
    ]
    wanted: dict[str, str] = {}
    for table in tables:
        for name, spec in table.items():
            if isinstance(spec, str):
                wanted[name] = name if spec == "*" else f"{name} {spec}"
            else:
                wanted[name] = f"{name} {spec['version']} {spec['build']}"
    return list(wanted.values())


@pytest.mark.parametrize("name", FILES)
def test_an_environment_file_says_where_the_channel_of_our_packages_goes(name: str) -> None:
    """The line to fill in comes before conda-forge, which has none of our packages."""
    text = (TEMPLATES / name).read_text()
    assert "python -m ci.conda_packages output" in text
    filled_in = text.replace("  - file:///path/to/output\n", "  - file:///srv/output\n")
    channels = filled_in.partition("\nchannels:\n")[2].partition("\ndependencies:\n")[0]
    assert channels.splitlines() == ["  - file:///srv/output", "  - conda-forge"]


@pytest.mark.parametrize(("name", "cuda"), FILES.items())
def test_every_environment_file_can_be_solved(
    channel: MetadataChannel, name: str, cuda: str | None
) -> None:
    solved = channel.solve(dependencies(TEMPLATES / name), cuda)
    assert {"torchml-driver", "torchml-installer", "torchml-example-models"} <= set(solved)
    torch = "cuda" if cuda else "cpu"
    assert str(solved["torchml-driver"].build).startswith(torch)
    assert str(solved["libtorch"].build).startswith(torch)


def test_the_mpi_environment_has_one_mpi(channel: MetadataChannel) -> None:
    solved = channel.solve(dependencies(TEMPLATES / "environment-mpi.yml"))
    assert "mpi_openmpi" in str(solved["lammps"].build)
    assert "mpi_openmpi" in str(solved["torchml-driver"].build)
    assert "mpich" not in solved


@pytest.mark.parametrize("name", FILES)
def test_pixi_s_environments_are_those_of_the_environment_files(name: str) -> None:
    assert sorted(pixi_dependencies(PIXI[name])) == sorted(dependencies(TEMPLATES / name))


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12", "3.13", "3.14"])
def test_there_is_a_driver_for_every_python(channel: MetadataChannel, python: str) -> None:
    solved = channel.solve(["torchml-driver", f"python {python}.*"])
    assert f"py{python.replace('.', '')}_" in str(solved["torchml-driver"].build)


@pytest.mark.parametrize("torch", ["cpu", "cuda"])
@pytest.mark.parametrize("mpi", ["nompi", "mpi_openmpi", "mpi_mpich"])
def test_a_driver_never_meets_another_torch_mpi_or_kim_api(
    channel: MetadataChannel, torch: str, mpi: str
) -> None:
    """Each variant, together with everything that it was not built with."""
    driver = f"torchml-driver * {torch}_py312_{mpi}_*"
    solved = channel.solve([driver], "12.9")
    assert str(solved["libtorch"].version).startswith("2.13.")
    assert str(solved["libtorch"].build).startswith(torch)
    assert {"openmpi", "mpich"} & set(solved) == {mpi.removeprefix("mpi_")} - {"nompi"}
    others = ["libtorch 2.12.*", "kim-api 2.3.*", "python 3.13.*"]
    others.append("libtorch * cpu*" if torch == "cuda" else "libtorch * cuda*")
    if mpi != "nompi":
        others.append("mpich" if mpi == "mpi_openmpi" else "openmpi")
    for other in others:
        assert channel.solve([other], "12.9"), "there is one"
        with pytest.raises(SolverError):
            channel.solve([driver, other], "12.9")


@pytest.mark.parametrize(("cuda", "build"), [(None, "cpu_"), ("12.2", "cuda_"), ("11.8", "cpu_")])
def test_who_names_no_build_gets_the_one_for_the_machine(
    channel: MetadataChannel, cuda: str | None, build: str
) -> None:
    """Without a GPU, or with an old one, users do not download CUDA's libraries."""
    solved = channel.solve(["torchml-driver"], cuda)
    assert str(solved["torchml-driver"].build).startswith(build)
    assert "_nompi_" in str(solved["torchml-driver"].build)
    assert str(solved["libtorch"].build).startswith(build[:-1])
    assert ("cuda-version" in solved) == (build == "cuda_")


def test_pixi_solves_for_the_gpu_that_it_asks_for(channel: MetadataChannel) -> None:
    tomllib = pytest.importorskip("tomllib", reason="this Python reads no TOML")
    manifest = tomllib.loads((TEMPLATES / "pixi.toml").read_text())
    cuda = manifest["feature"]["cuda"]["system-requirements"]["cuda"]
    solved = channel.solve(pixi_dependencies("cuda"), cuda)
    assert str(solved["libtorch"].build).startswith("cuda")


@pytest.mark.parametrize("mpi", ["openmpi", "mpich"])
def test_the_driver_runs_beside_any_mpi(channel: MetadataChannel, mpi: str) -> None:
    solved = channel.solve(["torchml-driver", f"lammps * *{mpi}*"])
    assert "nompi" in str(solved["torchml-driver"].build)
    solved = channel.solve([f"torchml-driver * *{mpi}*", f"lammps * *{mpi}*"])
    assert mpi in solved


@pytest.mark.parametrize(
    ("specs", "cuda", "named"),
    [
        (["torchml-driver", "libtorch 2.12.*"], None, ["libtorch >=2.13.0,<2.14"]),
        (["torchml-driver * cuda_*", "libtorch * cpu*"], "12.9", ["libtorch * cuda*"]),
        (["torchml-driver * cuda_*"], None, ["__cuda"]),
        (["torchml-driver * *openmpi*", "lammps * *mpich*"], None, ["openmpi", "mpich"]),
        (["torchml-driver", "kim-api 2.3.*"], None, ["kim-api >=2.4,<3"]),
    ],
)
def test_what_does_not_belong_together_is_refused_by_name(
    channel: MetadataChannel, specs: list[str], cuda: str | None, named: list[str]
) -> None:
    with pytest.raises(SolverError) as caught:
        channel.solve(specs, cuda)
    for words in named:
        assert words in str(caught.value)


def test_versions_are_those_of_the_projects() -> None:
    for name, project in (
        ("torchml-installer", ROOT / "pyproject.toml"),
        ("torchml-driver", ROOT / "driver_src" / "pyproject.toml"),
    ):
        version = re.search(r'^version = "(.+)"$', project.read_text(), re.MULTILINE)
        assert version is not None
        assert f'version: "{version[1]}"' in (RECIPES / name / "recipe.yaml").read_text()


def test_what_the_packages_need_is_what_the_wheels_need(channel: MetadataChannel) -> None:
    """One name differs: conda-forge calls vesin python-vesin."""
    for name, project in (
        ("torchml-installer", ROOT / "pyproject.toml"),
        ("torchml-driver", ROOT / "driver_src" / "pyproject.toml"),
    ):
        text = project.read_text()
        listed = re.search(r"^dependencies = \[(.*?)\]", text, re.MULTILINE | re.DOTALL)
        assert listed is not None
        wanted = re.findall(r'"([^"]+)"', listed[1])
        record = next(entry for entry in channel.records if entry["name"] == name)
        for requirement in wanted:
            spec = re.sub(r"^([\w-]+)(\S*)$", r"\1 \2", requirement).strip()
            assert spec.replace("vesin", "python-vesin") in record["depends"]


def dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def stated(project: Path, pattern: str) -> str:
    found = re.search(pattern, (project / "pyproject.toml").read_text(), re.MULTILINE)
    assert found is not None, pattern
    return found[1]


#: The lowest versions that the project itself states, by conda's names.
BOUNDS = {
    "cmake": dotted(cmake.MINIMUM),
    "pybind11": stated(ROOT / "driver_src", r'"pybind11>=([\d.]+)"'),
    "scikit-build-core": stated(ROOT / "driver_src", r'"scikit-build-core>=([\d.]+)"'),
}


@pytest.mark.parametrize("name", [*FILES, "pixi.toml", *NAMES])
def test_lowest_versions_are_those_of_the_project(name: str) -> None:
    """Environment files and recipes state the same lowest versions as the project."""
    if name in NAMES:
        text = (RECIPES / name / "recipe.yaml").read_text()
    else:
        text = (TEMPLATES / name).read_text()
    for package, lowest in re.findall(
        r'^ *(?:- )?([\w-]+) (?:= ")?>=([\d.]+)"?$', text, re.MULTILINE
    ):
        assert BOUNDS.get(package, lowest) == lowest, package
    assert re.search(rf'\bcmake (= ")?>={re.escape(BOUNDS["cmake"])}\b', text) or (
        name in ("torchml-installer", "torchml-libdescriptor")
    )


def test_variants_are_what_the_project_takes_by_itself() -> None:
    """The lowest Python, a supported KIM-API, and the torch that CI installs."""
    variants = variant_config({}, "linux-64")
    for project in (ROOT, ROOT / "driver_src"):
        assert variants["python_min"] == [stated(project, r'^requires-python = ">=([\d.]+)"$')]
    pythons = [str(python).partition(".*")[0] for python in variants["python"]]
    assert pythons[0] == variants["python_min"][0]
    (kim,) = variants["kim_api"]
    assert tuple(map(int, kim.split("."))) >= kim_api.MINIMUM
    (libtorch,) = variants["libtorch"]
    assert f"torch=={libtorch}." in DEFAULT_TORCH
    for template in ("ci/github/action.yml", "ci/gitlab.yml"):
        assert f"default: {DEFAULT_TORCH}\n" in (ROOT / template).read_text()


@pytest.mark.parametrize("name", ["environment-cpu.yml", "environment-cuda.yml"])
def test_an_environment_has_what_deps_would_install_for_the_driver(name: str) -> None:
    """By the same names; requirements of our packages are not listed again."""
    listed = {spec.split()[0] for spec in dependencies(TEMPLATES / name)}
    brought = {"kim-api", "numpy", "vesin", "python-headers"}
    for need in DEPS.values():
        if need.by_default and need.name not in brought:
            assert set(need.conda) <= listed, need.name
    for name in FILES:
        assert set(DEPS["xxd"].conda) <= {
            spec.split()[0] for spec in dependencies(TEMPLATES / name)
        }


def test_the_mpi_environment_is_mpich_s_where_mpich_is_written_everywhere(
    channel: MetadataChannel, tmp_path: Path
) -> None:
    """As its first lines say."""
    text = (TEMPLATES / "environment-mpi.yml").read_text()
    assert re.search(r"For MPICH, replace\n# openmpi by mpich everywhere", text)
    mpich = tmp_path / "environment-mpi.yml"
    mpich.write_text(text.replace("openmpi", "mpich"))
    solved = channel.solve(dependencies(mpich))
    assert "openmpi" not in solved
    assert "mpich" in solved
    assert "mpi_mpich" in str(solved["lammps"].build)
    assert "mpi_mpich" in str(solved["torchml-driver"].build)


def test_every_recipe_is_in_the_build() -> None:
    assert sorted(path.parent.name for path in RECIPES.glob("*/recipe.yaml")) == sorted(NAMES)
