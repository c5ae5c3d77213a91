#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "descriptors/settings.hpp"

namespace torchml {

/// Models may be trained on (value - mean) / deviation, column by column, instead of the bare
/// descriptor.
struct Normalisation {
    std::vector<double> mean;       ///< (width), (1) for all columns alike, or empty
    std::vector<double> deviation;  ///< as mean; not zero
};

/// The contents of a portable model's descriptor file (`*.dat`).
struct DescriptorFile {
    std::string kind;  ///< "SymmetryFunctions", "Bispectrum" or "SOAP"
    DescriptorSettings settings;
    Normalisation normalisation;
};

/// Parses the text of a descriptor file, as KLIFF writes it (all pairs of species with their
/// cutoffs) or as libdescriptor reads it. The kind of descriptor follows from the contents.
///
/// `elements`: the model's, in the model's order; the file may name them in any order. `name` is
/// for messages. Throws Error naming file and line.
DescriptorFile parse_descriptor_file(const std::string& text, const std::string& name,
                                     const std::vector<std::string>& elements);

/// Reads and parses a descriptor file. Throws Error if it cannot be read, and what
/// parse_descriptor_file throws.
DescriptorFile read_descriptor_file(const std::filesystem::path& file,
                                    const std::vector<std::string>& elements);

}  // namespace torchml
