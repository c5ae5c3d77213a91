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
/// Three things differ from LAMMPS: `bzero` takes j, not j + 1, off each component (the component
/// of a particle alone is j + 1); LAMMPS computes style 3 only; and neighbours of all species fade
/// towards, and turn by, the first species' own cutoff, whatever their pair's cutoff is. Neighbours
/// count within both.
///
/// A neighbour exactly at rmin0, where libdescriptor divides 0 by 0, is given the limit from above.
///
/// Throws Error for settings that make no sense.
std::unique_ptr<Descriptor> make_bispectrum(const BispectrumSettings& settings);

}  // namespace torchml
