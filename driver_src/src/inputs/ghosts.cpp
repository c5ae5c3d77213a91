#include "inputs/ghosts.hpp"

namespace torchml {

Ghosts choose_ghosts(const Environment& environment) {
    constexpr Ghosts values[] = {Ghosts::automatic, Ghosts::fold, Ghosts::exchange, Ghosts::stage};
    return values[choose_variable(
        environment, "KIM_MODEL_GHOSTS",
        {{"auto", "fold or exchange where that is proven to be right, stage elsewhere"},
         {"fold", "take edges from periodic images as edges from the particles they are images of"},
         {"exchange", "the same, and have features sent by the MPI ranks that own other particles"},
         {"stage", "compute images and other ranks' particles, too, layer by layer"}})];
}

}  // namespace torchml
