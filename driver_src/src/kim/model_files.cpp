#include "kim/model_files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>

#include "base/error.hpp"
#include "base/parameters.hpp"

namespace torchml::kim {

ModelFiles::ModelFiles(const std::vector<std::filesystem::path>& files) {
    for (const auto& path : files) {
        File file{path.filename().string(), open(path.c_str(), O_RDONLY | O_CLOEXEC), 0};
        if (file.descriptor < 0) file.error = errno;  // reported if the file is ever needed
        files_.push_back(std::move(file));
    }
}

ModelFiles::~ModelFiles() {
    for (const File& file : files_) {
        if (file.descriptor >= 0) close(file.descriptor);
    }
}

ModelFiles::ModelFiles(ModelFiles&& other) noexcept { files_.swap(other.files_); }

ModelFiles& ModelFiles::operator=(ModelFiles&& other) noexcept {
    files_.swap(other.files_);
    return *this;
}

std::vector<std::string> ModelFiles::names() const {
    std::vector<std::string> names;
    for (const File& file : files_) names.push_back(file.name);
    return names;
}

void ModelFiles::write(const std::filesystem::path& folder, double cutoff) const {
    for (const File& file : files_) {
        std::string text = contents(file);
        const bool has_cutoff = std::filesystem::path(file.name).extension() == ".param";
        if (has_cutoff && parse_parameters(text, file.name).cutoff != cutoff) {
            text = with_cutoff(text, file.name, cutoff);
        }
        const auto path = folder / file.name;
        std::ofstream stream(path, std::ios::binary | std::ios::trunc);
        stream.write(text.data(), static_cast<std::streamsize>(text.size()));
        stream.close();
        if (!stream) {
            fail("the model's file ", path.string(),
                 " cannot be written. Check that the folder exists and is writable, and that the "
                 "disk is not full.");
        }
    }
}

std::string ModelFiles::contents(const File& file) {
    if (file.descriptor < 0) {
        fail("the model's file ", file.name, " could not be kept when the model was loaded (",
             std::strerror(file.error), "), so it cannot be written now. Load the model again.");
    }
    struct stat status = {};
    if (fstat(file.descriptor, &status) != 0) {
        fail("the model's file ", file.name, " cannot be read again (", std::strerror(errno),
             "). Load the model again.");
    }
    std::string text(static_cast<std::size_t>(status.st_size), '\0');
    std::size_t done = 0;
    while (done < text.size()) {
        // Not read(): a forked process would share the position in the file.
        const auto count =
            pread(file.descriptor, &text[done], text.size() - done, static_cast<off_t>(done));
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) {
            fail("the model's file ", file.name, " cannot be read again (",
                 count < 0 ? std::strerror(errno) : "it is shorter than before",
                 "). Load the model again.");
        }
        done += static_cast<std::size_t>(count);
    }
    return text;
}

}  // namespace torchml::kim
