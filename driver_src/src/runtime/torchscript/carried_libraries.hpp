#pragma once

#include <caffe2/serialize/inline_container.h>

#include <string>

namespace torchml {

/// Opens the C++ libraries that a TorchScript file carries, which define its classes and operators.
///
/// The record extra/torchml/libraries.txt lists them in the order in which they are opened; see
/// docs/reference/package-format.md. A library of a name that the process has already is not opened
/// again: it would register everything twice. Libraries stay open. `name`: the file's, for
/// messages. Throws Error if they are for another torch or processor, or cannot be opened.
void open_carried_libraries(caffe2::serialize::PyTorchStreamReader& reader,
                            const std::string& name);

}  // namespace torchml
