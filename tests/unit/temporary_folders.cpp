// The folder into which a compiled model is unpacked, and its removal.

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>

#include "runtime/compiled/package.hpp"
#include "support.hpp"

namespace {

namespace fs = std::filesystem;
using torchml::TemporaryFolder;

/// During its lifetime, an empty folder for temporary files, in which nothing may remain.
class Temporaries {
  public:
    Temporaries() {
        std::string name = fs::temp_directory_path() / "unit-tests-XXXXXX";
        REQUIRE(mkdtemp(name.data()) != nullptr);
        path_ = name;
        const char* named = std::getenv("TMPDIR");
        if (named != nullptr) before_ = named;
        setenv("TMPDIR", name.c_str(), 1);
    }
    ~Temporaries() {
        before_.empty() ? unsetenv("TMPDIR") : setenv("TMPDIR", before_.c_str(), 1);
        fs::remove_all(path_);
    }
    Temporaries(const Temporaries&) = delete;
    Temporaries& operator=(const Temporaries&) = delete;

    bool empty() const { return fs::is_empty(path_); }

  private:
    fs::path path_;
    std::string before_;
};

/// Runs `action` in a forked process; returns whether the process succeeded.
bool in_child(const std::function<void()>& action) {
    std::fflush(nullptr);  // otherwise both processes would write the buffers
    const pid_t child = fork();
    if (child == 0) {
        action();
        _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

std::unique_ptr<TemporaryFolder> folder_with_code() {
    auto folder = std::make_unique<TemporaryFolder>();
    std::ofstream(folder->path() / "model.so") << "code";
    return folder;
}

std::string code_in(const TemporaryFolder& folder) {
    std::ifstream stream(folder.path() / "model.so");
    return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

}  // namespace

TEST_CASE("a temporary folder is removed with the model") {
    const Temporaries temporaries;
    auto folder = folder_with_code();
    const fs::path path = folder->path();
    CHECK(fs::exists(path));
    folder.reset();
    CHECK_FALSE(fs::exists(path));
    CHECK(temporaries.empty());
}

TEST_CASE("a temporary folder is removed when the process that keeps the model ends") {
    const Temporaries temporaries;
    CHECK(in_child([] {
        folder_with_code().release();  // like a program that never destroys its models
        std::exit(0);
    }));
    CHECK(temporaries.empty());
}

TEST_CASE("a forked process leaves a temporary folder to the one that made it") {
    const Temporaries temporaries;
    auto folder = folder_with_code();
    CHECK(in_child([&] { folder.reset(); }));
    CHECK(code_in(*folder) == "code");
    CHECK(in_child([] { std::exit(0); }));
    CHECK(code_in(*folder) == "code");
    CHECK(in_child([] { const TemporaryFolder own; }));
    CHECK(code_in(*folder) == "code");
    folder.reset();
    CHECK(temporaries.empty());
}

TEST_CASE("the message about a temporary folder that cannot be created says what to set") {
    const Temporaries temporaries;
    const std::string before = std::getenv("TMPDIR");
    setenv("TMPDIR", (before + "/missing").c_str(), 1);
    const std::string message =
        torchml::tests::refusal<torchml::ErrorHere>([] { const TemporaryFolder folder; });
    setenv("TMPDIR", before.c_str(), 1);
    CHECK_CONTAINS(message, before + "/missing");
    CHECK_CONTAINS(message, "Set TMPDIR");
}
