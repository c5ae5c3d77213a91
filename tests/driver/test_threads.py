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


V2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = (
    "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "34 31 0:31 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
)
SLURM = "/sys/fs/cgroup/system.slice/slurmstepd.scope/job_7"


class TestControlGroups:
    def cores(self, mounts: str, groups: str, files: dict[str, str], online: int = 64) -> int:
        from torchml_driver import _core

        known = {"/proc/self/mountinfo": mounts, "/proc/self/cgroup": groups, **files}
        return int(_core.available_cores(online, known))

    @pytest.mark.parametrize(
        ("cpus", "count"), [("0-7\n", 8), ("0-3,32-35\n", 8), ("5\n", 1), ("0,2,4-5\n", 4)]
    )
    def test_a_cpuset_allows_those_that_it_lists(self, cpus: str, count: int) -> None:
        files = {f"{SLURM}/cpuset.cpus.effective": cpus}
        assert self.cores(V2, "0::/system.slice/slurmstepd.scope/job_7\n", files) == count

    def test_a_group_that_has_no_list_is_limited_by_those_around_it(self) -> None:
        files = {f"{SLURM}/cpuset.cpus.effective": "0-7\n"}
        group = "0::/system.slice/slurmstepd.scope/job_7/step_0/user/task_3\n"
        assert self.cores(V2, group, files) == 8

    @pytest.mark.parametrize(
        ("quota", "count"),
        [("max 100000\n", 64), ("800000 100000\n", 8), ("150000 100000\n", 2), ("5000 10000\n", 1)],
    )
    def test_a_quota_of_time_is_rounded_up_to_cores(self, quota: str, count: int) -> None:
        assert self.cores(V2, "0::/\n", {"/sys/fs/cgroup/cpu.max": quota}) == count

    def test_the_smallest_limit_counts(self) -> None:
        files = {
            "/sys/fs/cgroup/a/b/cpuset.cpus.effective": "0-15\n",
            "/sys/fs/cgroup/a/b/cpu.max": "max 100000\n",
            "/sys/fs/cgroup/a/cpu.max": "600000 100000\n",
        }
        assert self.cores(V2, "0::/a/b\n", files) == 6
        assert self.cores(V2, "0::/a/b\n", files, online=4) == 4

    def test_version_1_has_a_folder_for_each_controller(self) -> None:
        groups = "4:memory:/m\n3:cpuset:/docker/c\n2:cpu,cpuacct:/docker/c\n0::/\n"
        cpuset = {"/sys/fs/cgroup/cpuset/docker/c/cpuset.cpus": "0-7\n"}
        assert self.cores(V1, groups, cpuset) == 8
        folder = "/sys/fs/cgroup/cpu,cpuacct/docker/c"
        quota = {
            f"{folder}/cpu.cfs_quota_us": "250000\n",
            f"{folder}/cpu.cfs_period_us": "100000\n",
        }
        assert self.cores(V1, groups, {**cpuset, **quota}) == 3
        unlimited = {**quota, f"{folder}/cpu.cfs_quota_us": "-1\n"}
        assert self.cores(V1, groups, {**cpuset, **unlimited}) == 8

    def test_a_container_that_sees_the_hosts_names_finds_its_own_folder(self) -> None:
        mounts = "34 31 0:31 /docker/c /sys/fs/cgroup/cpuset ro - cgroup cgroup rw,cpuset\n"
        files = {"/sys/fs/cgroup/cpuset/cpuset.cpus": "0-7\n"}
        assert self.cores(mounts, "3:cpuset:/docker/c\n", files) == 8

    @pytest.mark.parametrize("text", ["", "\n", "none", "-1 100000", "max", "1e400 0"])
    def test_what_is_not_understood_limits_nothing(self, text: str) -> None:
        folder = "/sys/fs/cgroup/x"
        files = {f"{folder}/cpuset.cpus.effective": text, f"{folder}/cpu.max": text}
        assert self.cores(V2, "0::/x\n", files) == 64
        assert self.cores(text, text, files) == 64

    def test_a_node_without_control_groups_has_all(self) -> None:
        from torchml_driver import _core

        assert _core.available_cores(16, {}) == 16


@pytest.mark.parametrize("value", ["0", "-2", "many", "2.5", "5", "1000000000", "1e9", "2 3"])
def test_a_number_of_threads_that_the_machine_has_no_cores_for_is_named(value: str) -> None:
    import torchml_driver

    with pytest.raises(torchml_driver.Error, match=f"KIM_MODEL_NUM_THREADS is '{value}'.* 1 to 4"):
        choose_threads({"KIM_MODEL_NUM_THREADS": value}, 4, 4)


@pytest.mark.parametrize("value", ["", " "])
def test_an_empty_number_of_threads_counts_as_none(value: str) -> None:
    assert choose_threads({**OPEN_MPI, "KIM_MODEL_NUM_THREADS": value}, 16, 16) == 4
    assert choose_threads({**OPEN_MPI, "OMP_NUM_THREADS": value}, 16, 16) == 4


def test_spaces_around_a_number_of_threads_do_not_matter() -> None:
    assert choose_threads({"KIM_MODEL_NUM_THREADS": " 3 "}, 16, 16) == 3
