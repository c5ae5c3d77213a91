#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace torchml::kim {

/// A portable model's files, kept so that they can be written again later.
///
/// KIM unpacks them into a temporary folder and removes it as soon as the model is created. A file
/// that is held open keeps its contents without a name. That costs one file descriptor per file,
/// but no copy of possibly many megabytes on every rank, for a routine that is hardly ever called.
class ModelFiles {
  public:
    ModelFiles() = default;
    explicit ModelFiles(const std::vector<std::filesystem::path>& files);
    ~ModelFiles();
    ModelFiles(ModelFiles&& other) noexcept;
    ModelFiles& operator=(ModelFiles&& other) noexcept;

    /// Their names, without folders, in KIM's order.
    std::vector<std::string> names() const;

    /// Writes the files into an existing folder, and this cutoff (Å) into the parameter file
    /// (*.param), unless it has it already. Throws Error naming the file that could not be kept or
    /// written.
    void write(const std::filesystem::path& folder, double cutoff) const;

  private:
    struct File {
        std::string name;
        int descriptor = -1;
        int error = 0;  // why there is no descriptor
    };

    static std::string contents(const File& file);

    std::vector<File> files_;
};

}  // namespace torchml::kim
