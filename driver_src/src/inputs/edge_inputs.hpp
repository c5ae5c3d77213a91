#pragma once

#include "inputs/ghosts.hpp"
#include "inputs/inputs.hpp"

namespace torchml {

/// What a model does, as far as its graph depends on it.
struct EdgeModel {
    /// It returns forces on nodes, so that the virial takes all images: with Ghosts::automatic the
    /// graph is then staged.
    bool returns_node_forces = false;
    bool exchanges = false;  ///< it calls torch.ops.torchml.exchange
};

/// Calling convention 4: forward(species, edge_index, edge_vectors, contributing).
///
/// species int64 (n); edge_index int64 (2, E), row 0 the receivers i, row 1 the senders j, sorted
/// by receiver; edge_vectors (E, 3) r_j - r_i, Å; contributing int64 (n), 1 = its energy counts.
/// All layers of the model use the same graph.
///
/// Folded, the nodes are the contributing particles, and an edge from a periodic image comes from
/// its owner: that of a list with shifts (Neighbours), or one found by ImageOwners. Staged, the
/// nodes are all particles within n_layers cutoffs of contributing ones, which come first, and
/// there are edges to all but the outermost of them.
///
/// `ghosts`: whether to fold where images are particles. With Ghosts::automatic only where it is
/// proven that images have the same neighbours as their owners, as far as the layers reach: then a
/// folded graph gives the same energy as a staged one, whatever the simulator meant.
///
/// On several MPI ranks a model that exchanges features between its layers gets a graph of the
/// contributing particles, and those of other ranks that send to them; edges from images come from
/// their owners (RankOwners). All ranks have to compute one system together
/// (System::ranks_together), and with Ghosts::automatic the program has to be LAMMPS's own, whose
/// ghosts are known to be images.
///
/// The energy is differentiated with respect to the edge vectors. With g = ∂E/∂r_ij of each edge,
/// the force on i is the sum of g of its edges, that on j minus this, and the virial the symmetric
/// part of Σ r_ij g; the part of an edge belongs to its receiver.
std::unique_ptr<Inputs> make_edge_inputs(double cutoff, int n_layers, EdgeModel model,
                                         Ghosts ghosts, at::ScalarType scalar);

}  // namespace torchml
