"""On a bare machine, every command says what is missing and what to type next."""

from __future__ import annotations

import json

import pytest

from tests.clean.machines import ENVIRONMENT, USER, CleanMachine
from tests.installer.doctor_output import require_documented
from torchml_installer import errors

#: Needed for the driver: key of the finding, its code, words of the next step.
MISSING = {
    "torch": (errors.NoTorchError.exit_code, "pip install torch"),
    "kim-api": (errors.NoKimApiError.exit_code, "sudo apt install libkim-api-dev"),
    "compiler": (errors.NoCompilerError.exit_code, "sudo apt install g++"),
    "cmake": (errors.NoCMakeError.exit_code, "pip install cmake"),
    "build-tool": (errors.MissingToolError.exit_code, "pip install ninja"),
}
OPTIONAL = ("mpi", "lammps", "pkg-config", "numpy", "kimpy", "torch-scatter", "libdescriptor")


@pytest.mark.parametrize("user", [0, USER], ids=["root", "user"])
def test_everything_that_is_missing_is_told_with_the_next_step(
    bare: CleanMachine, user: int
) -> None:
    outcome = bare.install("doctor", "--json", user=user).plain()
    report = json.loads(outcome.out)
    assert (outcome.code, report["exit_code"], report["ok"]) == (3, 3, False)
    findings = {finding["name"]: finding for finding in report["findings"]}
    for name, (code, step) in MISSING.items():
        assert findings[name]["where"] is None, findings[name]
        assert findings[name]["exit_code"] == code
        assert step in findings[name]["next_step"]
    for name in OPTIONAL:
        assert not findings[name]["usable"]
        assert findings[name]["next_step"]
    require_documented(report)
    text = bare.install("doctor", user=user).plain()
    assert text.code == 3
    for _, step in MISSING.values():
        assert step in text.out
    assert "`torchml-install deps --dry-run`" in text.out


def test_root_is_shown_the_commands_that_install_all_of_it(bare: CleanMachine) -> None:
    outcome = bare.install("deps", "--dry-run").plain()
    assert outcome.code == 0
    *_update, apt, pip = (line for line in outcome.out.splitlines() if not line.startswith("#"))
    assert apt.endswith("libkim-api-dev pkg-config g++")
    assert pip.startswith(f"{ENVIRONMENT}/bin/python -m pip install")
    assert pip.endswith("torch cmake ninja numpy vesin pybind11 scikit-build-core")


def test_a_user_without_root_gets_one_command_to_hand_on(bare: CleanMachine) -> None:
    for words in (("deps", "--dry-run"), ("deps",), ("deps", "--dry-run", "--json")):
        outcome = bare.install(*words, user=USER).plain()
        assert outcome.code == errors.NoProviderError.exit_code
        assert outcome.out == ""
        assert "Missing: KIM-API, a C++ compiler." in outcome.err
        assert "there is no sudo" in outcome.err
        command = "sudo apt-get install --no-install-recommends libkim-api-dev pkg-config g++"
        assert f"`{command}`" in outcome.err
        assert "conda create" in outcome.err


def test_commands_that_need_something_name_the_first_of_it(bare: CleanMachine) -> None:
    for words in (("driver",), ("env",), ("quickstart",), ("deps", "--with", "scatter")):
        outcome = bare.install(*words, user=USER).plain()
        assert outcome.code == errors.NoTorchError.exit_code, words
        assert outcome.err.startswith("error: No libtorch found. Searched the active Python")
        assert "  what to do: Install it with `python -m pip install torch`" in outcome.err
    outcome = bare.install("uninstall", "--all", user=USER).plain()
    assert (outcome.code, outcome.out) == (0, "torchml-install has not installed anything.\n")


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        (
            ("deps", "--provider", "pip", "--with", "torch"),
            errors.PackageInstallError.exit_code,
            ("cannot fetch torch from", "pip download -d DIR torch", "--libtorch FILE"),
        ),
        (
            ("deps", "--with", "libdescriptor"),
            errors.DownloadFailedError.exit_code,
            ("cannot fetch libdescriptor==0.2.3 from", "https://pypi.org/", "--sources DIR"),
        ),
        (
            ("deps", "--libtorch", "https://example.org/x.zip", "--sha256", "0" * 64),
            errors.DownloadFailedError.exit_code,
            ("Cannot download https://example.org/x.zip", "--libtorch FILE"),
        ),
    ],
    ids=["pip", "wheel", "archive"],
)
def test_without_a_network_it_says_what_was_wanted_and_how_to_bring_it(
    bare: CleanMachine, words: tuple[str, ...], code: int, expected: tuple[str, ...]
) -> None:
    settings = {**bare.environment, "PIP_RETRIES": "1", "PIP_CONFIG_FILE": "/dev/null"}
    outcome = bare.install(*words, user=USER, environment=settings).plain()
    assert outcome.code == code
    for text in expected:
        assert text in outcome.err
    # Only the log has pip's output of each attempt.
    assert "Retrying" not in outcome.err


@pytest.mark.slow
def test_apt_without_a_network_names_package_and_server(bare: CleanMachine) -> None:
    bare.forget_package("xxd")
    bare.path("/etc/apt/apt.conf.d/99once").write_text('Acquire::Retries "0";\n')
    outcome = bare.install("deps", "--provider", "apt", "--with", "xxd").plain()
    assert outcome.code == errors.PackageInstallError.exit_code
    assert "cannot fetch xxd from " in outcome.err
    assert "apt-get install --download-only xxd" in outcome.err


#: Variables that name a place for detection, which may contain anything.
VARIABLES = (
    *("TORCH_ROOT", "KIM_API_CMAKE_PREFIX_DIR", "CONDA_PREFIX", "CXX", "LIBDESCRIPTOR_ROOT"),
    *("TorchScatter_ROOT", "CUDNN_ROOT", "ROCM_PATH", "CUDA_HOME", "EBROOTPYTORCH", "LMOD_CMD"),
    *("XDG_CACHE_HOME", "XDG_DATA_HOME", "HOME", "PATH", "LD_LIBRARY_PATH", "PYTHONPATH"),
)


def test_folders_of_others_and_impossible_paths_never_break_the_report(bare: CleanMachine) -> None:
    bare.give("/home/other", user=4242, mode=0o700)
    for value in ("/home/other/x", "/x" * 3000, "/x\ny", ""):
        settings = dict.fromkeys(VARIABLES, value)
        settings["PYTHONPATH"] = f"{bare.environment['PYTHONPATH']}:{value}"
        outcome = bare.install("doctor", "--json", user=USER, environment=settings).plain()
        assert outcome.code in (3, 7), (value[:20], outcome.err)
        findings = {item["name"]: item for item in json.loads(outcome.out)["findings"]}
        if value == "/home/other/x":
            assert "Permission denied" in findings["torch"]["problem"]
            assert "Permission denied" in findings["kim-api"]["problem"]
    settings = {**bare.environment, "CXX": "g++ 'never closed"}
    assert bare.install("doctor", user=USER, environment=settings).plain().code == 3
