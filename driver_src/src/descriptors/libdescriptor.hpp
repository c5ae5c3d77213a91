#pragma once

#include <memory>

#include "descriptors/descriptor.hpp"

namespace torchml {

/// The descriptor that the settings describe, as libdescriptor 0.2.3 computes it
/// (https://github.com/openkim/libdescriptor; its derivatives were written by Enzyme).
///
/// The shared library is opened at run time: lib/libdescriptor.so in the folder that the
/// environment variable LIBDESCRIPTOR_ROOT names or, without it, the library that the driver was
/// built with. The driver trusts its results only after checking that its classes have the declared
/// layout and that a few values and derivatives are right.
///
/// The library's limits remain: bispectrum and SOAP take at most 250 and 100 neighbours within the
/// cutoff; a particle with more is an Error, not a write past the end of the library's arrays.
///
/// Throws Error if the library is missing, cannot be opened or differs from version 0.2.3, and for
/// settings that it does not know.
std::unique_ptr<Descriptor> make_libdescriptor(const DescriptorSettings& settings);

}  // namespace torchml
