#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "descriptors/descriptor.hpp"
#include "descriptors/descriptor_file.hpp"

namespace torchml {

/// A descriptor file's descriptor, normalised as the file says.
struct LoadedDescriptor {
    std::string kind;  ///< "SymmetryFunctions", "Bispectrum" or "SOAP"
    std::unique_ptr<const Descriptor> descriptor;
};

/// Makes the descriptor of a descriptor file. `elements`: the model's, in its own order. Throws
/// Error.
LoadedDescriptor load_descriptor(const std::filesystem::path& file,
                                 const std::vector<std::string>& elements);

}  // namespace torchml
