#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace torchml {

/// A call of a library's operator in TorchScript code: `ops.library.name(...)`.
struct OperatorCall {
    std::string library;       ///< the operator's namespace, such as "torch_scatter"
    std::string name;          ///< the operator's name in it
    std::size_t position = 0;  ///< where the library's name starts in the code
};

/// The operators that code calls, in the order of the text. Ignores strings, comments, attributes
/// (`x.ops`) and longer identifiers that contain a library's name.
std::vector<OperatorCall> find_operator_calls(std::string_view code);

}  // namespace torchml
