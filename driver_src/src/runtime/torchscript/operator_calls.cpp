#include "runtime/torchscript/operator_calls.hpp"

#include <algorithm>

namespace torchml {

namespace {

bool starts_identifier(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           static_cast<unsigned char>(c) >= 0x80;
}

bool continues_identifier(char c) { return starts_identifier(c) || (c >= '0' && c <= '9'); }

/// Where the identifier or number that starts at `position` ends.
std::size_t word_end(std::string_view code, std::size_t position) {
    while (position < code.size() && continues_identifier(code[position])) ++position;
    return position;
}

/// Where the string literal that starts at `position` ends; the end of the code if it never ends.
std::size_t string_end(std::string_view code, std::size_t position) {
    const char quote = code[position];
    const std::string triple(3, quote);
    const bool is_triple = code.substr(position, 3) == triple;
    const std::string_view close = is_triple ? std::string_view(triple) : code.substr(position, 1);
    position += close.size();
    while (position < code.size() && code.substr(position, close.size()) != close) {
        position += code[position] == '\\' ? 2 : 1;
    }
    return std::min(position + close.size(), code.size());
}

}  // namespace

std::vector<OperatorCall> find_operator_calls(std::string_view code) {
    std::vector<OperatorCall> calls;
    char before = '\0';  // the character before a word: after a dot, it is an attribute
    std::size_t position = 0;
    while (position < code.size()) {
        const char c = code[position];
        if (c == '\'' || c == '"') {
            position = string_end(code, position);
            before = c;
        } else if (c == '#') {
            position = std::min(code.find('\n', position), code.size());
        } else if (continues_identifier(c)) {
            const std::size_t end = word_end(code, position);
            const bool is_ops = code.substr(position, end - position) == "ops" && before != '.';
            position = end;
            before = 'a';
            if (!is_ops || position == code.size() || code[position] != '.') continue;
            const std::size_t library = position + 1;
            const std::size_t dot = word_end(code, library);
            if (dot == library || dot == code.size() || code[dot] != '.') continue;
            position = word_end(code, dot + 1);
            if (position == dot + 1) continue;
            calls.push_back({std::string(code.substr(library, dot - library)),
                             std::string(code.substr(dot + 1, position - dot - 1)), library});
        } else {
            if (c != ' ' && c != '\t') before = c;
            ++position;
        }
    }
    return calls;
}

}  // namespace torchml
