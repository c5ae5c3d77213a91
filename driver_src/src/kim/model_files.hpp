#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace torchml::kim {

/// The files that a portable model was made of, to be written out again later.
///
/// KIM unpacks them into a temporary folder and removes it as soon as the model is created. Held
/// open, a file keeps its contents without its name: that costs a descriptor each, and no copy of
/// what can be many megabytes on every rank for a routine that is hardly ever called.
class ModelFiles {
  public:
    ModelFiles() = default;
    explicit ModelFiles(const std::vector<std::filesystem::path>& files);
    ~ModelFiles();
    ModelFiles(ModelFiles&& other) noexcept;
    ModelFiles& operator=(ModelFiles&& other) noexcept;

    /// Their names, without folders, in KIM's order.
    std::vector<std::string> names() const;

    /// Writes them into a folder that exists, the parameter file (*.param) with another cutoff (Å)
    /// unless it has this one already. Throws Error naming the file that could not be kept or
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
