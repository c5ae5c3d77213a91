#pragma once

#include <string>

namespace torchml {

/// Atomic number (1 to 118) of an element's symbol, 0 if there is no such element. Case matters.
int atomic_number(const std::string& symbol);

/// Symbol of the element with an atomic number, or an empty string if there is no such element.
std::string element_symbol(int atomic_number);

/// The element that `text` probably means ("Si" for "si" or "SI"), or an empty string.
std::string similar_element(const std::string& text);

}  // namespace torchml
