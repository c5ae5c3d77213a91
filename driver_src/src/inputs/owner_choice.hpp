#pragma once

#include <cstdint>
#include <vector>

#include "base/system.hpp"
#include "inputs/image_owners.hpp"

namespace torchml {

/// The neighbours of the contributing particles, in their order.
struct NeighbourRows {
    std::vector<std::size_t> starts;   ///< of each row, and the end of the last one
    std::vector<std::int32_t> sender;  ///< of each edge: the neighbour
    const double* vectors;             ///< (E, 3) from the row's particle to the neighbour, Å
};

/// Whether any other choice of owners (see ImageOwners::had_choice) would have given each image the
/// same surroundings, however far the model looks. It does in a crystal without faults near its
/// boundary, if there are none elsewhere.
///
/// An image p in some row has a true owner, whose row is what p sees. If the system that the chosen
/// vectors make repeats by the way from p's chosen owner to whatever particle that may be, it
/// repeats by p's true vector, too. Then it contains the true system; and if near contributing
/// particles it has no more than that, what each particle of the true system has around it is what
/// its chosen owner has.
///
/// `owners`: found anew for this system. `cutoff`: Å, of the rows; within it of contributing
/// particles, all others are passed. False, too, where finding out would take too long.
bool any_choice_is_alike(const ImageOwners& owners, const System& system,
                         const std::vector<double>& coordinates, const NeighbourRows& rows,
                         double cutoff);

}  // namespace torchml
