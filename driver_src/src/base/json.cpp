#include "base/json.hpp"

#include <algorithm>
#include <cstddef>
#include <utility>

namespace torchml {

namespace {

class Parser {
  public:
    explicit Parser(const std::string& text) : text_(text) {}

    std::optional<Json> whole() {
        Json json;
        if (!value(json, most_nested)) return std::nullopt;
        skip_spaces();
        if (at_ != text_.size()) return std::nullopt;
        return json;
    }

  private:
    static constexpr int most_nested = 8;
    static constexpr std::size_t most_digits = 9;

    bool value(Json& json, int depth) {
        if (depth == 0) return false;
        skip_spaces();
        if (take('{')) return object(json, depth);
        if (take('[')) return array(json, depth);
        if (take('"')) {
            json.kind = Json::Kind::text;
            return string(json.text);
        }
        json.truth = word("true");
        return json.truth || word("false") || number(json);
    }

    bool object(Json& json, int depth) {
        json.kind = Json::Kind::object;
        skip_spaces();
        if (take('}')) return true;
        do {
            std::string key;
            Json item;
            skip_spaces();
            if (!take('"') || !string(key) || json.find(key) != nullptr) return false;
            skip_spaces();
            if (!take(':') || !value(item, depth - 1)) return false;
            json.keys.push_back(std::move(key));
            json.items.push_back(std::move(item));
            skip_spaces();
        } while (take(','));
        return take('}');
    }

    bool array(Json& json, int depth) {
        json.kind = Json::Kind::array;
        skip_spaces();
        if (take(']')) return true;
        do {
            Json item;
            if (!value(item, depth - 1)) return false;
            json.items.push_back(std::move(item));
            skip_spaces();
        } while (take(','));
        return take(']');
    }

    /// After the first quote.
    bool string(std::string& read) {
        const std::size_t end = text_.find('"', at_);
        if (end == std::string::npos) return false;
        read = text_.substr(at_, end - at_);
        at_ = end + 1;
        return std::none_of(read.begin(), read.end(), [](char c) {
            return c == '\\' || static_cast<unsigned char>(c) < 0x20;
        });
    }

    bool number(Json& json) {
        json.kind = Json::Kind::number;
        const std::size_t begin = at_;
        while (at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9') {
            if (at_ - begin == most_digits) return false;
            json.number = 10 * json.number + (text_[at_++] - '0');
        }
        const std::size_t digits = at_ - begin;
        return digits == 1 || (digits > 1 && text_[begin] != '0');
    }

    bool word(const std::string& expected) {
        if (text_.compare(at_, expected.size(), expected) != 0) return false;
        at_ += expected.size();
        return true;
    }

    bool take(char expected) {
        if (at_ == text_.size() || text_[at_] != expected) return false;
        ++at_;
        return true;
    }

    void skip_spaces() {
        while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t' ||
                                      text_[at_] == '\n' || text_[at_] == '\r')) {
            ++at_;
        }
    }

    const std::string& text_;
    std::size_t at_ = 0;
};

}  // namespace

const Json* Json::find(const std::string& key) const {
    const auto found = std::find(keys.begin(), keys.end(), key);
    if (found == keys.end()) return nullptr;
    return &items[static_cast<std::size_t>(found - keys.begin())];
}

std::optional<Json> parse_json(const std::string& text) { return Parser(text).whole(); }

}  // namespace torchml
