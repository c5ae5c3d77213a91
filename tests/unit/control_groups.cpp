// The number of cores that a container or a batch system allows a node's processes.

#include <vector>

#include "process/cores.hpp"
#include "support.hpp"

namespace {

using namespace torchml;
using namespace torchml::tests;

const std::string v2 =
    "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
const std::string v1 =
    "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "34 31 0:31 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n";
const std::string slurm = "/sys/fs/cgroup/system.slice/slurmstepd.scope/job_7";

int cores(const std::string& mounts, const std::string& groups, const Variables& files,
          int online = 64) {
    return available_cores(
        online,
        made_of(joined(files, {{"/proc/self/mountinfo", mounts}, {"/proc/self/cgroup", groups}})));
}

}  // namespace

TEST_CASE("a cpuset allows the cores that it lists") {
    const std::vector<std::pair<const char*, int>> cases = {
        {"0-7\n", 8}, {"0-3,32-35\n", 8}, {"5\n", 1}, {"0,2,4-5\n", 4}};
    for (const auto& [cpus, count] : cases) {
        CAPTURE(cpus);
        CHECK(cores(v2, "0::/system.slice/slurmstepd.scope/job_7\n",
                    {{slurm + "/cpuset.cpus.effective", cpus}}) == count);
    }
}

TEST_CASE("a group that has no list is limited by those around it") {
    const std::string group = "0::/system.slice/slurmstepd.scope/job_7/step_0/user/task_3\n";
    CHECK(cores(v2, group, {{slurm + "/cpuset.cpus.effective", "0-7\n"}}) == 8);
}

TEST_CASE("a quota of time is rounded up to cores") {
    const std::vector<std::pair<const char*, int>> cases = {
        {"max 100000\n", 64}, {"800000 100000\n", 8}, {"150000 100000\n", 2}, {"5000 10000\n", 1}};
    for (const auto& [quota, count] : cases) {
        CAPTURE(quota);
        CHECK(cores(v2, "0::/\n", {{"/sys/fs/cgroup/cpu.max", quota}}) == count);
    }
}

TEST_CASE("the smallest limit counts") {
    const Variables files = {{"/sys/fs/cgroup/a/b/cpuset.cpus.effective", "0-15\n"},
                             {"/sys/fs/cgroup/a/b/cpu.max", "max 100000\n"},
                             {"/sys/fs/cgroup/a/cpu.max", "600000 100000\n"}};
    CHECK(cores(v2, "0::/a/b\n", files) == 6);
    CHECK(cores(v2, "0::/a/b\n", files, 4) == 4);
}

TEST_CASE("version 1 of control groups has a folder for each controller") {
    const std::string groups = "4:memory:/m\n3:cpuset:/docker/c\n2:cpu,cpuacct:/docker/c\n0::/\n";
    const Variables cpuset = {{"/sys/fs/cgroup/cpuset/docker/c/cpuset.cpus", "0-7\n"}};
    CHECK(cores(v1, groups, cpuset) == 8);
    const std::string folder = "/sys/fs/cgroup/cpu,cpuacct/docker/c";
    const Variables quota = {{folder + "/cpu.cfs_quota_us", "250000\n"},
                             {folder + "/cpu.cfs_period_us", "100000\n"}};
    CHECK(cores(v1, groups, joined(cpuset, quota)) == 3);
    const Variables unlimited = joined(quota, {{folder + "/cpu.cfs_quota_us", "-1\n"}});
    CHECK(cores(v1, groups, joined(cpuset, unlimited)) == 8);
}

TEST_CASE("a container that sees the host's names finds its own folder") {
    const std::string mounts =
        "34 31 0:31 /docker/c /sys/fs/cgroup/cpuset ro - cgroup cgroup rw,cpuset\n";
    CHECK(cores(mounts, "3:cpuset:/docker/c\n", {{"/sys/fs/cgroup/cpuset/cpuset.cpus", "0-7\n"}}) ==
          8);
}

TEST_CASE("unreadable files of control groups limit nothing") {
    for (const char* text : {"", "\n", "none", "-1 100000", "max", "1e400 0"}) {
        CAPTURE(text);
        const Variables files = {{"/sys/fs/cgroup/x/cpuset.cpus.effective", text},
                                 {"/sys/fs/cgroup/x/cpu.max", text}};
        CHECK(cores(v2, "0::/x\n", files) == 64);
        CHECK(cores(text, text, files) == 64);
    }
}

TEST_CASE("a node without control groups has all cores") {
    CHECK(available_cores(16, made_of({})) == 16);
}

TEST_CASE("this machine's files leave at least one core") {
    const int count = available_cores(16, machine_files());
    CHECK(count >= 1);
    CHECK(count <= 16);
}
