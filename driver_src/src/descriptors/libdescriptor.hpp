#pragma once

#include <memory>

#include "descriptors/descriptor.hpp"

namespace torchml {

/// The descriptor that the settings describe, as libdescriptor 0.2.3 computes it
/// (https://github.com/openkim/libdescriptor; its derivatives were written by Enzyme).
///
/// The shared library is opened at run time: lib/libdescriptor.so in the folder that the
/// environment variable LIBDESCRIPTOR_ROOT names or, without it, the one that the driver was built
/// for. Before its numbers are trusted, its classes have to be laid out as we declare them and a
/// few values and derivatives have to be right.
///
/// Its limits stay: bispectrum and SOAP take at most 250 and 100 neighbours within the cutoff; a
/// particle with more is an Error, not a write past the end of its arrays.
///
/// Throws Error for a library that is missing, cannot be opened or is another one, and for
/// settings that it does not know.
std::unique_ptr<Descriptor> make_libdescriptor(const DescriptorSettings& settings);

}  // namespace torchml
