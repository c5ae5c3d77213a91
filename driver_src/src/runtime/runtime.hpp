#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "engine/profile.hpp"

namespace torchml {

/// What is asked of one evaluation of a model.
struct Request {
    bool gradient = false;           ///< forces or virial are wanted
    std::size_t differentiable = 0;  ///< the input by which to differentiate
};

/// What a model gave. Tensors are on the CPU, float64, contiguous, and carry no graph.
struct Evaluation {
    double energy = 0.0;  ///< eV, the sum of all the model's energies
    at::Tensor energies;  ///< as the model shaped them
    at::Tensor gradient;  ///< of the energy by the differentiable input; undefined if not asked
                          ///< for, if the model returns forces, or if the energy does not depend
                          ///< on that input
    at::Tensor forces;    ///< eV/Å, of a model that returns forces; otherwise undefined
};

/// A model file, loaded: one subclass per format.
class Runtime {
  public:
    virtual ~Runtime() = default;

    /// The floating-point type in which the model wants its inputs.
    virtual at::ScalarType scalar_type() const = 0;

    /// Throws Error if the model's forward does not take these arguments.
    virtual void check_arguments(const std::vector<std::string>& expected) const = 0;

    /// Runs the model; inputs are on the CPU. Throws Error with what the model said.
    virtual Evaluation evaluate(std::vector<at::Tensor> inputs, const Request& request,
                                Profile& profile) = 0;
};

/// Loads a model file, by its extension, onto a device. Throws Error if it is missing, broken or of
/// another kind.
std::unique_ptr<Runtime> load_model(const std::filesystem::path& file, bool returns_forces,
                                    c10::Device device);

}  // namespace torchml
