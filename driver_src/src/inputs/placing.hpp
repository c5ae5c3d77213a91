#pragma once

// Where the model sees particles: positions that its floating-point type tells apart best, and
// particles that do not exist, for models that fail where no pair is within the cutoff.

#include <cstdint>
#include <vector>

namespace torchml {

/// Moves particles together, (n, 3) Å, so that little is lost when their coordinates are rounded:
/// the middle of the box around them becomes the origin. Where the box is long, empty space that
/// crosses it is shortened first: what is nearer to each other than the cutoff keeps its
/// displacement (to rounding in double precision), what is farther apart stays so.
void move_together(double cutoff, std::vector<double>& coordinates);

/// Company: particles added so that the model finds pairs, angles and torsions. The particles of a
/// group are within each other's reach and out of everyone else's.
constexpr std::int32_t company_size = 4;

/// Appends the positions of another group. `reach`: Å, how far apart particles still know of each
/// other; at least the cutoff. `group`: how many groups there are already. The first one moves all
/// other particles aside and is placed near the origin, where its positions are not lost to
/// rounding; without pairs, theirs do not matter.
void append_company(double cutoff, double reach, int group, std::vector<double>& coordinates);

}  // namespace torchml
