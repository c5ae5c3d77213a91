"""`doctor` says in a second what is there, what is missing, and what to do."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.clean.machines import seed
from tests.installer.doctor_output import require_documented
from tests.installer.synthetic_machines import (
    ODD_NAME,
    OLD_ABI,
    REPOSITORY,
    Machine,
    make_kim,
    make_program,
    make_torch,
    make_wheel,
    write,
)
from torchml_installer import detect, errors, remedies
from torchml_installer.building.plan import BuildPlan
from torchml_installer.detect import Places, cmake, compiler, kim_api, kim_collections, survey
from torchml_installer.doctor import diagnosis as doctor
from torchml_installer.doctor import report
from torchml_installer.support import receipts
from torchml_installer.support.names import DEFAULT_DRIVER_NAME


@pytest.fixture
def complete(machine: Machine) -> Machine:
    """A synthetic machine on which the driver could be built, in folders with odd names."""
    odd = machine.folder / ODD_NAME
    programs = odd / "bin"
    make_program(programs / "c++", "c++ (GCC) 12.2.0")
    make_program(programs / "cmake", "cmake version 3.25.1")
    make_program(programs / "ninja", "1.11.1")
    machine.environment |= {
        "PATH": f"{programs}:/bin",
        "TORCH_ROOT": str(make_torch(odd / "torch")),
        "KIM_API_CMAKE_PREFIX_DIR": str(make_kim(odd / "kim")),
    }
    return machine


def test_a_complete_machine_ends_with_0(complete: Machine) -> None:
    outcome = complete.install("doctor")
    assert outcome.code == 0, outcome.out
    assert "Everything needed to build the driver is there" in outcome.out
    assert "\x1b[" not in outcome.out


def test_what_the_python_module_lacks_is_said_before_it_is_left_out(complete: Machine) -> None:
    python = seed(complete.folder / "environment") / "bin/python"
    done = subprocess.run(
        [python, "-m", "torchml_installer", "doctor"],
        env=complete.environment,
        cwd=complete.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    said = " ".join(done.stdout.split())
    assert "is there, except for its Python module. " in said
    assert "has no pybind11 and no scikit-build-core" in said
    assert "(--no-python). Build it with `torchml-install driver`." in said


def test_what_nobody_needs_is_not_called_missing(complete: Machine) -> None:
    for words in ((), ("--markdown",)):
        outcome = complete.install("doctor", *words)
        assert "missing" not in outcome.out
        assert re.search(r"Enzyme[ |]+not found", outcome.out)
    complete.environment["LIBDESCRIPTOR_ROOT"] = "/nowhere"
    assert "| libdescriptor | not usable |" in complete.install("doctor", "--markdown").out
    complete.environment["TORCH_ROOT"] = "/nowhere"
    assert "| libtorch | **PROBLEM** |" in complete.install("doctor", "--markdown").out


def test_the_next_command_is_another_one_once_the_driver_is_there(complete: Machine) -> None:
    assert complete.install("doctor").out.endswith("\nBuild it with `torchml-install driver`.\n")
    collection = complete.folder / "collection"
    (collection / DEFAULT_DRIVER_NAME).mkdir(parents=True)
    complete.environment["KIM_API_MODEL_DRIVERS_DIR"] = str(collection)
    assert complete.install("doctor").out.splitlines()[-2:] == [
        "Everything needed is installed.",
        "Run a first model with `torchml-install quickstart`.",
    ]


def test_a_driver_whose_torch_has_gone_or_changed_is_told(
    complete: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever upgrades torch has a driver that simulators cannot load."""
    monkeypatch.setenv("XDG_DATA_HOME", complete.environment["XDG_DATA_HOME"])
    library = write(complete.folder / "collection" / DEFAULT_DRIVER_NAME / "library.so", "driver")
    complete.environment["KIM_API_MODEL_DRIVERS_DIR"] = str(complete.folder / "collection")
    torch = make_torch(complete.folder / "its torch", "2.7.1")
    made_from = {"torch": f"2.7.1 in {torch}"}
    receipts.write(receipts.Receipt("driver", DEFAULT_DRIVER_NAME, [library], made_from))

    def driver() -> dict[str, Any]:
        outcome = complete.install("doctor", "--json")
        assert outcome.code == 0, outcome.err  # it can be built
        answer = json.loads(outcome.out)
        require_documented(answer)
        found: dict[str, Any] = next(
            finding for finding in answer["findings"] if finding["name"] == "kim-collections"
        )
        return found

    assert driver()["usable"]
    assert driver()["details"] == {"built with torch": f"2.7.1 in {torch}"}
    make_torch(torch, "2.7.9")  # the same interface
    assert driver()["usable"]
    make_torch(torch, "2.13.0")
    told = f"The driver in {library.parent} was built with torch 2.7.1 in {torch}, "
    assert driver()["problem"] == f"{told}which is 2.13.0 now."
    assert driver()["next_step"] == "Rebuild it with `torchml-install driver`."
    shutil.rmtree(torch)
    assert driver()["problem"] == f"{told}which no longer exists."
    assert complete.install("doctor").out.endswith("\nBuild it with `torchml-install driver`.\n")
    library.write_text("one that KIM's own command has built")
    assert (driver()["usable"], driver()["details"]) == (True, {})


def test_the_json_output_is_as_its_schema_says(complete: Machine) -> None:
    answer = json.loads(complete.install("doctor", "--json").out)
    require_documented(answer)
    assert (answer["schema"], answer["ok"], answer["exit_code"]) == (1, True, 0)
    names = [finding["name"] for finding in answer["findings"]]
    assert names[:5] == ["torch", "kim-api", "compiler", "cmake", "build-tool"]
    assert "torchml_driver" in names
    assert len(names) == len(set(names))
    assert answer["findings"][0]["where"] == complete.environment["TORCH_ROOT"]
    old = make_torch(complete.folder / "old", "2.4.0", config=OLD_ABI)
    answer = json.loads(complete.install("doctor", "--json", "--torch-root", old).out)
    require_documented(answer)
    assert answer["exit_code"] == errors.OldAbiTorchError.exit_code
    assert [problem["name"] for problem in answer["known_problems"]] == ["old-cxx-abi"]


def test_help_loads_nothing_that_takes_time(machine: Machine) -> None:
    script = write(
        machine.folder / "run.py",
        "import sys\n"
        "from torchml_installer.cli import cli\n"
        "cli(['doctor', '--help'], standalone_mode=False)\n"
        "heavy = {'torch', 'numpy', 'rich', 'concurrent', 'torchml_installer.detect'}\n"
        "print('loaded:', sorted(heavy & set(sys.modules)))\n",
    )
    outcome = machine.install(script=script)
    assert "--markdown" in outcome.out, outcome.err
    assert outcome.out.endswith("loaded: []\n")


def test_the_schema_is_printed_without_looking_for_anything(machine: Machine) -> None:
    script = write(
        machine.folder / "run.py",
        "import torchml_installer.detect as detect\n"
        "detect.survey = None\n"
        "from torchml_installer.cli import main\n"
        "main()\n",
    )
    outcome = machine.install("doctor", "--schema", script=script)
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out)["properties"]["schema"]["const"] == 1


def test_places_are_shown_in_order_with_what_was_taken(complete: Machine) -> None:
    outcome = complete.install("doctor", "--places", "--torch-root", "/nowhere")
    assert outcome.code == errors.NoTorchError.exit_code
    shown = outcome.out[outcome.out.index("Searched for libtorch in:\n") :].splitlines()
    assert shown[1] == "  /nowhere (--torch-root): the folder does not exist"
    root = complete.environment["TORCH_ROOT"]
    assert shown[2] == f"  {root} (TORCH_ROOT): 2.13.0+cpu: an earlier one is used"
    assert shown[3] == "  $Torch_ROOT: not set"
    cmake = complete.folder / ODD_NAME / "bin/cmake"
    assert f"Searched for CMake in:\n  {cmake} (PATH): used\n" in outcome.out
    for finding in json.loads(complete.install("doctor", "--json").out)["findings"]:
        assert f"\nSearched for {finding['title']} in:\n" in outcome.out


def test_the_first_problem_gives_the_exit_code(complete: Machine) -> None:
    torch = make_torch(complete.folder / "old", "2.4.0", config=OLD_ABI)
    complete.environment |= {"TORCH_ROOT": str(torch), "KIM_API_CMAKE_PREFIX_DIR": "/nowhere"}
    outcome = complete.install("doctor")
    assert outcome.code == errors.OldAbiTorchError.exit_code
    assert "KIM-API: There is no KIM-API in /nowhere" in outcome.out
    assert "The driver cannot be built yet" in outcome.out


@pytest.mark.skipif(
    (Path(sys.executable).parent / "c++").exists(), reason="a compiler lies beside this Python"
)
def test_no_compiler_is_a_problem_of_its_own(complete: Machine) -> None:
    (complete.folder / ODD_NAME / "bin/c++").unlink()
    complete.environment["PATH"] = str(complete.folder / ODD_NAME / "bin")
    outcome = complete.install("doctor")
    assert outcome.code == errors.NoCompilerError.exit_code
    assert "apt install g++" in outcome.out


def test_the_old_abi_is_recognised_and_explained(complete: Machine) -> None:
    torch = make_torch(complete.folder / "old", "2.4.0", config=OLD_ABI)
    outcome = complete.install("doctor", "--json", "--torch-root", torch)
    (problem,) = json.loads(outcome.out)["known_problems"]
    assert problem["name"] == "old-cxx-abi"
    assert "std::string" in problem["explanation"]
    assert problem["command"] == []  # that is for the active Python's


def test_an_old_cmake_is_recognised_and_its_repair_offered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_program(tmp_path / "bin/cmake", "cmake version 3.13.4")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr("torchml_installer.detect.programs.python_program_folder", lambda: tmp_path)
    facts = survey(Places(torch_root=make_torch(tmp_path / "torch")))
    (found,) = remedies.recognised(BuildPlan.of(facts))
    assert found.name == "cmake-too-old"
    assert "3.13.4" in found.symptom.explanation
    # No Python is changed, see tests/clean/test_python_packages.py.
    assert found.symptom.command[-3:-1] == ("--target", str(cmake.private_folder()))


def test_a_wrong_place_that_was_named_is_taken_back_and_not_installed_for(
    complete: Machine,
) -> None:
    """What deps or pip would install is not looked at, as long as the name stands."""
    torch = complete.environment["TORCH_ROOT"]
    quoted = shlex.quote(torch)
    outcome = complete.install("doctor", "--torch-root", "/nowhere")
    assert outcome.code == errors.NoTorchError.exit_code
    wanted = f"Leave out --torch-root, or name another one. This one works: --torch-root {quoted}\n"
    assert f"  what to do: {wanted}" in outcome.out
    assert "deps" not in outcome.out.splitlines()[-1]
    kim = complete.environment["KIM_API_CMAKE_PREFIX_DIR"]
    complete.environment |= {"CONDA_PREFIX": kim, "KIM_API_CMAKE_PREFIX_DIR": "/nowhere"}
    outcome = complete.install("doctor")
    assert outcome.code == errors.NoKimApiError.exit_code
    wanted = f"This one works: --kim-root {shlex.quote(kim)}\n"
    assert f"  what to do: Unset KIM_API_CMAKE_PREFIX_DIR, or name another one. {wanted}" in (
        outcome.out
    )
    complete.environment |= {"KIM_API_CMAKE_PREFIX_DIR": kim, "CXX": "/nowhere/g++"}
    outcome = complete.install("deps", "--dry-run")
    assert outcome.code == errors.NoCompilerError.exit_code
    cxx = shlex.quote(str(complete.folder / ODD_NAME / "bin/c++"))
    assert f"Unset CXX, or name another one. This one works: --cxx {cxx}\n" in outcome.err


def test_a_torch_that_was_named_is_not_replaced_by_the_repair(complete: Machine) -> None:
    torch = make_torch(complete.folder / "old", "2.4.0", config=OLD_ABI)
    outcome = complete.install("doctor", "--fix", "--torch-root", torch)
    assert outcome.code == errors.OldAbiTorchError.exit_code
    assert "libtorch: torch 2.4.0" in outcome.out
    assert "known problem old-cxx-abi" in outcome.out
    assert "repair:" not in outcome.out
    outcome = complete.install("driver", "--no-python", "--fix", "--torch-root", torch)
    assert outcome.code == errors.OldAbiTorchError.exit_code
    assert "With --fix" not in outcome.err
    assert "name one with --torch-root DIR" in outcome.err


@pytest.mark.parametrize("newer", [True, False])
def test_the_active_python_s_torch_is_upgraded_where_that_is_possible(
    complete: Machine, newer: bool
) -> None:
    """pip is real, of an environment of its own."""
    python = seed(complete.folder / "python") / "bin/python"
    wheels = complete.folder / "wheels"
    for version, config in (("2.4.0", OLD_ABI), ("2.7.0", ""))[: 1 + newer]:
        tree = make_torch(complete.folder / version / "torch", version, config=config)
        write(tree / "__init__.py")
        members = {
            str(file.relative_to(tree.parent)): file.read_bytes()
            for file in sorted(tree.rglob("*"))
            if file.is_file()
        }
        make_wheel(wheels, "torch", version, members)
    del complete.environment["TORCH_ROOT"]
    complete.environment |= {
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(wheels),
        "PIP_CONFIG_FILE": "/dev/null",
        "PYTHONPATH": str(REPOSITORY),
    }

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [python, "-m", *words],
            env=complete.environment,
            cwd=complete.folder,
            capture_output=True,
            text=True,
            check=False,
        )

    assert run("pip", "install", "torch==2.4.0").returncode == 0
    before = run("torchml_installer", "doctor")
    assert before.returncode == errors.OldAbiTorchError.exit_code
    assert "(or `torchml-install doctor --fix`)" in before.stdout
    done = run("torchml_installer", "doctor", "--fix")
    if newer:
        assert done.returncode == 0, done.stderr
        assert "2.7.0" in done.stdout
        assert "known problem" not in done.stdout
    else:
        # The report comes all the same, and behind it what could not be done.
        assert done.returncode == errors.OldAbiTorchError.exit_code
        assert "libtorch           PROBLEM     2.4.0" in done.stdout
        assert "error: Cannot repair old-cxx-abi: upgrading torch failed" in done.stderr


def test_two_formats_at_once_are_wrong_usage(complete: Machine) -> None:
    outcome = complete.install("doctor", "--json", "--markdown")
    assert outcome.code == 2
    assert "either --json or --markdown" in outcome.err
    assert outcome.out == ""


def test_a_report_for_a_bug_tracker_names_no_user(complete: Machine) -> None:
    home = complete.folder / "home of jane"
    torch = make_torch(home / "torch")
    complete.environment |= {
        "HOME": str(home),
        "USER": "jane",
        "LOGNAME": "jane",
        "TORCH_ROOT": str(torch),
        "KIM_MODEL_EXECUTION_DEVICE": "cuda",
        "SECRET_TOKEN": "not for others",
        "TORCHML_WORK": "/scratch/jane/models",
        "CONDA_PREFIX": "/opt/conda/envs/jane_env",
        "LD_LIBRARY_PATH": "/home/bob/lib:/Users/ann-b/lib:/opt/janeway/jane-2.so",
    }
    outcome = complete.install("doctor", "--markdown")
    assert outcome.code == 0, outcome.out
    assert "| libtorch | ok | 2.13.0+cpu" in outcome.out
    assert "~/torch" in outcome.out
    assert "KIM_MODEL_EXECUTION_DEVICE=cuda" in outcome.out
    assert "/scratch/USER/models" in outcome.out
    assert "/opt/conda/envs/USER_env" in outcome.out
    assert "/home/USER/lib:/Users/USER/lib:/opt/janeway/USER-2.so" in outcome.out
    assert "jane" not in outcome.out.replace("janeway", "")
    assert "not for others" not in outcome.out


def test_a_detector_that_fails_is_a_finding_and_the_others_are_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **_options: object) -> detect.Finding:
        raise ZeroDivisionError("of all things")

    monkeypatch.setitem(detect.DETECTORS, "mpi", fail)
    monkeypatch.setattr(kim_api, "detect", fail)
    monkeypatch.setattr(compiler, "detect", fail)
    facts = survey(Places())
    for name in ("mpi", "kim-api", "compiler"):
        found = facts.get(name)
        assert isinstance(found.problem, errors.UnexpectedError)
        assert f"Searching for {name} failed" in found.problem.message
        assert "ZeroDivisionError: of all things (test_doctor.py, line " in found.problem.message
        assert "doctor --markdown" in found.next_step
    assert facts.get("python-headers").title == "Python's headers"
    assert "Searching for mpi failed" in report.markdown(facts)
    require_documented(doctor.as_json(facts))


def test_doctor_finds_the_libtorch_that_deps_put_elsewhere(complete: Machine) -> None:
    del complete.environment["TORCH_ROOT"]
    make_program(complete.folder / ODD_NAME / "bin/xxd", "")
    tree = make_torch(complete.folder / "tree/libtorch", "2.9.0+cpu")
    archive = shutil.make_archive(str(complete.folder / "libtorch"), "zip", tree.parent)
    script = write(
        complete.folder / "run.py",
        "from torchml_installer.detect import torch\n"
        "torch.python_torch_folder = lambda: None\n"
        "from torchml_installer.cli import main\n"
        "main()\n",
    )
    prefix = complete.folder / "prefix"
    words = ("deps", "--prefix", prefix, "--libtorch", archive, "--with", "xxd")
    outcome = complete.install(*words, script=script)
    assert outcome.code == 0, outcome.err
    outcome = complete.install("doctor", "--json", script=script)
    torch = json.loads(outcome.out)["findings"][0]
    assert (torch["where"], torch["how"]) == (str(prefix / "libtorch"), "torchml-install deps")


def test_a_kim_api_that_hangs_is_asked_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kim = make_kim(tmp_path / "kim")
    asked = tmp_path / "asked"
    program = f"#!/bin/sh\necho \"$@\" >>'{asked}'\nexec /bin/sleep 1000\n"
    write(kim / "libexec/kim-api/kim-api-collections-info", program, executable=True)
    monkeypatch.setattr(kim_collections, "PATIENCE", 0.5)
    facts = survey(Places(kim_root=kim))
    problem = facts.get("kim-collections").problem
    assert problem is not None
    assert problem.message in json.dumps(doctor.as_json(facts))
    questions = asked.read_text().splitlines()
    assert len(questions) == len(set(questions))
