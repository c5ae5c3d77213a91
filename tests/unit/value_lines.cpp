// Numbers and lines of files with one value per line.

#include "base/value_lines.hpp"

#include <clocale>

#include "support.hpp"

namespace {

using namespace torchml;
using namespace torchml::tests;

bool is_number(const std::string& word) {
    double value = 0.0;
    return read_number(word, value);
}

bool is_whole(const std::string& word) {
    int value = 0;
    return read_whole_number(word, value);
}

}  // namespace

TEST_CASE("numbers have C's notation") {
    const std::initializer_list<std::pair<const char*, double>> cases = {
        {"4", 4.0},     {"4.", 4.0},  {".5", 0.5},     {"-1.5e3", -1500.0}, {"+2", 2.0},
        {"1E-2", 0.01}, {"0.1", 0.1}, {"1e-400", 0.0}, {"0004.0", 4.0}};
    for (const auto& [word, expected] : cases) {
        CAPTURE(word);
        double value = -1.0;
        CHECK(read_number(word, value));
        CHECK(value == expected);
    }
}

TEST_CASE("anything but a finite number is refused") {
    for (const char* word : {"", "four", "nan", "inf", "-infinity", "1e400", "4_0.0", "4,0", "4 3",
                             "1e", "1e+", ".", "-", "0x10", "4.0A", "\xef\xbc\x94", "\xd9\xa4.0"}) {
        CAPTURE(word);
        CHECK_FALSE(is_number(word));
    }
}

TEST_CASE("whole numbers have digits and nothing else") {
    int value = 0;
    CHECK(read_whole_number("-12", value));
    CHECK(value == -12);
    CHECK(read_whole_number("0000000000012", value));
    CHECK(value == 12);
    for (const char* word : {"", "+1", "1.0", "1 ", " 1", "1e3", "1_0", "99999999999", "one"}) {
        CAPTURE(word);
        CHECK_FALSE(is_whole(word));
    }
}

TEST_CASE("a program's locale does not change how numbers are read") {
    const std::string before = std::setlocale(LC_ALL, nullptr);
    for (const char* name : {"de_DE.UTF-8", "fr_FR.UTF-8"}) {
        if (std::setlocale(LC_ALL, name) == nullptr) continue;
        CHECK(is_number("4.5"));
        CHECK_FALSE(is_number("4,5"));
    }
    std::setlocale(LC_ALL, before.c_str());
}

TEST_CASE("text has no control characters besides spaces") {
    CHECK(is_text("one\ttwo\r\n\f\v\xc3\x85"));
    CHECK_FALSE(is_text(std::string("PK\x03\x04")));
    CHECK_FALSE(is_text(std::string(1, '\0')));
}

TEST_CASE("lines with values come without comments and spaces, and with their numbers") {
    ValueLines lines("# one\n\n  4.0 # \xc3\x85\r\n\t\nname of it\n", "file a", "The values: two.");
    std::string line;
    CHECK(lines.advance(line));
    CHECK(line == "4.0");
    CHECK(lines.number() == 3);
    CHECK(lines.next("a name") == "name of it");
    CHECK(lines.number() == 5);
    CHECK_FALSE(lines.advance(line));
}

TEST_CASE("a file of values that ends too early says what is missing") {
    ValueLines lines("1\n", "file a", "The values: two.");
    lines.next("a number");
    CHECK(refusal([&] { lines.next("a name"); }) ==
          "file a ends before a name (after line 1). The values: two.");
}

TEST_CASE("a line that is rejected is named") {
    ValueLines lines("\n1\n", "file a", "");
    lines.next("a number");
    CHECK(refusal([&] { lines.reject("not ", 1, "."); }) == "file a, line 2: not 1.");
}
