"""Compiled models (.pt2) give TorchScript's results, and report what they need if they cannot
run."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support import EXAMPLE, ROOT, DriverEnvironment, compiled_models, graph_models
from tests.support.compiled_models import (
    compile_command,
    messages_folder,
    model_folder,
    stillinger_weber_folder,
)
from tests.support.profiles import read_profiles
from tests.support.structures import CUTOFF, REFERENCE_MODEL, STRUCTURES, rattled_crystal
from torchml_installer.errors import (
    BadOptionError,
    CompiledModelDiffersError,
    ModelFileMissingError,
    NoDeviceError,
    NotCompilableError,
    OutputExistsError,
    WrongForwardError,
)
from torchml_installer.models.compile import CompiledModel
from torchml_installer.models.compiled import inspect

NETWORK = '''\
import torch

class Network(torch.nn.Module):
    """An energy from each row of descriptors."""

    def __init__(self, width: int = 8, hidden: int = 16):
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(width, hidden), torch.nn.Tanh(), torch.nn.Linear(hidden, 1)
        )

    def forward(self, descriptor: torch.Tensor) -> torch.Tensor:
        return self.layers(descriptor)
'''


@pytest.fixture(scope="session")
def stillinger_weber(driver_environment: DriverEnvironment) -> Path:
    return compiled_models.stillinger_weber()


@pytest.fixture(scope="session")
def messages() -> Path:
    return compiled_models.messages()


def text_changed(package: Path, change: Callable[[str], str]) -> bytes:
    """A package with a modified description."""
    written = io.BytesIO()
    with zipfile.ZipFile(package) as old, zipfile.ZipFile(written, "w") as new:
        for info in old.infolist():
            contents = old.read(info)
            if info.filename.endswith("extra/torchml.txt"):
                contents = change(contents.decode()).encode()
            new.writestr(info.filename, contents)
    return written.getvalue()


def test_the_profile_says_that_forward_and_backward_are_one(
    stillinger_weber: Path, driver_environment: DriverEnvironment, tmp_path: Path
) -> None:
    folder = model_folder(tmp_path, stillinger_weber.read_bytes(), "pt2", cutoff=CUTOFF)
    program = """
import sys
from tests.support.structures import rattled_crystal
import torchml_driver
atoms = rattled_crystal()
potential = torchml_driver.Potential(sys.argv[1])
for _ in range(4):
    potential.compute(
        atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc, forces=sys.argv[2] == "forces"
    )
"""
    for what, forward in (("forces", "forward+backward"), ("energy", "forward")):
        done = subprocess.run(
            [sys.executable, "-c", program, str(folder), what],
            env={**driver_environment.env, "KIM_MODEL_PROFILE": "1"},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        (profile,) = read_profiles(done.stderr)
        assert profile.n_steps == 4
        assert [name for name, time in profile.stages.items() if time > 0.0] == [
            "inputs",
            "copies",
            forward,
            "outputs",
        ]


@pytest.fixture
def with_text_changed(
    stillinger_weber: Path, tmp_path: Path
) -> Callable[[Callable[[str], str]], Path]:
    """The package with a modified description, as a model folder."""

    def make(change: Callable[[str], str]) -> Path:
        contents = text_changed(stillinger_weber, change)
        return model_folder(tmp_path / "changed", contents, "pt2", cutoff=CUTOFF)

    return make


@pytest.mark.usefixtures("driver_environment")
class TestResults:
    @pytest.mark.parametrize("structure", STRUCTURES)
    def test_everything_equals_torchscript(
        self,
        structure: str,
        driver_environment: DriverEnvironment,
        tmp_path: Path,
    ) -> None:
        from torchml_driver import Potential

        folder = stillinger_weber_folder(tmp_path / "model")
        atoms = STRUCTURES[structure]()
        system = (atoms.get_chemical_symbols(), atoms.positions, atoms.cell.array, atoms.pbc)
        fast = Potential(folder).compute(*system, particle_energies=True)
        slow = Potential(driver_environment.packed).compute(*system, particle_energies=True)
        assert fast.energy == pytest.approx(slow.energy, rel=1e-13, abs=1e-12)
        np.testing.assert_allclose(fast.forces, slow.forces, rtol=0, atol=1e-11)
        np.testing.assert_allclose(fast.virial, slow.virial, rtol=0, atol=1e-10)
        np.testing.assert_allclose(fast.particle_energies, slow.particle_energies, atol=1e-12)
        alone = Potential(folder).compute(*system, forces=False)
        assert alone.energy == pytest.approx(slow.energy, rel=1e-13, abs=1e-12)
        assert alone.forces is None

    @pytest.mark.parametrize("threads", [1, 3])
    def test_any_number_of_threads_gives_the_same(
        self,
        threads: int,
        stillinger_weber: Path,
        driver_environment: DriverEnvironment,
        tmp_path: Path,
    ) -> None:
        """A model that is not partitioned has separate code for one thread."""
        from torchml_driver import Potential

        assert "energies_and_gradient.one_thread" in inspect(stillinger_weber).entries
        with zipfile.ZipFile(stillinger_weber) as archive:
            libraries = [info for info in archive.infolist() if info.filename.endswith(".so")]
        assert len({info.CRC for info in libraries}) == len(libraries) == 3
        atoms = rattled_crystal() * (2, 2, 2)
        system = (atoms.get_chemical_symbols(), atoms.positions, atoms.cell.array, atoms.pbc)
        expected = Potential(driver_environment.packed).compute(*system)
        potential = Potential(stillinger_weber_folder(tmp_path / "model"))
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            found = potential.compute(*system)
        finally:
            torch.set_num_threads(before)
        assert found.energy == pytest.approx(expected.energy, rel=1e-13)
        np.testing.assert_allclose(found.forces, expected.forces, rtol=0, atol=1e-11)
        np.testing.assert_allclose(found.virial, expected.virial, rtol=0, atol=1e-9)

    def test_message_passing_equals_torchscript(self, messages: Path, tmp_path: Path) -> None:
        from torchml_driver import Potential

        slow = graph_models.write_graph_model(tmp_path / "slow", graph_models.Messages())
        fast = messages_folder(tmp_path / "fast", messages.read_bytes())
        for make in STRUCTURES.values():
            atoms = make()
            system = (atoms.get_chemical_symbols(), atoms.positions, atoms.cell.array, atoms.pbc)
            found, expected = Potential(fast).compute(*system), Potential(slow).compute(*system)
            assert found.energy == pytest.approx(expected.energy, rel=1e-12, abs=1e-12)
            np.testing.assert_allclose(found.forces, expected.forces, rtol=0, atol=1e-11)
            np.testing.assert_allclose(found.virial, expected.virial, rtol=0, atol=1e-10)

    @pytest.mark.parametrize("threads", [1, 3])
    @pytest.mark.parametrize("rows", [5, 64])
    def test_blocks_of_edges_add_up_to_the_whole(
        self, rows: int, threads: int, messages: Path, tmp_path: Path
    ) -> None:
        from torchml_driver import Potential

        def smaller(text: str) -> str:
            changed = re.sub(r'"block": [1-9]\d*', f'"block": {rows}', text)
            assert changed != text
            return changed

        fast = messages_folder(tmp_path / "fast", text_changed(messages, smaller))
        slow = graph_models.write_graph_model(tmp_path / "slow", graph_models.Messages())
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            for make in STRUCTURES.values():
                atoms = make()
                cell = atoms.cell.array
                system = (atoms.get_chemical_symbols(), atoms.positions, cell, atoms.pbc)
                potential = Potential(fast)
                found, expected = potential.compute(*system), Potential(slow).compute(*system)
                np.testing.assert_allclose(found.forces, expected.forces, rtol=0, atol=1e-11)
                np.testing.assert_allclose(found.virial, expected.virial, rtol=0, atol=1e-10)
                again = potential.compute(*system)
                assert again.forces.tobytes() == found.forces.tobytes()
        finally:
            torch.set_num_threads(before)

    def test_kim_runs_it_in_ase(
        self,
        stillinger_weber: Path,
        in_collection: DriverEnvironment,
        tmp_path: Path,
    ) -> None:
        from ase.calculators.kim import KIM

        command = [sys.executable, "-m", "torchml_installer", "model"]
        options = ["--elements", "Si", "--cutoff", str(CUTOFF), "--name", "Compiled_SW"]
        subprocess.run([*command, "pack", stillinger_weber, *options], cwd=tmp_path, check=True)
        subprocess.run(
            [*command, "install", "Compiled_SW", "--collection", "environment"],
            cwd=tmp_path,
            env=dict(in_collection.env),
            check=True,
        )
        atoms = rattled_crystal()
        energies = []
        for name in ("Compiled_SW", REFERENCE_MODEL):
            atoms.calc = KIM(name)
            energies.append(atoms.get_potential_energy())
        assert energies[0] == pytest.approx(energies[1], rel=1e-9)


@pytest.mark.usefixtures("driver_environment")
class TestRefusals:
    def refused(self, folder: Path) -> str:
        from torchml_driver import Error, Potential

        with pytest.raises(Error) as caught:
            Potential(folder)
        return str(caught.value)

    def test_another_torch_is_told(
        self, with_text_changed: Callable[[Callable[[str], str]], Path]
    ) -> None:
        own = torch.__version__.split("+")[0]
        folder = with_text_changed(lambda text: text.replace(f"torch {own}", "torch 2.9.1"))
        message = self.refused(folder)
        assert "was compiled for torch 2.9, but this process runs torch" in message
        assert "torchml-install model compile" in message

    def test_code_for_one_thread_may_be_missing(
        self, with_text_changed: Callable[[Callable[[str], str]], Path]
    ) -> None:
        from torchml_driver import Potential

        def without(text: str) -> str:
            changed = text.replace("entry energies_and_gradient.one_thread\n", "")
            assert changed != text
            return changed

        atoms = rattled_crystal()
        potential = Potential(with_text_changed(without))
        system = (atoms.get_chemical_symbols(), atoms.positions, atoms.cell.array, atoms.pbc)
        assert np.isfinite(potential.compute(*system).energy)

    def test_another_device_is_told(
        self, with_text_changed: Callable[[Callable[[str], str]], Path]
    ) -> None:
        folder = with_text_changed(lambda text: text.replace("device cpu", "device cuda"))
        assert "KIM_MODEL_EXECUTION_DEVICE=cuda" in self.refused(folder)

    def test_a_cpu_without_the_instructions_is_told(
        self, with_text_changed: Callable[[Callable[[str], str]], Path]
    ) -> None:
        folder = with_text_changed(
            lambda text: text.replace("instructions ", "instructions amx_of_tomorrow ")
        )
        message = self.refused(folder)
        assert "instructions that this one lacks: amx_of_tomorrow" in message
        assert "--cpu x86-64" in message

    @pytest.mark.parametrize(
        ("pattern", "instead"),
        [
            (r'"part": "[^"]+"', '"part": "missing"'),
            (r'"block": [1-9]\d*', '"block": 0'),
            (r'"block": [1-9]\d*', '"block": -1'),
            (r'"block": [1-9]\d*', '"block": 99999999999999999999'),
            (r'"outputs"', '"results"'),
            (r'"type": "float64"', '"type": "decimal"'),
            (r'"argument": \d+, "axis"', '"argument": 77, "axis"'),
            (r'"select": \d+', '"select": 0'),
            (r'"index": \d+', '"index": 2'),  # an edge list has two rows
            (r'("select": \d+, "argument"): \d+', r"\1: 0"),  # there may be no particles
            (r'"argument": 0, "axis": \d', '"argument": 0, "axis": 1'),  # species has one axis
            (r'"value": \d+, "add_at"', '"value": 1, "add_at"'),  # into the coordinates
            (r'"return": \[\d+', '"return": [999'),
            (r'"return": \[.*\]', '"return": []'),
            (r'step \S+ \{"return".*\n', ""),
            (r'(step \S+) \{"return"', r'\1 {"jump": 1}\n\1 {"return"'),
        ],
    )
    def test_steps_that_make_no_sense_are_told(
        self, pattern: str, instead: str, messages: Path, tmp_path: Path
    ) -> None:
        def change(text: str) -> str:
            changed = re.sub(pattern, instead, text)
            assert changed != text
            return changed

        folder = messages_folder(tmp_path / "messages", text_changed(messages, change))
        message = self.refused(folder)
        assert "model.pt2" in message
        assert "torchml-install model compile" in message

    def test_another_calling_convention_is_told(
        self, stillinger_weber: Path, tmp_path: Path
    ) -> None:
        folder = messages_folder(tmp_path / "messages", stillinger_weber.read_bytes())
        assert "was compiled as forward(species, coords, n_neigh" in self.refused(folder)

    def test_another_type_of_inputs_in_the_parameter_file_is_told(
        self, stillinger_weber: Path, tmp_path: Path
    ) -> None:
        folder = model_folder(tmp_path, stillinger_weber.read_bytes(), "pt2", cutoff=CUTOFF)
        with (folder / "model.param").open("a") as parameters:
            parameters.write("precision float32\n")
        message = self.refused(folder)
        assert "compiled for inputs of type float64" in message
        assert "'precision float32'" in message

    @pytest.mark.parametrize("keep", [0, 100, 4000, -1000])
    def test_a_truncated_package_is_told(
        self, keep: int, stillinger_weber: Path, tmp_path: Path
    ) -> None:
        folder = model_folder(
            tmp_path / "short", stillinger_weber.read_bytes()[:keep], "pt2", cutoff=CUTOFF
        )
        assert "model.pt2" in self.refused(folder)

    def test_code_that_was_changed_is_not_run(self, stillinger_weber: Path, tmp_path: Path) -> None:
        path = tmp_path / "changed.pt2"
        with zipfile.ZipFile(stillinger_weber) as old, zipfile.ZipFile(path, "w") as new:
            for info in old.infolist():
                contents = bytearray(old.read(info))
                if info.filename.endswith(".so"):
                    contents[len(contents) // 2] ^= 0xFF
                new.writestr(info.filename, bytes(contents))
        folder = model_folder(tmp_path / "changed", path.read_bytes(), "pt2", cutoff=CUTOFF)
        assert "model.pt2" in self.refused(folder)

    def test_a_package_by_torch_alone_is_told_how_to_be_made(self, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "plain.pt2", "w") as archive:
            archive.writestr("plain/data/aotinductor/model/x.so", b"")
        contents = (tmp_path / "plain.pt2").read_bytes()
        folder = model_folder(tmp_path / "plain", contents, "pt2", cutoff=CUTOFF)
        assert "torchml-install model compile" in self.refused(folder)


@pytest.mark.usefixtures("driver_environment")
class TestCommand:
    """Cases without a compiler: each is refused before it runs, or by torch at the first step."""

    SI = ("--elements", "Si", "--cutoff", "4.0")

    def test_a_missing_class_is_told_with_those_that_are_there(self) -> None:
        done = compile_command(f"{EXAMPLE}/stillinger_weber.py:Stillinger", *self.SI)
        assert done.returncode == ModelFileMissingError.exit_code
        assert "StillingerWeber" in done.stderr

    def test_a_source_that_is_not_there_is_told_with_how_one_is_named(self) -> None:
        done = compile_command("no_such_package.model:Network", *self.SI)
        assert done.returncode == ModelFileMissingError.exit_code
        assert "no_such_package.model cannot be imported: ModuleNotFoundError" in done.stderr
        assert "what to do: Name the model as FILE.py:Name or package.module:Name" in done.stderr

    def test_weights_that_are_not_there_are_told_with_the_option(self) -> None:
        source = f"{EXAMPLE}/stillinger_weber.py:StillingerWeber"
        done = compile_command(source, *self.SI, "--weights", "no_such.pt")
        assert done.returncode == ModelFileMissingError.exit_code
        assert "There is no file no_such.pt." in done.stderr
        assert "what to do: Check the path that --weights names." in done.stderr

    def test_arguments_that_do_not_fit_are_told(self, tmp_path: Path) -> None:
        (tmp_path / "network.py").write_text(NETWORK)
        source = f"{tmp_path}/network.py:Network"
        done = compile_command(source, *self.SI, "--arguments", '{"depth": 3}')
        assert done.returncode == ModelFileMissingError.exit_code
        assert "depth" in done.stderr
        done = compile_command(source, *self.SI)
        assert done.returncode == WrongForwardError.exit_code
        assert "is called as forward(species, coords, n_neigh, nlist, contributing)" in done.stderr

    def test_weights_that_do_not_fit_are_told(self, tmp_path: Path) -> None:
        (tmp_path / "network.py").write_text(NETWORK)
        torch.save({"other": torch.zeros(3)}, tmp_path / "weights.pt")
        words = ["--pattern", "descriptor", "--width", "8", "--weights", tmp_path / "weights.pt"]
        done = compile_command(f"{tmp_path}/network.py:Network", *self.SI, *words)
        assert done.returncode == BadOptionError.exit_code
        assert "do not fit the model" in done.stderr

    def test_paths_may_have_blanks(self, tmp_path: Path) -> None:
        (tmp_path / "network.py").write_text(NETWORK)
        packages = tmp_path / "site packages"
        packages.mkdir()
        (packages / "torch").symlink_to(Path(torch.__file__).parent)
        words = ["--pattern", "descriptor", "--width", "8", "--output", tmp_path / "a model.pt2"]
        done = compile_command(
            f"{tmp_path}/network.py:Network",
            *self.SI,
            *words,
            temporary=packages,
            PYTHONPATH=str(packages),
        )
        assert done.returncode == 0, done.stderr
        assert [path.name for path in packages.iterdir()] == ["torch"]

    def test_what_torchs_compiler_says_is_in_the_log(self, tmp_path: Path) -> None:
        (tmp_path / "network.py").write_text(NETWORK)
        (tmp_path / "g++").write_text(
            '#!/bin/sh\ncase "$*" in *torchml-compile*) ;; *) exec /usr/bin/g++ "$@";; esac\n'
            'echo "model.cpp:1:1: error: no such thing" >&2\necho "and more of it" >&2\nexit 1\n'
        )
        (tmp_path / "g++").chmod(0o755)
        words = ["--pattern", "descriptor", "--width", "8", "--output", tmp_path / "model.pt2"]
        source = f"{tmp_path}/network.py:Network"
        variables = {"CXX": str(tmp_path / "g++"), "XDG_CACHE_HOME": str(tmp_path)}
        done = compile_command(source, *self.SI, *words, **variables)
        assert done.returncode == NotCompilableError.exit_code, done.stderr
        assert "model.cpp:1:1: error: no such thing" in done.stderr
        (log,) = tmp_path.rglob("model-compile.log")
        assert "and more of it" in log.read_text()

    def test_what_depends_on_values_is_named_with_its_line(self, tmp_path: Path) -> None:
        (tmp_path / "loops.py").write_text(
            "import torch\n"
            "class Loops(torch.nn.Module):\n"
            "    def forward(self, species, coords, n_neigh, nlist, contributing):\n"
            "        total = coords.sum()\n"
            "        if total > 0:\n"
            "            total = 2 * total\n"
            "        return total\n"
        )
        done = compile_command(f"{tmp_path}/loops.py:Loops", *self.SI)
        assert done.returncode == NotCompilableError.exit_code
        assert "loops.py, line 5" in done.stderr
        assert "torch.where" in done.stderr

    def test_a_random_model_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "random_one.py").write_text(
            "import torch\n"
            "class Dropout(torch.nn.Module):\n"
            "    def forward(self, descriptor):\n"
            "        return torch.nn.functional.dropout(descriptor, 0.1).square().sum(1)\n"
        )
        output = tmp_path / "random.pt2"
        words = ["--pattern", "descriptor", "--width", "8", "--output", output]
        done = compile_command(f"{tmp_path}/random_one.py:Dropout", *self.SI, *words)
        assert done.returncode == WrongForwardError.exit_code, done.stderr
        assert "different results each time it is called" in done.stderr
        assert "dropout" in done.stderr
        assert not output.exists()

    @pytest.mark.slow
    def test_a_package_that_differs_from_the_original_is_not_written(self, tmp_path: Path) -> None:
        output = tmp_path / "other.pt2"
        words = ["--pattern", "descriptor", "--width", "8", "--no-energy-only", "--output", output]
        source = "tests.support.compiled_models:OtherwiseWhenTraced"
        done = compile_command(source, *self.SI, *words)
        assert done.returncode == CompiledModelDiffersError.exit_code, done.stderr
        assert "differs from the original by 1.0e-06 of the largest value" in done.stderr
        assert "Nothing was written." in done.stderr
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("ratio", "words", "quicker"),
        [
            (1.84, "1.8 times as fast as TorchScript", "compiled"),
            (1.16, "1.2 times as fast as TorchScript", "compiled"),
            (1.14, "about as fast as TorchScript", "neither"),
            (1.0, "about as fast as TorchScript", "neither"),
            (0.88, "about as fast as TorchScript", "neither"),
            (0.85, "TorchScript is 1.2 times as fast", "torchscript"),
            (0.5, "TorchScript is 2.0 times as fast", "torchscript"),
        ],
    )
    def test_it_says_which_of_the_two_is_quicker_and_what_to_pack(
        self, ratio: float, words: str, quicker: str, tmp_path: Path
    ) -> None:
        made = CompiledModel(tmp_path / "m.pt2", {"speed_up": ratio, "device": "cpu"})
        (line,) = made.speed()
        assert words in line
        assert made.as_json()["quicker"] == quicker
        assert ("Prefer TorchScript" in line) == (quicker != "compiled")
        assert ("torch.jit.script" in made.next_step()) == (quicker != "compiled")

    def test_a_model_that_torchscript_cannot_express_is_packed_compiled(
        self, tmp_path: Path
    ) -> None:
        made = CompiledModel(tmp_path / "m.pt2", {"speed_up": None, "device": "cpu"})
        assert made.speed() == []
        assert made.next_step().startswith("`torchml-install model pack")

    def test_what_is_there_is_kept(self, tmp_path: Path) -> None:
        (tmp_path / "mine.pt2").write_text("precious")
        source = f"{EXAMPLE}/stillinger_weber.py:StillingerWeber"
        done = compile_command(source, *self.SI, "--output", tmp_path / "mine.pt2")
        assert done.returncode == OutputExistsError.exit_code
        assert (tmp_path / "mine.pt2").read_text() == "precious"

    @pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
    def test_a_gpu_that_is_not_there_is_told(self, tmp_path: Path) -> None:
        source = f"{EXAMPLE}/stillinger_weber.py:StillingerWeber"
        output = tmp_path / "gpu.pt2"
        done = compile_command(source, *self.SI, "--device", "cuda", "--output", output)
        assert done.returncode == NoDeviceError.exit_code
        assert not output.exists()


@pytest.mark.slow
@pytest.mark.usefixtures("driver_environment")
class TestOtherModels:
    def test_a_program_of_torch_export_is_compiled_with_its_gradient(self, tmp_path: Path) -> None:
        torch.manual_seed(3)
        layers = (torch.nn.Linear(8, 5), torch.nn.Tanh(), torch.nn.Linear(5, 1))
        network = torch.nn.Sequential(*layers).double()
        shapes = ({0: torch.export.Dim.DYNAMIC},)
        rows = torch.rand(9, 8, dtype=torch.float64)
        program = torch.export.export(network, (rows,), dynamic_shapes=shapes)
        torch.export.save(program, str(tmp_path / "network.pt2"))
        done = compile_command(
            tmp_path / "network.pt2",
            *("--elements", "Si", "--cutoff", "4.0", "--pattern", "descriptor", "--width", "8"),
            *("--output", tmp_path / "compiled.pt2", "--json"),
        )
        assert done.returncode == 0, done.stderr
        facts = json.loads(done.stdout)
        assert facts["arguments"] == ["descriptor"]
        assert facts["entries"] == ["energies", "energies_and_gradient"]
        assert facts["largest_difference"] < 1e-10
        from torch._inductor.package import load_package

        package = load_package(str(tmp_path / "compiled.pt2"), "energies")
        for count in (1, 2, 9):
            (energies,) = package(rows[:count])
            torch.testing.assert_close(energies, network(rows[:count]).detach())

    def test_weights_and_their_precision_are_the_files(self, tmp_path: Path) -> None:
        (tmp_path / "network.py").write_text(NETWORK)
        sys.path.insert(0, str(tmp_path))
        try:
            from network import Network
        finally:
            sys.path.remove(str(tmp_path))
        torch.manual_seed(3)
        network = Network(8, 5)
        torch.save(network.state_dict(), tmp_path / "weights.pt")
        done = compile_command(
            f"{tmp_path}/network.py:Network",
            *("--elements", "Si", "--cutoff", "4.0", "--pattern", "descriptor", "--width", "8"),
            *("--weights", tmp_path / "weights.pt", "--arguments", '{"hidden": 5}', "--json"),
            *("--output", tmp_path / "network.pt2"),
        )
        assert done.returncode == 0, done.stderr
        facts = json.loads(done.stdout)
        assert facts["scalar_type"] == "float32"
        assert facts["arguments"] == ["descriptor"]
        assert facts["speed_up"] > 0.0
        rows = torch.rand(9, 8)
        from torch._inductor.package import load_package

        package = load_package(str(tmp_path / "network.pt2"), "energies")
        torch.testing.assert_close(package(rows)[0], network(rows).detach())

    def test_tensors_without_a_type_have_that_of_the_weights(self, tmp_path: Path) -> None:
        """With torch.set_default_dtype, as during training."""
        (tmp_path / "table.py").write_text(
            "import torch\n"
            "class Table(torch.nn.Module):\n"
            "    def __init__(self):\n"
            "        super().__init__()\n"
            "        self.scale = torch.nn.Parameter(torch.ones(8))\n"
            "        self.table = torch.linspace(0.1, 0.7, 8)\n"
            "    def forward(self, descriptor):\n"
            "        rows = descriptor * self.table + torch.linspace(0.3, 0.4, 8)\n"
            "        return (self.scale * rows.square()).sum(1)\n"
        )
        torch.save({"scale": torch.ones(8, dtype=torch.float64)}, tmp_path / "weights.pt")
        done = compile_command(
            f"{tmp_path}/table.py:Table",
            *("--elements", "Si", "--cutoff", "4.0", "--pattern", "descriptor", "--width", "8"),
            *("--weights", tmp_path / "weights.pt", "--output", tmp_path / "table.pt2"),
        )
        assert done.returncode == 0, done.stderr
        rows = torch.rand(9, 8, dtype=torch.float64)
        first, second = np.linspace(0.1, 0.7, 8), np.linspace(0.3, 0.4, 8)
        expected = ((rows.numpy() * first + second) ** 2).sum(1)
        from torch._inductor.package import load_package

        package = load_package(str(tmp_path / "table.pt2"), "energies")
        np.testing.assert_allclose(package(rows)[0].numpy(), expected, rtol=1e-13)

    def test_forces_may_be_flat_and_the_models_own_order_that_of_the_particles(
        self, tmp_path: Path
    ) -> None:
        """With particles that the model partly does not see."""
        import torchml_driver

        done = compile_command(
            "tests.support.force_models:FlatForcesOfMessages",
            *("--elements", "Si", "--cutoff", str(graph_models.CUTOFF), "--pattern", "graph"),
            *("--layers", "3", "--returns-forces", "--no-energy-only"),
            *("--output", tmp_path / "model.pt2"),
        )
        assert done.returncode == 0, done.stderr
        text = graph_models.graph_parameters(
            "model.pt2",
            returns_forces=True,
            settings="edge_receiver_row 0\ndrop_unused_particles True\n",
        )
        (tmp_path / "model.param").write_text(text)
        atoms = rattled_crystal()
        result = torchml_driver.Potential(tmp_path).compute(
            atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc
        )
        _, forces = graph_models.on_a_plain_graph(graph_models.Messages(), atoms, ["Si"])
        np.testing.assert_allclose(result.forces, forces, rtol=0, atol=1e-11)
