#pragma once

#include <filesystem>
#include <memory>

#include "runtime/compiled/package.hpp"

namespace torchml {

class CodeFile;

/// A compiled model's library in a folder, put there in such a way that the loader maps it once for
/// all models of this process that have the same code, byte for byte.
///
/// Once mapped, a library often stays until the process ends: what the GNU compiler calls a unique
/// symbol forbids the loader to unmap it, and so does a thread-local variable with a destructor,
/// while a thread lives that has used it. Without sharing, a simulator that makes a model again and
/// again would need more memory each time. The loader knows a library by its file, whatever the
/// name; so the first file is kept open, without a name, and the next ones are links to it.
class LibraryFile {
  public:
    /// Throws Error if the library cannot be written.
    LibraryFile(const EntryFile& library, const std::filesystem::path& folder);
    /// To be called after the loader has closed it.
    ~LibraryFile();
    LibraryFile(const LibraryFile&) = delete;
    LibraryFile& operator=(const LibraryFile&) = delete;

  private:
    std::shared_ptr<const CodeFile> file_;
};

}  // namespace torchml
