#pragma once

// Places particles for the model: at positions that its floating-point type resolves best, and with
// additional particles for models that fail if no pair is within the cutoff.

#include <cstdint>
#include <vector>

namespace torchml {

/// Moves particles together, (n, 3) Å, so that rounding their coordinates loses little: the middle
/// of the box around them becomes the origin. If the box is long, empty space across it is
/// shortened first: particles nearer to each other than the cutoff keep their displacement (to
/// rounding in double precision), and particles farther apart stay farther apart.
void move_together(double cutoff, std::vector<double>& coordinates);

/// Company: particles added so that the model finds pairs, angles and torsions. The particles of a
/// group are within each other's reach and out of everyone else's.
constexpr std::int32_t company_size = 4;

/// Appends the positions of another group. `reach`: Å, the distance up to which particles affect
/// each other; at least the cutoff. `group`: the number of groups before this one. The first group
/// moves all other particles aside and takes a place near the origin, where rounding does not spoil
/// its positions; theirs do not matter, as they form no pairs.
void append_company(double cutoff, double reach, int group, std::vector<double>& coordinates);

}  // namespace torchml
