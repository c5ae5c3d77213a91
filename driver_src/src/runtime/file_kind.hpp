#pragma once

#include <caffe2/serialize/inline_container.h>

#include <filesystem>
#include <string>

namespace torchml {

/// Recognises a model file whose contents do not match its extension. Returns what the file is and
/// what to do with it, as the rest of a sentence that begins "model file NAME "; "" if the kind is
/// unknown. Reads the names of the archive's records and the contents of some. Throws c10::Error
/// for a damaged archive.
std::string foreign_archive(caffe2::serialize::PyTorchStreamReader& reader);

/// The same for a file that is not an archive.
std::string foreign_file(const std::filesystem::path& file);

/// Rewrites torch's error for a file format that only a newer torch reads, as the rest of a
/// sentence that begins "model file NAME "; "" for any other error.
std::string newer_format(const std::string& torch_says);

}  // namespace torchml
