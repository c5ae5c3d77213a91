#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace torchml {

/// What is made of a simulator's arrays before the model sees them; also the calling convention.
enum class Preprocessing {
    none,        ///< species, coordinates and neighbour list as they are
    descriptor,  ///< a descriptor per contributing particle
    graph,       ///< staged graphs, one per message-passing layer
};

/// The contents of a portable model's `*.param` file.
struct Parameters {
    std::vector<std::string> elements;  ///< in the order of the model's species codes
    Preprocessing preprocessing = Preprocessing::none;
    double cutoff = 0.0;  ///< Å
    int n_layers = 1;     ///< message-passing layers; 1 without a graph
    std::string model_file;
    bool returns_forces = false;  ///< the model returns (energies, forces)
    int n_inputs = 0;             ///< as the file says; the model's own signature is what counts
    std::string descriptor;       ///< "None" or the descriptor's name

    /// Å: how far from a particle another can be and still change its energy.
    double influence_distance() const { return cutoff * n_layers; }
};

/// Parses the text of a parameter file: values in a fixed order, `#` comments and blank lines
/// anywhere. `name` is for messages. Throws Error naming file and line.
Parameters parse_parameters(const std::string& text, const std::string& name);

/// Reads and parses a parameter file. Throws Error if it cannot be read, or as parse_parameters.
Parameters read_parameters(const std::filesystem::path& file);

}  // namespace torchml
