// The part of JSON in which the steps of a compiled model are written.

#include "base/json.hpp"

#include "support.hpp"

namespace {

using namespace torchml;

}  // namespace

TEST_CASE("objects, arrays, strings, whole numbers and truth values are read") {
    const auto json =
        parse_json(R"( { "part" : "a.0", "block": 999999999, "of": [0, [], {}, true, false] } )");
    REQUIRE(json);
    CHECK(json->kind == Json::Kind::object);
    REQUIRE(json->find("part") != nullptr);
    CHECK(json->find("part")->kind == Json::Kind::text);
    CHECK(json->find("part")->text == "a.0");
    CHECK(json->find("block")->number == 999999999);
    const Json& of = *json->find("of");
    REQUIRE(of.items.size() == 5);
    CHECK(of.items[0].kind == Json::Kind::number);
    CHECK(of.items[1].kind == Json::Kind::array);
    CHECK(of.items[2].kind == Json::Kind::object);
    CHECK(of.items[3].truth);
    CHECK_FALSE(of.items[4].truth);
    CHECK(json->find("outputs") == nullptr);
}

TEST_CASE("other text is refused") {
    for (const char* text : {"",
                             " ",
                             "{",
                             "}",
                             "[",
                             "[1",
                             "[1,",
                             "[1,]",
                             "[,1]",
                             "{\"a\"}",
                             "{\"a\":}",
                             "{\"a\":1,}",
                             "{a:1}",
                             "{\"a\":1 \"b\":2}",
                             "{\"a\":1,\"a\":2}",
                             "\"a",
                             "'a'",
                             "1 2",
                             "01",
                             "-1",
                             "1.5",
                             "1e3",
                             "1000000000",
                             "nul",
                             "null",
                             "True",
                             "\"\\n\"",
                             "\"\\u0041\"",
                             "\"a\tb\"",
                             "[1]x",
                             "[[[[[[[[1]]]]]]]]"}) {
        CAPTURE(text);
        CHECK_FALSE(parse_json(text));
    }
}

TEST_CASE("values may be nested up to eight deep") {
    CHECK(parse_json("[[[[[[[1]]]]]]]"));
    CHECK_FALSE(parse_json("[[[[[[[[1]]]]]]]]"));
}
