#pragma once

#include <pybind11/pybind11.h>

namespace torchml {

/// Adds the functions that take and return torch tensors to the module: they make a model's inputs
/// for its calling convention, and run compiled models by themselves. For torchml_driver.inputs and
/// torchml_driver.compile.
void bind_tensors(pybind11::module_& module);

}  // namespace torchml
