#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "process/profile.hpp"

namespace torchml {

/// The results to compute in one evaluation of a model, besides the energies.
struct Request {
    bool gradient = false;           ///< for forces or the virial
    std::size_t differentiable = 0;  ///< the index of the input that the gradient refers to
};

/// A model's results. Tensors are on the CPU, float64, contiguous, and carry no autograd graph.
struct Evaluation {
    double energy = 0.0;                       ///< eV, the sum of all the model's energies
    at::Tensor energies;                       ///< as the model shaped them
    at::ScalarType energy_type = at::kDouble;  ///< the type in which the model returned energies
    at::Tensor gradient;  ///< of the energy with respect to the differentiable input; undefined if
                          ///< not requested, if the model returns forces, or if the energy does
                          ///< not depend on that input
    at::Tensor forces;    ///< eV/Å, of a model that returns forces; otherwise undefined
};

/// A model file, loaded: one subclass per format.
class Runtime {
  public:
    virtual ~Runtime() = default;

    /// The floating-point type of the model's inputs. If that is known only after the first
    /// evaluation, the most precise candidate; evaluate() accepts any.
    virtual at::ScalarType scalar_type() const = 0;

    /// The least precise type that the model computes with, which limits its accuracy.
    virtual at::ScalarType least_precise_type() const { return scalar_type(); }

    /// Whether coordinates may be rounded on their way through the model: by the driver, which may
    /// not know the model's type yet, or by a model that takes float64 but computes with less.
    bool may_round_inputs() const { return least_precise_type() != at::kDouble; }

    /// The types of the model's weights (parameters and buffers), as far as they are known.
    virtual std::vector<at::ScalarType> weight_types() const { return {scalar_type()}; }

    /// Whether the model calls torch.ops.torchml.exchange.
    virtual bool exchanges() const { return false; }

    /// Throws Error if the model's forward does not take these arguments.
    virtual void check_arguments(const std::vector<std::string>& expected) const = 0;

    /// Runs the model on inputs on the CPU. Throws Error with the model's own message.
    virtual Evaluation evaluate(std::vector<at::Tensor> inputs, const Request& request,
                                Profile& profile) = 0;
};

}  // namespace torchml
