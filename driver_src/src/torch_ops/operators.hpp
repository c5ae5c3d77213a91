#pragma once

#include <string>

namespace torchml {

/// The namespaces of the driver's own operators. They are private to each shared object that
/// contains this code: a process may have loaded the KIM driver under several names, and the Python
/// module beside it, each with its own copy. Nothing is ever registered under torch_scatter or
/// torch_sparse.
struct OperatorNamespaces {
    std::string scatter;  ///< the operators of torch_scatter
    std::string sparse;   ///< the operators of torch_sparse
    std::string torchml;  ///< the driver's own (torch_ops/exchange.hpp)
};

/// Registers the driver's operators with torch at the first call, until this shared object is
/// closed. Any thread may call it.
const OperatorNamespaces& registered_operators();

}  // namespace torchml
