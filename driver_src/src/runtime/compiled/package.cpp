#include "runtime/compiled/package.hpp"

#include <caffe2/serialize/inline_container.h>
#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <tuple>
#include <utility>

#include "base/error.hpp"
#include "base/text_stream.hpp"
#include "runtime/file_kind.hpp"
#include "runtime/messages.hpp"

namespace torchml {

namespace {

namespace fs = std::filesystem;
using caffe2::serialize::PyTorchStreamReader;

const std::string description_record = "extra/torchml.txt";
const char* const compile_again = "Compile the model with `torchml-install model compile`.";

std::uint32_t crc32(const unsigned char* data, std::size_t size) {
    static const auto table = [] {
        std::array<std::uint32_t, 256> made{};
        for (std::uint32_t k = 0; k < 256; ++k) {
            made[k] = k;
            for (int bit = 0; bit < 8; ++bit) {
                made[k] = (made[k] & 1) != 0 ? 0xedb88320u ^ (made[k] >> 1) : made[k] >> 1;
            }
        }
        return made;
    }();
    std::uint32_t crc = 0xffffffffu;
    for (std::size_t k = 0; k < size; ++k) crc = table[(crc ^ data[k]) & 0xff] ^ (crc >> 8);
    return ~crc;
}

at::ScalarType scalar_type(const std::string& name, const std::string& file) {
    const auto found = scalar_type_called(name);
    if (!found) {
        fail("package ", file, " has an argument of the unknown type '", name, "'. ",
             compile_again);
    }
    return *found;
}

/// Reads a whole number without a sign, whatever the locale. Throws Error if the word is not one.
template <class Value>
Value number(const std::string& word, const std::string& line, const std::string& file,
             int base = 10) {
    Value value{};
    const char* end = word.data() + word.size();
    const auto [rest, problem] = std::from_chars(word.data(), end, value, base);
    if (problem != std::errc() || rest != end || word[0] == '-') {
        fail("package ", file, " has an invalid line in its description: '", line, "'. ",
             compile_again);
    }
    return value;
}

/// Throws Error unless the description as a whole makes sense.
void require_sense(const PackageDescription& description, const std::string& file) {
    const char* whole =
        description.returns_forces ? "energies_and_forces" : "energies_and_gradient";
    if (description.arguments.empty() || !description.has(whole) ||
        (!description.returns_forces && description.gradient.empty())) {
        fail("package ", file, " does not describe what its model takes and returns. ",
             compile_again);
    }
    // Plans read the indices of rows, and add rows up, in the host's memory.
    if (!description.steps.empty() && description.device != "cpu") {
        fail("package ", file, " is for the device ", description.device,
             ", but has steps, which run on the CPU only. ", compile_again);
    }
}

std::unique_ptr<PyTorchStreamReader> open(const fs::path& file) {
    try {
        return std::make_unique<PyTorchStreamReader>(file.string());
    } catch (const std::exception& problem) {
        const std::string newer = newer_format(problem.what());
        if (!newer.empty()) fail<ErrorHere>("model file ", file.filename().string(), " ", newer);
        const std::string kind = foreign_file(file);
        if (!kind.empty()) fail("model file ", file.filename().string(), " ", kind);
        std::string reason = essence(problem);
        reason.erase(std::min(reason.find(". "), reason.size()));
        fail("model file ", file.filename().string(),
             " is not an AOTInductor package, or is damaged (", reason,
             "). Write it with `torchml-install model compile`, and copy the whole file.");
    }
}

/// Removes a folder of files. Not with remove_all(), which ends the process if memory runs out.
void remove_quietly(const std::string& path) {
    if (DIR* folder = opendir(path.c_str())) {
        while (const dirent* entry = readdir(folder)) unlinkat(dirfd(folder), entry->d_name, 0);
        closedir(folder);
    }
    rmdir(path.c_str());
}

/// The temporary folders of this process, and of the processes that it was forked from.
class LivingFolders {
  public:
    void add(const std::string& folder, pid_t owner) {
        const std::lock_guard<std::mutex> lock(mutex_);
        owners_[folder] = owner;
    }

    void remove(const std::string& folder) {
        const std::lock_guard<std::mutex> lock(mutex_);
        owners_.erase(folder);
    }

    /// Removes the folders that models still have when the process ends.
    void remove_own() {
        const std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
        if (!lock) return;  // held for ever by a thread that the fork left behind
        for (const auto& [folder, owner] : owners_) {
            if (owner == getpid()) remove_quietly(folder);
        }
    }

  private:
    std::mutex mutex_;
    std::map<std::string, pid_t> owners_;
};

LivingFolders& living_folders() {
    static LivingFolders* const only = [] {
        auto* made = new LivingFolders;  // never destroyed: models may outlive static objects
        std::atexit([] { living_folders().remove_own(); });
        return made;
    }();
    return *only;
}

}  // namespace

std::optional<at::ScalarType> scalar_type_called(const std::string& name) {
    static const std::map<std::string, at::ScalarType> known = {
        {"float64", at::kDouble},    {"float32", at::kFloat}, {"float16", at::kHalf},
        {"bfloat16", at::kBFloat16}, {"int64", at::kLong},    {"int32", at::kInt}};
    const auto found = known.find(name);
    if (found == known.end()) return std::nullopt;
    return found->second;
}

bool PackageDescription::has(const std::string& entry) const {
    return std::find(entries.begin(), entries.end(), entry) != entries.end();
}

PackageDescription parse_description(const std::string& text, const std::string& file) {
    PackageDescription description;
    TextStream lines(text);
    std::string line;
    std::getline(lines, line);
    if (line != "torchml-package 1" && line != "torchml-package 3") {
        fail("package ", file, " was written for another version of this driver (it begins with '",
             line.substr(0, 40), "'; expected 'torchml-package 1' or 'torchml-package 3'). ",
             compile_again);
    }
    while (std::getline(lines, line)) {
        TextStream words(line);
        std::string key, word;
        words >> key;
        if (key == "torch") {
            words >> description.torch;
        } else if (key == "device") {
            words >> description.device;
        } else if (key == "machine") {
            words >> description.machine;
        } else if (key == "capability") {
            words >> description.capability;
        } else if (key == "instructions") {
            while (words >> word) description.instructions.push_back(word);
        } else if (key == "argument") {
            PackageArgument argument;
            words >> argument.name >> word;
            argument.type = scalar_type(word, file);
            while (words >> word) {
                argument.sizes.push_back(word == "*" ? -1 : number<std::int64_t>(word, line, file));
            }
            description.arguments.push_back(argument);
        } else if (key == "gradient") {
            words >> description.gradient;
        } else if (key == "forces") {
            description.returns_forces = true;
        } else if (key == "entry") {
            words >> word;
            description.entries.push_back(word);
        } else if (key == "step") {
            words >> word;
            std::string rest;
            std::getline(words >> std::ws, rest);
            description.steps[word].push_back(rest);
        } else if (key == "file") {
            PackageFile one;
            std::string size, crc;
            words >> one.record >> size >> crc;
            one.size = number<std::uint64_t>(size, line, file);
            one.crc = number<std::uint32_t>(crc, line, file, 16);
            description.files.push_back(one);
        }
    }
    require_sense(description, file);
    return description;
}

PackageDescription read_description(const fs::path& file) {
    const std::string name = file.filename().string();
    const auto reader = open(file);
    std::string text;
    try {
        const auto records = reader->getAllRecords();
        if (std::find(records.begin(), records.end(), description_record) == records.end()) {
            const std::string kind = foreign_archive(*reader);
            if (!kind.empty()) fail("model file ", name, " ", kind);
            fail("model file ", name, " is not an AOTInductor package. ", compile_again);
        }
        const auto [data, size] = reader->getRecord(description_record);
        text.assign(static_cast<const char*>(data.get()), size);
    } catch (const Error&) {
        throw;
    } catch (const std::exception& problem) {
        fail("model file ", name,
             " is damaged, or was changed after torch wrote it: ", sentence(essence(problem)), " ",
             compile_again);
    }
    return parse_description(text, name);
}

TemporaryFolder::TemporaryFolder() : owner_(getpid()) {
    const char* named = std::getenv("TMPDIR");
    const std::string parent = named != nullptr && *named != '\0' ? named : "/tmp";
    path_ = parent + "/torchml-XXXXXX";
    if (mkdtemp(path_.data()) == nullptr) {
        fail<ErrorHere>("a compiled model cannot be unpacked, since no folder could be created in ",
                        parent, " (", std::strerror(errno),
                        "). Set TMPDIR to a folder that you can write to.");
    }
    try {
        living_folders().add(path_, owner_);
    } catch (...) {
        remove_quietly(path_);
        throw;
    }
}

TemporaryFolder::~TemporaryFolder() {
    if (owner_ != getpid()) return;
    living_folders().remove(path_);
    remove_quietly(path_);
}

void EntryFile::write(const fs::path& folder) const {
    const fs::path path = folder / name;
    errno = 0;
    std::ofstream stream(path, std::ios::binary);
    stream.write(static_cast<const char*>(data.get()), static_cast<std::streamsize>(size));
    stream.close();
    if (!stream) {
        const int code = errno;
        fail<ErrorHere>("a compiled model cannot be unpacked: ", path.string(),
                        " could not be written (",
                        code != 0 ? std::strerror(code) : "no reason given", "; ", size,
                        " bytes). Free some space there, or set TMPDIR to another folder.");
    }
}

std::vector<EntryFile> read_entry(const fs::path& file, const PackageDescription& description,
                                  const std::string& entry) {
    const std::string name = file.filename().string();
    const auto reader = open(file);
    const std::string prefix = "data/aotinductor/" + entry + "/";
    std::vector<EntryFile> files;
    for (const PackageFile& wanted : description.files) {
        if (wanted.record.rfind(prefix, 0) != 0) continue;
        EntryFile one;
        one.name = wanted.record.substr(prefix.size());
        if (one.name.empty() || one.name.find('/') != std::string::npos) {
            fail("package ", name, " has a file with the invalid name ", wanted.record, ". ",
                 compile_again);
        }
        try {
            std::tie(one.data, one.size) = reader->getRecord(wanted.record);
        } catch (const std::exception& problem) {
            fail("model file ", name, " is damaged: ", wanted.record, " cannot be read (",
                 essence(problem), "). Copy the file again.");
        }
        // Torch's reader does not look at checksums, and damaged code would run.
        if (one.size != wanted.size ||
            crc32(static_cast<const unsigned char*>(one.data.get()), one.size) != wanted.crc) {
            fail("model file ", name, " is damaged: ", wanted.record,
                 " has changed since it was written. Copy the file again.");
        }
        files.push_back(std::move(one));
    }
    if (std::none_of(files.begin(), files.end(),
                     [](const EntryFile& one) { return one.is_library(); })) {
        fail("package ", name, " has no library for '", entry, "'. ", compile_again);
    }
    return files;
}

}  // namespace torchml
