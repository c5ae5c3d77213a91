#include "torch_ops/operators.hpp"

#include <torch/library.h>

#include <cstdint>
#include <sstream>

#include "torch_ops/exchange.hpp"
#include "torch_ops/scatter.hpp"
#include "torch_ops/sparse.hpp"

namespace torchml {

namespace {

/// Its address is unique in the process.
const char landmark = 0;

std::string private_namespace(const char* library) {
    std::ostringstream name;
    name << "torchml_" << library << '_' << std::hex << reinterpret_cast<std::uintptr_t>(&landmark);
    return name.str();
}

class Registration {
  public:
    Registration()
        : namespaces_{private_namespace("scatter"), private_namespace("sparse"),
                      private_namespace("own")},
          scatter_(torch::Library::DEF, namespaces_.scatter, {}, __FILE__, __LINE__),
          sparse_(torch::Library::DEF, namespaces_.sparse, {}, __FILE__, __LINE__),
          own_(torch::Library::DEF, namespaces_.torchml, {}, __FILE__, __LINE__) {
        ops::define_scatter_operators(scatter_);
        ops::define_sparse_operators(sparse_);
        ops::define_exchange_operator(own_);
    }

    const OperatorNamespaces& namespaces() const { return namespaces_; }

  private:
    OperatorNamespaces namespaces_;
    torch::Library scatter_;
    torch::Library sparse_;
    torch::Library own_;
};

}  // namespace

const OperatorNamespaces& registered_operators() {
    static const Registration registration;
    return registration.namespaces();
}

}  // namespace torchml
