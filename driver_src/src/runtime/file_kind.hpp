#pragma once

#include <caffe2/serialize/inline_container.h>

#include <filesystem>
#include <string>

namespace torchml {

/// What a model file that is not what its extension says is instead, and what to do with it:
/// sentences that go on after "model file NAME "; "" for what nobody knows. From the names of an
/// archive's records, and what some of them say of themselves. Throws what torch has against the
/// archive.
std::string foreign_archive(caffe2::serialize::PyTorchStreamReader& reader);

/// The same of a file that is no archive at all.
std::string foreign_file(const std::filesystem::path& file);

/// What torch says when a file has a format that only a newer one reads, in words that go on after
/// "model file NAME "; "" if it says something else.
std::string newer_format(const std::string& torch_says);

}  // namespace torchml
