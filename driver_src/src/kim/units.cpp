#include "kim/units.hpp"

#include <KIM_ModelDriverHeaders.hpp>
#include <cmath>

#include "base/error.hpp"

namespace torchml::kim {

namespace {

// KIM-API 2.3 mistakes one erg for 1e7 J (it is 1e-7 J), so the driver converts ergs via joules.
constexpr double ergs_per_joule = 1e7;

KIM::EnergyUnit convertible(KIM::EnergyUnit unit) {
    return unit == KIM::ENERGY_UNIT::erg ? KIM::ENERGY_UNIT::J : unit;
}

double by_joules(KIM::EnergyUnit unit) {
    return unit == KIM::ENERGY_UNIT::erg ? ergs_per_joule : 1.0;
}

double factor(const Units& from, const Units& to, double length_power, double energy_power) {
    double result = 0.0;
    const int failed = KIM::ModelDriverCreate::ConvertUnit(
        from.length, convertible(from.energy), KIM::CHARGE_UNIT::unused,
        KIM::TEMPERATURE_UNIT::unused, KIM::TIME_UNIT::unused, to.length, convertible(to.energy),
        KIM::CHARGE_UNIT::unused, KIM::TEMPERATURE_UNIT::unused, KIM::TIME_UNIT::unused,
        length_power, energy_power, 0.0, 0.0, 0.0, &result);
    if (failed) {
        fail("KIM cannot convert ", from.length.ToString(), " and ", from.energy.ToString(), " to ",
             to.length.ToString(), " and ", to.energy.ToString(),
             ", the units that the simulator requests. Choose other units in the simulator.");
    }
    return result * std::pow(by_joules(to.energy) / by_joules(from.energy), energy_power);
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
