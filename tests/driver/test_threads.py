"""How many threads a model uses: a rank takes its share of the node; users have the last word."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.usefixtures("driver_environment")

OPEN_MPI = {"OMPI_COMM_WORLD_LOCAL_RANK": "1", "OMPI_COMM_WORLD_LOCAL_SIZE": "4"}


def choose_threads(variables: dict[str, str], cores: int, allowed: int) -> int:
    from torchml_driver import _core

    return int(_core.choose_threads(variables, cores, allowed))


def test_a_serial_run_keeps_torchs_own_choice() -> None:
    assert choose_threads({}, 16, 16) == 0


@pytest.mark.parametrize(
    "variables",
    [
        OPEN_MPI,
        {"MPI_LOCALRANKID": "3", "MPI_LOCALNRANKS": "4"},
        {"MV2_COMM_WORLD_LOCAL_RANK": "0", "MV2_COMM_WORLD_LOCAL_SIZE": "4"},
        {"PALS_LOCAL_RANKID": "0", "PALS_LOCAL_SIZE": "4"},
        {"SLURM_LOCALID": "0", "SLURM_STEP_TASKS_PER_NODE": "4(x2),3"},
        {
            "FLUX_TASK_RANK": "5",
            "FLUX_TASK_LOCAL_ID": "1",
            "FLUX_JOB_SIZE": "8",
            "FLUX_JOB_NNODES": "2",
        },
    ],
)
def test_a_rank_takes_its_share_of_the_nodes_cores(variables: dict[str, str]) -> None:
    assert choose_threads(variables, 16, 16) == 4


def test_a_rank_bound_to_fewer_cores_uses_no_more() -> None:
    assert choose_threads(OPEN_MPI, 16, 2) == 2


def test_more_ranks_than_cores_still_have_a_thread_each() -> None:
    assert choose_threads(OPEN_MPI, 2, 2) == 1


def test_omp_num_threads_is_left_to_torch() -> None:
    assert choose_threads({**OPEN_MPI, "OMP_NUM_THREADS": "3"}, 16, 16) == 0


def test_kim_model_num_threads_wins_over_everything() -> None:
    variables = {**OPEN_MPI, "OMP_NUM_THREADS": "3", "KIM_MODEL_NUM_THREADS": "5"}
    assert choose_threads(variables, 16, 16) == 5


def test_a_program_in_a_slurm_batch_script_is_not_taken_for_a_rank() -> None:
    variables = {"SLURM_LOCALID": "0", "SLURM_PROCID": "0", "SLURM_NTASKS_PER_NODE": "32"}
    assert choose_threads(variables, 64, 64) == 0


@pytest.mark.parametrize("value", ["", "0", "-2", "many", "2.5"])
def test_a_number_of_threads_that_is_none_is_named(value: str) -> None:
    import torchml_driver

    with pytest.raises(torchml_driver.Error, match="KIM_MODEL_NUM_THREADS"):
        choose_threads({"KIM_MODEL_NUM_THREADS": value}, 4, 4)
