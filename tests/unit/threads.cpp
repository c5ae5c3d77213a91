// The number of threads of a model: a rank takes its share of the node; users have the last word.

#include "process/threads.hpp"

#include <vector>

#include "support.hpp"

namespace {

using namespace torchml;
using namespace torchml::tests;

const Variables open_mpi = {{"OMPI_COMM_WORLD_LOCAL_RANK", "1"},
                            {"OMPI_COMM_WORLD_LOCAL_SIZE", "4"}};

int chosen(const Variables& variables, int cores, int allowed) {
    const Environment environment = made_of(variables);
    return choose_threads(environment, find_launcher(environment), {cores, cores, allowed}).count;
}

}  // namespace

TEST_CASE("a serial run keeps torch's own choice") { CHECK(chosen({}, 16, 16) == 0); }

TEST_CASE("a rank takes its share of the node's cores") {
    const std::vector<Variables> launchers = {
        open_mpi,
        {{"MPI_LOCALRANKID", "3"}, {"MPI_LOCALNRANKS", "4"}},
        {{"MV2_COMM_WORLD_LOCAL_RANK", "0"}, {"MV2_COMM_WORLD_LOCAL_SIZE", "4"}},
        {{"PALS_LOCAL_RANKID", "0"}, {"PALS_LOCAL_SIZE", "4"}},
        {{"SLURM_LOCALID", "0"}, {"SLURM_STEP_TASKS_PER_NODE", "4(x2),3"}},
        {{"FLUX_TASK_RANK", "5"},
         {"FLUX_TASK_LOCAL_ID", "1"},
         {"FLUX_JOB_SIZE", "8"},
         {"FLUX_JOB_NNODES", "2"}},
    };
    for (const Variables& variables : launchers) {
        CAPTURE(variables.begin()->first);
        CHECK(chosen(variables, 16, 16) == 4);
    }
}

TEST_CASE("a rank bound to fewer cores uses no more") { CHECK(chosen(open_mpi, 16, 2) == 2); }

TEST_CASE("more ranks than cores still have a thread each") { CHECK(chosen(open_mpi, 2, 2) == 1); }

TEST_CASE("OMP_NUM_THREADS is left to torch") {
    CHECK(chosen(joined(open_mpi, {{"OMP_NUM_THREADS", "3"}}), 16, 16) == 0);
}

TEST_CASE("KIM_MODEL_NUM_THREADS wins over everything") {
    const Variables both = {{"OMP_NUM_THREADS", "3"}, {"KIM_MODEL_NUM_THREADS", "5"}};
    CHECK(chosen(joined(open_mpi, both), 16, 16) == 5);
}

TEST_CASE("a program in a Slurm batch script is not taken for a rank") {
    const Variables script = {
        {"SLURM_LOCALID", "0"}, {"SLURM_PROCID", "0"}, {"SLURM_NTASKS_PER_NODE", "32"}};
    CHECK(chosen(script, 64, 64) == 0);
}

TEST_CASE("a number of threads that the machine has no cores for is named") {
    for (const char* value : {"0", "-2", "many", "2.5", "5", "1000000000", "1e9", "2 3"}) {
        const std::string message =
            refusal<ErrorHere>([&] { chosen({{"KIM_MODEL_NUM_THREADS", value}}, 4, 4); });
        CHECK_CONTAINS(message, std::string("KIM_MODEL_NUM_THREADS is '") + value + "'");
        CHECK_CONTAINS(message, " 1 to 4");
    }
}

TEST_CASE("an empty number of threads counts as none") {
    for (const char* value : {"", " "}) {
        CAPTURE(value);
        CHECK(chosen(joined(open_mpi, {{"KIM_MODEL_NUM_THREADS", value}}), 16, 16) == 4);
        CHECK(chosen(joined(open_mpi, {{"OMP_NUM_THREADS", value}}), 16, 16) == 4);
    }
}

TEST_CASE("spaces around a number of threads do not matter") {
    CHECK(chosen({{"KIM_MODEL_NUM_THREADS", " 3 "}}, 16, 16) == 3);
}

TEST_CASE("a number of threads is the user's where the environment has one") {
    const auto by_user = [](const Variables& variables) {
        const Environment environment = made_of(variables);
        return choose_threads(environment, find_launcher(environment), {16, 16, 16}).by_user;
    };
    CHECK_FALSE(by_user({}));
    CHECK_FALSE(by_user(open_mpi));
    CHECK(by_user({{"KIM_MODEL_NUM_THREADS", "5"}}));
    CHECK(by_user({{"OMP_NUM_THREADS", "3"}}));
}

TEST_CASE("a launcher describes the rank on the node and among all") {
    const auto launcher = find_launcher(made_of({{"OMPI_COMM_WORLD_RANK", "13"},
                                                 {"OMPI_COMM_WORLD_LOCAL_RANK", "5"},
                                                 {"OMPI_COMM_WORLD_LOCAL_SIZE", "8"},
                                                 {"OMPI_COMM_WORLD_SIZE", "16"}}));
    REQUIRE(launcher);
    CHECK(launcher->name == "Open MPI");
    CHECK(launcher->rank == 13);
    CHECK(launcher->local_rank == 5);
    CHECK(launcher->local_size == 8);
    CHECK(launcher->size == 16);
}

TEST_CASE("a launcher with invalid variables is ignored") {
    for (const char* value : {"", "none", "-1", "99999999999999999999"}) {
        CAPTURE(value);
        CHECK_FALSE(find_launcher(
            made_of({{"OMPI_COMM_WORLD_LOCAL_RANK", value}, {"OMPI_COMM_WORLD_LOCAL_SIZE", "4"}})));
        CHECK_FALSE(find_launcher(
            made_of({{"OMPI_COMM_WORLD_LOCAL_RANK", "0"}, {"OMPI_COMM_WORLD_LOCAL_SIZE", value}})));
    }
    CHECK_FALSE(find_launcher(
        made_of({{"OMPI_COMM_WORLD_LOCAL_RANK", "0"}, {"OMPI_COMM_WORLD_LOCAL_SIZE", "0"}})));
    CHECK_FALSE(find_launcher(made_of({{"FLUX_TASK_RANK", "5"},
                                       {"FLUX_TASK_LOCAL_ID", "1"},
                                       {"FLUX_JOB_SIZE", "8"},
                                       {"FLUX_JOB_NNODES", "0"}})));
}
