#include "kim/units.hpp"

#include <KIM_ModelDriverHeaders.hpp>

#include "engine/error.hpp"

namespace torchml::kim {

namespace {

double factor(const Units& from, const Units& to, double length_power, double energy_power) {
    double result = 0.0;
    const int failed = KIM::ModelDriverCreate::ConvertUnit(
        from.length, from.energy, KIM::CHARGE_UNIT::unused, KIM::TEMPERATURE_UNIT::unused,
        KIM::TIME_UNIT::unused, to.length, to.energy, KIM::CHARGE_UNIT::unused,
        KIM::TEMPERATURE_UNIT::unused, KIM::TIME_UNIT::unused, length_power, energy_power, 0.0, 0.0,
        0.0, &result);
    if (failed) {
        fail("KIM cannot convert ", from.length.ToString(), " and ", from.energy.ToString(), " to ",
             to.length.ToString(), " and ", to.energy.ToString(),
             ", the units that the simulator asks for.");
    }
    return result;
}

}  // namespace

Units convert_units(KIM::LengthUnit length, KIM::EnergyUnit energy) {
    const Units ours{KIM::LENGTH_UNIT::A, KIM::ENERGY_UNIT::eV};
    Units theirs{length == KIM::LENGTH_UNIT::unused ? ours.length : length,
                 energy == KIM::ENERGY_UNIT::unused ? ours.energy : energy};
    theirs.angstrom = factor(theirs, ours, 1.0, 0.0);
    theirs.length_per_angstrom = factor(ours, theirs, 1.0, 0.0);
    theirs.energy_per_ev = factor(ours, theirs, 0.0, 1.0);
    return theirs;
}

}  // namespace torchml::kim
