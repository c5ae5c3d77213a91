"""A model changes nothing in its host program: not the number of OpenMP threads, by which programs
index their arrays, and no other setting of the process or the calling thread.
"""

from __future__ import annotations

import re
import shlex
import struct
import subprocess
from pathlib import Path

import pytest

from tests.support import DriverEnvironment, compiled_models, install_kim_model, run
from tests.support.descriptor_cases import descriptor_file
from tests.support.descriptor_models import TanhNetwork
from tests.support.edge_models import Directional
from tests.support.graph_models import Messages
from tests.support.structures import CUTOFF
from tests.support.torch_models import Springs, parameter_text, torchscript

SOURCE = Path(__file__).parent / "host" / "host.cpp"
KINDS = ("neighbours", "graphs", "edges", "descriptors", "compiled")


@pytest.fixture(scope="session")
def host(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("host") / "host"
    kim = shlex.split(run(["pkg-config", "--cflags", "--libs", "libkim-api"]))
    options = ["-std=c++17", "-g", "-fopenmp", "-Wall", "-Wextra", "-Werror", "-o", program]
    run(["c++", *options, SOURCE, *kim])
    return program


def install(environment: DriverEnvironment, kind: str, work: Path) -> str:
    name = f"Host_{kind}__MO_000000000000_000"
    files: dict[str, bytes] = {}
    if kind == "neighbours":
        model, text = torchscript(Springs()), parameter_text("model.pt")
    elif kind == "graphs":
        model = torchscript(Messages(2))
        text = parameter_text("model.pt", preprocessing="Graph", cutoff="3.0\n3")
    elif kind == "edges":
        model = torchscript(Directional())
        text = parameter_text("model.pt", preprocessing="Edges", cutoff="3.0\n3")
    elif kind == "descriptors":
        model = torchscript(TanhNetwork(15))
        descriptor = {"preprocessing": "Descriptor", "descriptor": "SymmetryFunctions"}
        text = parameter_text("model.pt", cutoff="5.0", **descriptor)
        files["descriptor.dat"] = descriptor_file("every_kind").read_bytes()
    else:
        model = compiled_models.stillinger_weber().read_bytes()
        text = parameter_text("model.pt2", cutoff=str(CUTOFF))
    files[f"model.{'pt2' if kind == 'compiled' else 'pt'}"] = model
    files["model.param"] = text.encode()
    install_kim_model(environment.folder, name, files, work)
    return name


@pytest.fixture(scope="session")
def decimal_comma(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of locales whose decimal separator is a comma."""
    folder = tmp_path_factory.mktemp("locales")
    # It warns about its own sources, and exits with 1.
    command = ["localedef", "-c", "-i", "de_DE", "-f", "UTF-8", str(folder / "de_DE.UTF-8")]
    subprocess.run(command, capture_output=True, check=False)
    assert (folder / "de_DE.UTF-8").is_dir()
    return folder


def energies(printed: str) -> list[float]:
    found = re.findall(r"^energy (\w{16})$", printed, re.MULTILINE)
    return [struct.unpack("<d", bytes.fromhex(value))[0] for value in found]


@pytest.mark.parametrize("how", ["main", "thread"])
@pytest.mark.parametrize("variables", [{}, {"KIM_MODEL_NUM_THREADS": "2"}], ids=["", "2 threads"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_routine_leaves_the_hosts_state_as_it_was(
    kind: str,
    variables: dict[str, str],
    how: str,
    host: Path,
    decimal_comma: Path,
    driver_environment: DriverEnvironment,
    tmp_path: Path,
) -> None:
    name = install(driver_environment, kind, tmp_path)
    cutoff = {"neighbours": "2.5", "graphs": "2.5", "edges": "2.5", "descriptors": "5.0"}.get(
        kind, str(CUTOFF)
    )
    env = {**driver_environment.env, **variables, "LOCPATH": str(decimal_comma)}
    env.pop("OMP_NUM_THREADS", None)

    def run_host(how: str) -> list[float]:
        done = subprocess.run(
            [str(host), name, cutoff, how], env=env, cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return energies(done.stdout)

    # The host's settings change results only by rounding.
    found = run_host(how)
    assert len(found) == 4
    assert found == pytest.approx(run_host("plain"), rel=1e-12)
