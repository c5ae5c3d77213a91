#pragma once

#include <filesystem>
#include <memory>

#include "runtime/compiled/package.hpp"

namespace torchml {

class CodeFile;

/// A compiled model's library in a folder, stored so that the loader maps it once for all models of
/// this process whose code is the same, byte for byte.
///
/// Once mapped, a library often stays until the process ends: GNU unique symbols keep the loader
/// from unmapping it, and so does a thread-local variable with a destructor, as long as a thread
/// lives that has used it. Without sharing, a simulator that repeatedly makes a model would need
/// more memory each time. The loader identifies a library by its file, whatever the name; so the
/// first file stays open, without a name, and later ones are links to it.
class LibraryFile {
  public:
    /// Throws Error if the library cannot be written.
    LibraryFile(const EntryFile& library, const std::filesystem::path& folder);
    /// Destroy the object after the loader has closed the library.
    ~LibraryFile();
    LibraryFile(const LibraryFile&) = delete;
    LibraryFile& operator=(const LibraryFile&) = delete;

  private:
    std::shared_ptr<const CodeFile> file_;
};

}  // namespace torchml
