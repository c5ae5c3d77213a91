#include "runtime/torchscript/carried_libraries.hpp"

#include <dlfcn.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/text_stream.hpp"
#include "process/shared_libraries.hpp"
#include "runtime/libtorch.hpp"

namespace torchml {

namespace {

using caffe2::serialize::PyTorchStreamReader;

const char* const list = "extra/torchml/libraries.txt";
const char* const pack_again =
    " Pack the model again there with `torchml-install model pack --from`.";

struct Carried {
    std::string torch, machine;
    std::vector<std::string> libraries;
};

std::string record(PyTorchStreamReader& reader, const std::string& called) {
    const auto [data, size] = reader.getRecord(called);
    return {static_cast<const char*>(data.get()), size};
}

Carried parsed(const std::string& text) {
    Carried carried;
    TextStream lines(text);
    std::string line;
    while (std::getline(lines, line)) {
        const auto blank = line.find(' ');
        if (blank == std::string::npos) continue;
        const std::string word = line.substr(0, blank), value = line.substr(blank + 1);
        if (word == "torch") carried.torch = value;
        if (word == "machine") carried.machine = value;
        if (word == "library") carried.libraries.push_back(value);
    }
    return carried;
}

void require_fitting(const Carried& carried, const std::string& name) {
    if (series(carried.torch) != series(torch_version())) {
        fail<ErrorHere>("the libraries in model file ", name, " are for torch ", carried.torch,
                        ", but this is torch ", torch_version(), ".", pack_again);
    }
    utsname machine{};
    if (uname(&machine) == 0 && carried.machine != machine.machine) {
        fail<ErrorHere>("the libraries in model file ", name, " are for ", carried.machine,
                        " CPUs, but this machine has ", machine.machine, ".", pack_again);
    }
}

/// Opens a library from memory, so that no file is left behind if the process is killed, and none
/// has to be executable.
void open(const std::string& library, const std::string& bytes, const std::string& name) {
    const auto failed = [&](const std::string& why) {
        fail<ErrorHere>("the library ", library, " in model file ", name, " cannot be opened (",
                        why, ").", pack_again);
    };
    const int file = memfd_create(library.c_str(), MFD_CLOEXEC);
    if (file < 0) failed(std::strerror(errno));
    std::size_t written = 0;
    while (written < bytes.size()) {
        const auto count = write(file, bytes.data() + written, bytes.size() - written);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) {
            const std::string why = std::strerror(errno);
            close(file);
            failed(why);
        }
        written += static_cast<std::size_t>(count);
    }
    // The file stays open: the loader takes two libraries of the same path for one, and a number
    // that is free again would be used again.
    std::string path = "/proc/self/fd/";
    path.append(std::to_string(file));
    if (dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL) == nullptr) {
        const char* message = dlerror();
        const std::string why = message != nullptr ? message : "no reason given";
        close(file);
        failed(why);
    }
}

}  // namespace

void open_carried_libraries(PyTorchStreamReader& reader, const std::string& name) {
    if (!reader.hasRecord(list)) return;
    static std::mutex mutex;
    static std::set<std::string> opened;
    const std::lock_guard<std::mutex> lock(mutex);
    std::set<std::string> present = opened;
    for (const auto& path : shared_libraries()) {
        present.insert(path.filename().string());
    }
    const Carried carried = parsed(record(reader, list));
    bool complete = true;
    for (const std::string& library : carried.libraries) {
        complete = complete && present.count(library) == 1;
    }
    if (complete) return;
    require_fitting(carried, name);
    open_libtorch();
    for (const std::string& library : carried.libraries) {
        if (present.count(library) == 1) continue;
        open(library, record(reader, "extra/torchml/" + library), name);
        opened.insert(library);
    }
}

}  // namespace torchml
