#pragma once

#include <memory>

#include "descriptors/descriptor.hpp"

namespace torchml {

/// Bispectrum components of the neighbour density on the 3-sphere (A. P. Bartók et al., Phys. Rev.
/// Lett. 104, 136403 (2010)), as libdescriptor 0.2.3 defines them. Columns run over j1, then
/// j2 <= j1, then j = j1 - j2, j1 - j2 + 2, ..., min(twojmax, j1 + j2), and of these triples
/// diagonal_style 0 has all, 1 has j1 = j2, 3 has j >= j1; 2 has j1 = j2 = j for all j, and 0 where
/// j is odd.
///
/// Three things differ from LAMMPS: `bzero` subtracts j, not j + 1, from each component (an
/// isolated particle's component is j + 1); LAMMPS computes style 3 only; and the switching
/// function and the angle on the 3-sphere use the first species' own cutoff for every neighbour,
/// whatever the cutoff of the pair. Neighbours count within both cutoffs.
///
/// A neighbour exactly at rmin0, where libdescriptor divides 0 by 0, gets the limit from above.
///
/// Throws Error for invalid settings.
std::unique_ptr<Descriptor> make_bispectrum(const BispectrumSettings& settings);

}  // namespace torchml
