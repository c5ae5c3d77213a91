#pragma once

#include <c10/core/Allocator.h>
#include <c10/core/ScalarType.h>
#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace torchml {

/// One argument of a compiled model.
struct PackageArgument {
    std::string name;
    at::ScalarType type = at::kDouble;
    std::vector<std::int64_t> sizes;  ///< -1: any size; others are compiled in
};

/// One file of a package, as the package was written.
struct PackageFile {
    std::string record;  ///< its name in the archive
    std::uint64_t size = 0;
    std::uint32_t crc = 0;  ///< CRC-32, ISO 3309, as in zip archives
};

/// The description in an AOTInductor package.
///
/// Compiled code does not tell which inputs it expects, and hardly checks those that it gets:
/// memory of the wrong shape, or instructions that the CPU lacks, crash the process.
/// `torchml-install model compile` therefore adds a text to the archive, the record
/// extra/torchml.txt: a line `torchml-package 1` (3 if there are steps), then one line per fact, a
/// key and its values separated by spaces:
///
///     torch 2.13.0                    the version of torch that compiled it
///     device cpu                      or cuda
///     machine x86_64                  as uname -m prints it
///     instructions avx2 fma           flags of /proc/cpuinfo that the code needs
///     capability 9.0                  of the GPU, on cuda
///     argument coords float64 * 3     in order: name, type, sizes, * for any
///     gradient coords                 the argument that the gradient is with respect to; or
///     forces                          the model returns forces
///     species atomic_numbers          species codes are atomic numbers (for `model pack`, which
///                                     records it; the driver ignores this)
///     entry energies                  runs without gradient; may be missing
///     entry energies_and_gradient     or energies_and_forces
///     entry ENTRY.one_thread          the same as ENTRY, for one thread; may be missing
///     step ENTRY JSON                 the entry is not a model itself, but runs several, on the
///                                     CPU: see plan.hpp
///     file RECORD SIZE CRC            of every file of the entries; SIZE in bytes, CRC in hex
///
/// An entry is a model of the archive (data/aotinductor/ENTRY/) and returns what its name says. The
/// driver ignores unknown keys.
struct PackageDescription {
    std::string torch, device, machine, capability;
    std::vector<std::string> instructions;
    std::vector<PackageArgument> arguments;
    std::string gradient;
    bool returns_forces = false;
    std::vector<std::string> entries;
    std::map<std::string, std::vector<std::string>> steps;  ///< of entries: the JSON of each
    std::vector<PackageFile> files;

    bool has(const std::string& entry) const;
};

/// The type with a name in descriptions; empty if models take no such type.
std::optional<at::ScalarType> scalar_type_called(const std::string& name);

/// Parses the text of a package's description. `file`: the package's name, for messages. Throws
/// Error if the text is invalid.
PackageDescription parse_description(const std::string& text, const std::string& file);

/// Reads a package's description. Throws Error if the file is not a package, is damaged, or has no
/// valid description.
PackageDescription read_description(const std::filesystem::path& file);

/// A new folder in the temporary folder (TMPDIR, or /tmp), removed with all its files when the
/// object is destroyed or the process ends. It belongs to the process that made it: forked
/// processes leave it alone.
class TemporaryFolder {
  public:
    /// Throws ErrorHere if the folder cannot be created.
    TemporaryFolder();
    ~TemporaryFolder();
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;

    std::filesystem::path path() const { return path_; }

  private:
    std::string path_;
    pid_t owner_;
};

/// A file of an entry, in memory.
struct EntryFile {
    std::string name;  ///< without a folder
    at::DataPtr data;
    std::size_t size = 0;

    bool is_library() const { return std::filesystem::path(name).extension() == ".so"; }

    /// Throws Error if the disk is full, or the folder cannot be written.
    void write(const std::filesystem::path& folder) const;
};

/// Reads an entry's files; one of them is its shared library. Throws Error if a file is missing or
/// has changed since it was written.
std::vector<EntryFile> read_entry(const std::filesystem::path& file,
                                  const PackageDescription& description, const std::string& entry);

}  // namespace torchml
