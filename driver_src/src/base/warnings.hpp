#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace torchml {

/// Messages for the user of a potential that works all the same. Each appears once.
class Warnings {
  public:
    void add(std::string text) {
        if (std::find(told_.begin(), told_.end(), text) != told_.end()) return;
        told_.push_back(text);
        waiting_.push_back(std::move(text));
    }

    /// The messages added since the last call.
    std::vector<std::string> take() { return std::exchange(waiting_, {}); }

  private:
    std::vector<std::string> told_, waiting_;
};

}  // namespace torchml
