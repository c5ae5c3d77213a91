#pragma once

#include <dlfcn.h>

#include <optional>

namespace torchml {

/// The MPI that this process has started. Looked up in the running process: so the driver need not
/// be built for the program's MPI, nor with any.
class StartedMpi {
  public:
    // Families share the names of functions, but not the type of handles such as communicators.
    enum class Family {
        pointers,      ///< Open MPI
        integers,      ///< MPICH, Intel MPI, MVAPICH, Cray: they share an ABI
        standard_abi,  ///< that of the standard's version 5: handles are pointers
    };

    /// Empty if no MPI of a known family is running.
    static std::optional<StartedMpi> find();

    Family family() const { return family_; }
    int size() const { return ask("MPI_Comm_size"); }
    int rank() const { return ask("MPI_Comm_rank"); }

    /// Ends all ranks. Does not return if MPI follows its standard.
    void abort() const;

    /// A function or a predefined object by its name; nullptr if this MPI lacks it.
    template <class Pointer>
    Pointer symbol(const char* name) const {
        return reinterpret_cast<Pointer>(dlsym(library_, name));
    }

  private:
    bool take(void* library);
    int ask(const char* function) const;

    void* library_ = nullptr;
    void* world_ = nullptr;  // MPI_COMM_WORLD, where handles are pointers
    Family family_ = Family::pointers;
};

}  // namespace torchml
