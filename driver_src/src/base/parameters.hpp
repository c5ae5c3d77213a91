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
    edges,       ///< 4: one graph with its edges' vectors; `Edges`
};

/// The floating-point type of a model's inputs.
enum class Precision { float64, float32, float16, bfloat16 };

/// Leaves out edges and particles that a graph model does not need: less work for the same result.
/// The parameter file sets this after the values that every driver reads.
struct GraphSettings {
    /// The row of edge_index that holds the receivers (0 or 1): the model then gets only the edges
    /// whose receiver the layer needs. Empty: it gets every pair in both directions.
    std::optional<int> edge_receiver_row;
    bool drop_unused_particles = false;  ///< leave out particles that are in no graph
};

/// The contents of a portable model's `*.param` file.
struct Parameters {
    std::vector<std::string> elements;  ///< in the order of the model's species codes
    CallingConvention convention = CallingConvention::neighbours;
    double cutoff = 0.0;  ///< Å
    int n_layers = 1;     ///< message-passing layers; 1 for other conventions
    std::string model_file;
    bool returns_forces = false;  ///< the model returns (energies, forces)
    int n_inputs = 0;             ///< as the file says; the model's own signature decides
    std::string descriptor;       ///< "None" or the descriptor's name
    // Settings, which may follow the values that every driver reads.
    GraphSettings graph;
    /// `returns_edge_gradient`: a model on edges returns the gradient of the energy with respect to
    /// edge_vectors in place of forces.
    bool returns_edge_gradient = false;
    std::optional<Precision> precision;  ///< `precision`; empty if not recorded
    std::optional<bool> atomic_numbers;  ///< `atomic_numbers`: whether species codes are atomic
                                         ///< numbers; empty if not recorded

    /// Whether the model returns the force on each particle.
    bool returns_particle_forces() const { return returns_forces && !returns_edge_gradient; }

    /// Å: the largest distance at which one particle changes another's energy.
    double influence_distance() const { return cutoff * n_layers; }
};

/// Parses the text of a parameter file: values in a fixed order, then settings by name; `#`
/// comments and blank lines anywhere. `name` is for messages. Throws Error naming file and line.
Parameters parse_parameters(const std::string& text, const std::string& name);

/// The text of a parameter file with another cutoff (Å) and everything else unchanged. Throws what
/// parse_parameters throws.
std::string with_cutoff(const std::string& text, const std::string& name, double cutoff);

/// Reads and parses a parameter file. Throws Error if it cannot be read, and what parse_parameters
/// throws.
Parameters read_parameters(const std::filesystem::path& file);

}  // namespace torchml
