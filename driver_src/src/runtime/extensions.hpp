#pragma once

#include <string>

namespace torchml {

/// Where a model finds the operators of torch_scatter and torch_sparse.
enum class OperatorSource {
    native,     ///< in the driver itself (see torch_ops/)
    extension,  ///< in the original libraries that the driver was built with
};

/// The value of the environment variable KIM_MODEL_OPERATORS: `native`, the default, or
/// `extension`. Throws Error for anything else.
OperatorSource operator_source();

/// Opens the libraries that the environment variable KIM_MODEL_TORCH_EXTENSIONS lists, paths
/// separated by colons, so that their operators are registered. The libraries stay open. Throws
/// Error if one is missing or cannot be opened.
void open_listed_extensions();

/// Opens the original library of a namespace of operators, "torch_scatter" or "torch_sparse".
/// Throws Error if the driver was built without it, or if it cannot be opened.
void open_original_library(const std::string& name);

}  // namespace torchml
