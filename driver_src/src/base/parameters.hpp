#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace torchml {

/// The arguments of a model's forward. The parameter file calls this the preprocessing.
enum class CallingConvention {
    neighbours,  ///< 1: species, coordinates and neighbour lists; `None` in the file
    descriptor,  ///< 2: a descriptor per contributing particle; `Descriptor`
    graph,       ///< 3: staged graphs, one per message-passing layer; `Graph`
};

/// The floating-point type of a model's inputs.
enum class Precision { float64, float32, float16, bfloat16 };

/// Edges and particles that a graph model does not need: less work for the same result. Set in the
/// parameter file, after the values that every driver reads.
struct GraphSettings {
    /// Which row of edge_index holds the receivers (0 or 1): the model then gets only the edges
    /// whose receiver the layer needs. Nothing: it gets every pair in both directions.
    std::optional<int> edge_receiver_row;
    bool drop_unused_particles = false;  ///< leave out particles that are in no graph
};

/// The contents of a portable model's `*.param` file.
struct Parameters {
    std::vector<std::string> elements;  ///< in the order of the model's species codes
    CallingConvention convention = CallingConvention::neighbours;
    double cutoff = 0.0;  ///< Å
    int n_layers = 1;     ///< message-passing layers; 1 without a graph
    std::string model_file;
    bool returns_forces = false;  ///< the model returns (energies, forces)
    int n_inputs = 0;             ///< as the file says; the model's own signature is what counts
    std::string descriptor;       ///< "None" or the descriptor's name
    // Settings, which may follow the values that every driver reads.
    GraphSettings graph;
    std::optional<Precision> precision;  ///< `precision`; nothing: it is not recorded
    std::optional<bool> atomic_numbers;  ///< `atomic_numbers`: whether species codes are atomic
                                         ///< numbers; nothing: it is not recorded

    /// Å: how far from a particle another can be and still change its energy.
    double influence_distance() const { return cutoff * n_layers; }
};

/// Parses the text of a parameter file: values in a fixed order, then settings by name; `#`
/// comments and blank lines anywhere. `name` is for messages. Throws Error naming file and line.
Parameters parse_parameters(const std::string& text, const std::string& name);

/// The text of a parameter file with another cutoff (Å), everything else as it is. Throws as
/// parse_parameters.
std::string with_cutoff(const std::string& text, const std::string& name, double cutoff);

/// Reads and parses a parameter file. Throws Error if it cannot be read, or as parse_parameters.
Parameters read_parameters(const std::filesystem::path& file);

}  // namespace torchml
