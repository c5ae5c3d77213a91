#include "base/elements.hpp"

#include "support.hpp"

using namespace torchml;

TEST_CASE("elements have their symbols and atomic numbers") {
    CHECK(atomic_number("H") == 1);
    CHECK(atomic_number("Ar") == 18);
    CHECK(atomic_number("Tl") == 81);
    CHECK(atomic_number("Og") == 118);
    for (int number = 1; number <= 118; ++number) {
        CHECK(atomic_number(element_symbol(number)) == number);
    }
}

TEST_CASE("anything else has neither number nor symbol") {
    for (const char* symbol : {"", "si", "SI", "Xx", "Si ", "14"}) {
        CAPTURE(symbol);
        CHECK(atomic_number(symbol) == 0);
    }
    for (const int number : {-1, 0, 119}) CHECK(element_symbol(number).empty());
}

TEST_CASE("an element in other capitals is recognised as similar") {
    CHECK(similar_element("si") == "Si");
    CHECK(similar_element("SI") == "Si");
    CHECK(similar_element("sI") == "Si");
    for (const char* text : {"Si", "", "Xx", "silicon", "\xc3\xa4"}) {
        CHECK(similar_element(text).empty());
    }
}
