#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "process/profile.hpp"

namespace torchml {

/// What is asked of one evaluation of a model.
struct Request {
    bool gradient = false;           ///< forces or virial are wanted
    std::size_t differentiable = 0;  ///< the input by which to differentiate
};

/// What a model gave. Tensors are on the CPU, float64, contiguous, and carry no graph.
struct Evaluation {
    double energy = 0.0;                       ///< eV, the sum of all the model's energies
    at::Tensor energies;                       ///< as the model shaped them
    at::ScalarType energy_type = at::kDouble;  ///< of the energies, as the model returned them
    at::Tensor gradient;  ///< of the energy by the differentiable input; undefined if not asked
                          ///< for, if the model returns forces, or if the energy does not depend
                          ///< on that input
    at::Tensor forces;    ///< eV/Å, of a model that returns forces; otherwise undefined
};

/// A model file, loaded: one subclass per format.
class Runtime {
  public:
    virtual ~Runtime() = default;

    /// The floating-point type in which the model wants its inputs. Where that is known only after
    /// the first evaluation, the most precise one that it may want; evaluate() takes either.
    virtual at::ScalarType scalar_type() const = 0;

    /// The least precise type that the model computes with, which decides how exact it is.
    virtual at::ScalarType least_precise_type() const { return scalar_type(); }

    /// Whether coordinates may be rounded on their way through the model: by the driver, which may
    /// have yet to find out the type that the model wants, or by a model that takes float64 and
    /// computes with less.
    bool may_round_inputs() const { return least_precise_type() != at::kDouble; }

    /// The types of the model's weights (parameters and buffers), as far as they can be known.
    virtual std::vector<at::ScalarType> weight_types() const { return {scalar_type()}; }

    /// Throws Error if the model's forward does not take these arguments.
    virtual void check_arguments(const std::vector<std::string>& expected) const = 0;

    /// Runs the model; inputs are on the CPU. Throws Error with what the model said.
    virtual Evaluation evaluate(std::vector<at::Tensor> inputs, const Request& request,
                                Profile& profile) = 0;
};

}  // namespace torchml
