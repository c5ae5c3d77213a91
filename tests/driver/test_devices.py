"""Where a model computes: what users say, which of a node's GPUs is a rank's own, and what is said
when there is none."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support import DriverEnvironment

OPEN_MPI = {"OMPI_COMM_WORLD_LOCAL_RANK": "5", "OMPI_COMM_WORLD_LOCAL_SIZE": "8"}

RANKS = [
    ({}, 0),
    (OPEN_MPI, 5),
    ({"MPI_LOCALRANKID": "5", "MPI_LOCALNRANKS": "8"}, 5),
    ({"MV2_COMM_WORLD_LOCAL_RANK": "5", "MV2_COMM_WORLD_LOCAL_SIZE": "8"}, 5),
    ({"PALS_LOCAL_RANKID": "5", "PALS_LOCAL_SIZE": "8"}, 5),
    (
        {"SLURM_PROCID": "13", "SLURM_LOCALID": "5", "SLURM_STEP_TASKS_PER_NODE": "8(x2)"},
        5,
    ),
    (
        {
            "FLUX_TASK_RANK": "13",
            "FLUX_TASK_LOCAL_ID": "5",
            "FLUX_JOB_SIZE": "16",
            "FLUX_JOB_NNODES": "2",
        },
        5,
    ),
]


def choose(wanted: str, count: int = 0, why: str = "none", **variables: str) -> str:
    from torchml_driver import _core

    return str(_core.choose_device(wanted, variables, count, why))


def refusal(wanted: str, count: int = 0, why: str = "none", **variables: str) -> str:
    import torchml_driver

    with pytest.raises(torchml_driver.Error) as caught:
        choose(wanted, count, why, **variables)
    return str(caught.value)


@pytest.mark.usefixtures("driver_environment")
class TestChoice:
    @pytest.mark.parametrize("wanted", ["", "cpu", "CPU"])
    def test_nothing_but_the_cpu_is_used_unless_asked_for(self, wanted: str) -> None:
        assert choose(wanted, 4, **OPEN_MPI) == "cpu"

    @pytest.mark.parametrize(("variables", "local_rank"), RANKS)
    @pytest.mark.parametrize("count", [1, 2, 4, 8])
    def test_a_nodes_ranks_take_its_gpus_in_turn(
        self, variables: dict[str, str], local_rank: int, count: int
    ) -> None:
        assert choose("cuda", count, **variables) == f"cuda:{local_rank % count}"

    def test_a_numbered_gpu_is_taken_by_every_rank(self) -> None:
        assert choose("cuda:1", 4, **OPEN_MPI) == "cuda:1"

    def test_a_rank_that_sees_one_gpu_takes_it(self) -> None:
        # Launchers hand each rank its own GPU in this way; it then has the number 0.
        assert choose("cuda", 1, CUDA_VISIBLE_DEVICES="3", **OPEN_MPI) == "cuda:0"

    @pytest.mark.parametrize("wanted", ["mps", "xpu", "xpu:1"])
    def test_other_accelerators_can_be_named(self, wanted: str) -> None:
        assert choose(wanted, 2).startswith(wanted)

    def test_a_number_too_high_is_told_how_many_there_are(self) -> None:
        message = refusal("cuda:2", 2)
        assert "'cuda:2'" in message
        assert "sees 2 devices" in message
        assert "numbered from 0" in message

    def test_a_narrowed_view_is_mentioned(self) -> None:
        assert "CUDA_VISIBLE_DEVICES is '2,3'" in refusal("cuda:3", 2, CUDA_VISIBLE_DEVICES="2,3")
        assert "CUDA_VISIBLE_DEVICES is ''" in refusal("cuda", 0, CUDA_VISIBLE_DEVICES="")

    def test_no_device_says_why_and_what_to_do(self) -> None:
        message = refusal("cuda", 0, "found no NVIDIA driver")
        assert "found no NVIDIA driver" in message
        assert "'cpu'" in message

    @pytest.mark.parametrize("wanted", ["gpu", "cuda:", "cuda:one", "cuda:-1", "cuda:1:2", "tpu"])
    def test_an_unknown_device_is_answered_with_those_there_are(self, wanted: str) -> None:
        message = refusal(wanted, 2)
        assert f"'{wanted}'" in message
        assert "cuda:N" in message


def load(driver_environment: DriverEnvironment, variable: str) -> subprocess.CompletedProcess[str]:
    """Loads the example in a process of its own, with a device in the environment."""
    program = (
        "import sys, torchml_driver\n"
        "try:\n"
        "    print(torchml_driver.Potential(sys.argv[1]).device)\n"
        "except torchml_driver.Error as problem:\n"
        "    print(problem); sys.exit(3)\n"
    )
    return subprocess.run(
        [sys.executable, "-c", program, str(driver_environment.packed)],
        env={**os.environ, "KIM_MODEL_EXECUTION_DEVICE": variable},
        capture_output=True,
        text=True,
        check=False,
    )


def has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()


def test_the_environment_chooses_the_cpu(driver_environment: DriverEnvironment) -> None:
    assert load(driver_environment, "cpu").stdout.strip() == "cpu"


def test_a_gpu_that_is_not_there_is_an_error_that_says_why(
    driver_environment: DriverEnvironment,
) -> None:
    if has_cuda():
        pytest.skip("there is a GPU")
    done = load(driver_environment, "cuda")
    assert done.returncode == 3, done.stderr
    assert "KIM_MODEL_EXECUTION_DEVICE is 'cuda', but there is no such device" in done.stdout
    assert "built without it" in done.stdout or "driver" in done.stdout


def test_the_argument_wins_over_the_environment(
    driver_environment: DriverEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torchml_driver

    monkeypatch.setenv("KIM_MODEL_EXECUTION_DEVICE", "tpu")
    potential = torchml_driver.Potential(driver_environment.packed, device="cpu")
    assert potential.device == "cpu"
    with pytest.raises(torchml_driver.Error, match="'tpu'"):
        torchml_driver.Potential(driver_environment.packed)
