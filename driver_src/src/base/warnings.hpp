#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace torchml {

/// Warnings for the user of a potential, which computes nevertheless. Each appears once.
class Warnings {
  public:
    void add(std::string text) {
        if (std::find(added_.begin(), added_.end(), text) != added_.end()) return;
        added_.push_back(text);
        waiting_.push_back(std::move(text));
    }

    /// The messages added since the last call.
    std::vector<std::string> take() { return std::exchange(waiting_, {}); }

  private:
    std::vector<std::string> added_, waiting_;
};

}  // namespace torchml
