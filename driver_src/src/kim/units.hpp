#pragma once

#include <KIM_EnergyUnit.hpp>
#include <KIM_LengthUnit.hpp>

namespace torchml::kim {

/// The simulator's units, and their conversion from and to the driver's (Å, eV).
struct Units {
    KIM::LengthUnit length;
    KIM::EnergyUnit energy;
    double angstrom = 1.0;  ///< the simulator's unit of length, in Å
    double length_per_angstrom = 1.0;
    double energy_per_ev = 1.0;  ///< 1 eV in the simulator's unit of energy
};

/// The units that a simulator requests; those it leaves "unused" are Å and eV.
/// Throws Error for units that KIM cannot convert.
Units convert_units(KIM::LengthUnit length, KIM::EnergyUnit energy);

}  // namespace torchml::kim
