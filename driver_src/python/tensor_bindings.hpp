#pragma once

#include <pybind11/pybind11.h>

namespace torchml {

/// Adds to the module what takes and gives torch's tensors: a model's inputs as its calling
/// convention has them, and compiled models by themselves. For torchml_driver.inputs and
/// torchml_driver.compile.
void bind_tensors(pybind11::module_& module);

}  // namespace torchml
