"""The examples' trained networks: made without training, as accurate as their pages state."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from ase.calculators.kim import KIM

from tests.support import ROOT, SANITIZER_SETTINGS, DriverEnvironment, run, torchml_install
from tests.support.lammps_runs import Lammps, example_run
from tests.support.structures import (
    ENERGY_TOLERANCE,
    FORCE_TOLERANCE,
    REFERENCE_MODEL,
    rattled_crystal,
    slab,
)

EXAMPLES = {
    "descriptor_network": "TorchML_DN_Si__MO_000000000000_000",
    "graph_network": "TorchML_GN_Si__MO_000000000000_000",
}

#: An example's own result for displaced silicon. Runs in its folder; the energy is the network's
#: alone, with descriptors from the driver's module and graphs from ASE.
_DIRECTLY = """\
import sys
sys.path.insert(0, "")
import torch
from make_model import trained
from tests.support.structures import rattled_crystal
network, atoms = trained(), rattled_crystal()
if sys.argv[1] == "graph_network":
    from tests.support.example_network import directly
    energy = directly(network, atoms)[0]
else:
    from make_model import DESCRIPTOR
    from torchml_driver.descriptors import Descriptor
    values = Descriptor(DESCRIPTOR, ["Si"]).values(atoms)
    energy = network(torch.tensor(values)).sum().item()
print(repr(energy))
"""


@pytest.fixture(scope="module", params=EXAMPLES)
def example(
    request: pytest.FixtureRequest,
    driver_environment: DriverEnvironment,
    tmp_path_factory: pytest.TempPathFactory,
) -> str:
    """Makes, packs and installs a network with the commands on its page; returns its folder."""
    name: str = request.param
    folder = ROOT / "examples" / name
    page = (folder / "README.md").read_text().replace("\\\n", " ")
    commands = re.search(r"^```\n(python make_model.py.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert commands is not None
    make, pack, install, start = (line.split() for line in commands[1].splitlines())
    work = tmp_path_factory.mktemp(name)
    run([sys.executable, folder / make[1], *make[2:]], cwd=work)
    pack = [str(folder / word) if word == "descriptor.dat" else word for word in pack[1:]]
    torchml_install(*pack, env=driver_environment.env, cwd=work)
    where = ("--collection", "environment")
    torchml_install(*install[1:], *where, env=driver_environment.env, cwd=work)
    assert EXAMPLES[name] in start
    return name


def test_kim_computes_what_the_example_s_own_python_does(example: str, in_collection: None) -> None:
    settings = {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    said = run(
        [sys.executable, "-c", _DIRECTLY, example],
        cwd=ROOT / "examples" / example,
        env={**settings, **SANITIZER_SETTINGS},
    )
    atoms = rattled_crystal()
    atoms.calc = KIM(EXAMPLES[example])
    assert atoms.get_potential_energy() == pytest.approx(float(said), abs=ENERGY_TOLERANCE)
    # The conda package's own test expects the same number.
    text = (ROOT / "recipes/torchml-example-models/test_models.py").read_text()
    stated = re.search(rf'"{EXAMPLES[example]}": (-\d+\.\d+)', text)
    assert stated is not None
    assert float(stated[1]) == pytest.approx(float(said), abs=1e-8)


def test_a_trained_network_is_as_near_to_its_reference_as_its_page_says(
    example: str, in_collection: None
) -> None:
    page = (ROOT / "examples" / example / "README.md").read_text()
    energy_error, force_error = (
        float(re.search(rf"^\| {what} \| ([\d.]+) ", page, re.MULTILINE)[1])  # type: ignore[index]
        for what in ("energy", "force component")
    )
    for atoms in (rattled_crystal(), slab()):
        answers = []
        for name in (EXAMPLES[example], REFERENCE_MODEL):
            atoms.calc = KIM(name)
            answers.append((atoms.get_potential_energy(), atoms.get_forces()))
        (energy, forces), (right_energy, right_forces) = answers
        # Root mean squares; a single error may be several times as large.
        assert abs(energy - right_energy) / len(atoms) < 3e-3 * energy_error
        assert np.sqrt(np.mean((forces - right_forces) ** 2)) < 2 * force_error


def test_the_example_s_input_conserves_energy_on_two_ranks(example: str, lammps: Lammps) -> None:
    script = ROOT / "examples" / example / "in.silicon"
    alone, totals = example_run(lammps, script, EXAMPLES[example], 1)
    assert np.ptp(totals) < 2e-3  # eV, of 216 atoms
    together, same_totals = example_run(lammps, script, EXAMPLES[example], 2)
    np.testing.assert_allclose(together, alone, rtol=0, atol=FORCE_TOLERANCE)
    np.testing.assert_allclose(same_totals, totals, rtol=0, atol=2e-8)  # as printed


@pytest.mark.slow
def test_a_short_training_of_the_descriptor_network_learns(
    driver_environment: DriverEnvironment, tmp_path: Path
) -> None:
    """In two epochs, energies reach a tenth of their spread; the weights remake the same model."""
    script = ROOT / "examples/descriptor_network/train.py"
    options = ["--epochs", "2", "--output", "DN_Si.pt", "--weights", "weights.json"]
    said = run([sys.executable, script, *options], cwd=tmp_path, env=dict(driver_environment.env))
    held_out = re.search(r"held out: energy (\S+) meV/atom \(spread (\S+)\)", said)
    assert held_out is not None, said
    assert float(held_out[1]) < 0.1 * float(held_out[2])
    assert (tmp_path / "DN_Si.pt").is_file()
    trained = (tmp_path / "weights.json").read_text()
    kept = (script.with_name("weights.json")).read_text()
    assert re.findall(r'^"[\w.]+"', trained, re.MULTILINE) == re.findall(
        r'^"[\w.]+"', kept, re.MULTILINE
    )
