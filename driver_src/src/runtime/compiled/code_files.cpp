#include "runtime/compiled/code_files.hpp"

#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <new>
#include <string>
#include <vector>

namespace torchml {

/// The open file of a library.
class CodeFile {
  public:
    /// `path`: the first name under which the loader sees it.
    CodeFile(const std::filesystem::path& path, std::size_t size)
        : path_(path.string()),
          descriptor_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)),
          size_(size) {}
    ~CodeFile() {
        if (descriptor_ >= 0) close(descriptor_);
    }
    CodeFile(const CodeFile&) = delete;
    CodeFile& operator=(const CodeFile&) = delete;

    bool is_open() const { return descriptor_ >= 0; }

    bool holds(const EntryFile& library) const {
        if (library.size != size_ || size_ == 0) return false;
        void* contents = mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, descriptor_, 0);
        if (contents == MAP_FAILED) {
            // Without the comparison, the code would be mapped once more, and stay mapped.
            if (errno == ENOMEM) throw std::bad_alloc();
            return false;
        }
        const bool same = std::memcmp(contents, library.data.get(), size_) == 0;
        munmap(contents, size_);
        return same;
    }

    /// Gives the file another name. Returns false if that is not possible, as without /proc.
    bool link(const std::filesystem::path& name) const {
        const std::string opened = "/proc/self/fd/" + std::to_string(descriptor_);
        if (symlink(opened.c_str(), name.c_str()) != 0) return false;
        if (access(name.c_str(), R_OK) == 0) return true;
        unlink(name.c_str());
        return false;
    }

    bool is_mapped() const {
        const auto is_it = [](dl_phdr_info* library, std::size_t, void* file) {
            return static_cast<int>(static_cast<CodeFile*>(file)->path_ == library->dlpi_name);
        };
        return dl_iterate_phdr(is_it, const_cast<CodeFile*>(this)) != 0;
    }

  private:
    std::string path_;
    int descriptor_;
    std::size_t size_;
};

namespace {

class CodeFiles {
  public:
    const pid_t owner = getpid();

    std::shared_ptr<const CodeFile> place(const EntryFile& library,
                                          const std::filesystem::path& folder) {
        const std::lock_guard<std::mutex> lock(mutex_);
        const std::filesystem::path name = folder / library.name;
        for (const auto& file : files_) {
            if (file->holds(library) && file->link(name)) return file;
        }
        library.write(folder);
        const auto file = std::make_shared<const CodeFile>(name, library.size);
        if (file->is_open()) files_.push_back(file);  // otherwise the library works unshared
        return file;
    }

    /// Closes the files that nothing uses, the loader included.
    void close_unused() {
        const std::lock_guard<std::mutex> lock(mutex_);
        const auto unused = [](const auto& file) {
            return file.use_count() == 1 && !file->is_mapped();
        };
        files_.erase(std::remove_if(files_.begin(), files_.end(), unused), files_.end());
    }

  private:
    std::mutex mutex_;
    std::vector<std::shared_ptr<const CodeFile>> files_;
};

/// The files of this process. A forked process starts with none: a thread that it lacks may hold
/// the lock.
CodeFiles& code_files() {
    static std::atomic<CodeFiles*> current{nullptr};  // never destroyed: models may outlive it
    CodeFiles* known = current;
    if (known != nullptr && known->owner == getpid()) return *known;
    auto made = std::make_unique<CodeFiles>();
    if (current.compare_exchange_strong(known, made.get())) return *made.release();
    return *known;  // made by another thread meanwhile
}

}  // namespace

LibraryFile::LibraryFile(const EntryFile& library, const std::filesystem::path& folder)
    : file_(code_files().place(library, folder)) {}

LibraryFile::~LibraryFile() {
    file_.reset();
    try {
        code_files().close_unused();
    } catch (...) {  // out of memory in a forked process: what it inherited stays open
    }
}

}  // namespace torchml
