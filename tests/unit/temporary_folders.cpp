// What becomes of the folder that a compiled model is unpacked into.

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

/// The folder of temporary files while it lives: an empty one, in which nothing may be left.
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

/// Runs `action` in a forked process; whether that one ended well.
bool in_child(const std::function<void()>& action) {
    std::fflush(nullptr);  // what waits there would be written by both
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

TEST_CASE("a temporary folder goes with the model") {
    const Temporaries temporaries;
    auto folder = folder_with_code();
    const fs::path path = folder->path();
    CHECK(fs::exists(path));
    folder.reset();
    CHECK_FALSE(fs::exists(path));
    CHECK(temporaries.empty());
}

TEST_CASE("a temporary folder goes with the process that keeps the model") {
    const Temporaries temporaries;
    CHECK(in_child([] {
        folder_with_code().release();  // as a program does that never destroys its models
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

TEST_CASE("a temporary folder that cannot be made says what to set") {
    const Temporaries temporaries;
    const std::string before = std::getenv("TMPDIR");
    setenv("TMPDIR", (before + "/missing").c_str(), 1);
    const std::string message =
        torchml::tests::refusal<torchml::ErrorHere>([] { const TemporaryFolder folder; });
    setenv("TMPDIR", before.c_str(), 1);
    CHECK_CONTAINS(message, before + "/missing");
    CHECK_CONTAINS(message, "Set TMPDIR");
}
