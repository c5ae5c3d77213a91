// The device of a model: the users' choice, the GPU of each of a node's ranks, and the messages if
// there is none.

#include <vector>

#include "process/device_choice.hpp"
#include "support.hpp"

namespace {

using namespace torchml;
using namespace torchml::tests;

const Variables open_mpi = {{"OMPI_COMM_WORLD_LOCAL_RANK", "5"},
                            {"OMPI_COMM_WORLD_LOCAL_SIZE", "8"}};

std::string chosen(const std::string& wanted, int count, const Variables& variables = {},
                   const std::string& why = "none") {
    const Environment environment = made_of(variables);
    return choose_device(wanted, "the device", find_launcher(environment), environment,
                         [&](const std::string&) { return DeviceCount{count, why}; })
        .name();
}

std::string refused(const std::string& wanted, int count, const Variables& variables = {},
                    const std::string& why = "none") {
    return refusal<ErrorHere>([&] { chosen(wanted, count, variables, why); });
}

}  // namespace

TEST_CASE("the CPU is the default") {
    for (const char* wanted : {"", "cpu", "CPU"}) {
        CAPTURE(wanted);
        CHECK(chosen(wanted, 4, open_mpi) == "cpu");
    }
}

TEST_CASE("a node's ranks take its GPUs in turn") {
    const std::vector<std::pair<Variables, int>> ranks = {
        {{}, 0},
        {open_mpi, 5},
        {{{"MPI_LOCALRANKID", "5"}, {"MPI_LOCALNRANKS", "8"}}, 5},
        {{{"MV2_COMM_WORLD_LOCAL_RANK", "5"}, {"MV2_COMM_WORLD_LOCAL_SIZE", "8"}}, 5},
        {{{"PALS_LOCAL_RANKID", "5"}, {"PALS_LOCAL_SIZE", "8"}}, 5},
        {{{"SLURM_PROCID", "13"}, {"SLURM_LOCALID", "5"}, {"SLURM_STEP_TASKS_PER_NODE", "8(x2)"}},
         5},
        {{{"FLUX_TASK_RANK", "13"},
          {"FLUX_TASK_LOCAL_ID", "5"},
          {"FLUX_JOB_SIZE", "16"},
          {"FLUX_JOB_NNODES", "2"}},
         5},
    };
    for (const auto& [variables, local_rank] : ranks) {
        for (const int count : {1, 2, 4, 8}) {
            const std::string launcher = variables.empty() ? "" : variables.begin()->first;
            CAPTURE(launcher);
            CAPTURE(count);
            CHECK(chosen("cuda", count, variables) == "cuda:" + std::to_string(local_rank % count));
        }
    }
}

TEST_CASE("a numbered GPU is taken by every rank") {
    CHECK(chosen("cuda:1", 4, open_mpi) == "cuda:1");
}

TEST_CASE("a rank that sees one GPU takes it") {
    // Launchers assign each rank its own GPU in this way; it then has the number 0.
    CHECK(chosen("cuda", 1, joined(open_mpi, {{"CUDA_VISIBLE_DEVICES", "3"}})) == "cuda:0");
}

TEST_CASE("other accelerators can be named") {
    for (const std::string wanted : {"mps", "xpu", "xpu:1"}) {
        CAPTURE(wanted);
        CHECK(chosen(wanted, 2).rfind(wanted, 0) == 0);
    }
}

TEST_CASE("the message about a GPU number that is too high says how many there are") {
    const std::string message = refused("cuda:2", 2);
    CHECK_CONTAINS(message, "'cuda:2'");
    CHECK_CONTAINS(message, "sees 2 devices");
    CHECK_CONTAINS(message, "numbered from 0");
}

TEST_CASE("messages mention a narrowed view of the GPUs") {
    CHECK_CONTAINS(refused("cuda:3", 2, {{"CUDA_VISIBLE_DEVICES", "2,3"}}),
                   "CUDA_VISIBLE_DEVICES is '2,3'");
    CHECK_CONTAINS(refused("cuda", 0, {{"CUDA_VISIBLE_DEVICES", ""}}),
                   "CUDA_VISIBLE_DEVICES is ''");
}

TEST_CASE("the message about a missing device says why and what to do") {
    const std::string message = refused("cuda", 0, {}, "found no NVIDIA driver");
    CHECK_CONTAINS(message, "found no NVIDIA driver");
    CHECK_CONTAINS(message, "'cpu'");
}

TEST_CASE("the message about an unknown device lists the valid ones") {
    for (const std::string wanted : {"gpu", "cuda:", "cuda:one", "cuda:-1", "cuda:1:2", "tpu"}) {
        const std::string message = refused(wanted, 2);
        CHECK_CONTAINS(message, "'" + wanted + "'");
        CHECK_CONTAINS(message, "cuda:N");
    }
}
