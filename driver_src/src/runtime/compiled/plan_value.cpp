#include "runtime/compiled/plan_value.hpp"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "base/error.hpp"

namespace torchml {

std::int64_t Division::blocks() const {
    return std::max<std::int64_t>(1, (computed + block - 1) / block);
}

std::int64_t Division::size(std::int64_t number) const {
    return std::min(block, computed - begin(number));
}

bool Division::operator==(const Division& other) const {
    return rows == other.rows && computed == other.computed && block == other.block;
}

void PlanValue::set(at::Tensor whole) { whole_ = std::move(whole); }

void PlanValue::expect_pieces(const Division& division, std::int64_t zeros_to, bool mark_rest) {
    pieces_.resize(static_cast<std::size_t>(division.blocks()));
    division_ = division;
    zeros_to_ = std::min(zeros_to, division.rows);
    mark_rest_ = mark_rest;
}

void PlanValue::set_piece(std::int64_t number, at::Tensor rows) {
    pieces_[static_cast<std::size_t>(number)] = std::move(rows);
}

std::int64_t PlanValue::n_rows() const { return pieces_.empty() ? whole_.size(0) : division_.rows; }

const at::Tensor& PlanValue::whole() {
    if (pieces_.empty()) return whole_;
    if (division_.computed == division_.rows && pieces_.size() == 1) {
        whole_ = pieces_[0];
    } else {
        auto sizes = pieces_[0].sizes().vec();
        sizes[0] = division_.rows;
        whole_ = at::empty(sizes, pieces_[0].options());
        for (std::int64_t number = 0; number < division_.blocks(); ++number) {
            whole_.narrow(0, division_.begin(number), division_.size(number)).copy_(rows(number));
        }
        const std::int64_t zeros = zeros_to_ - division_.computed;
        if (zeros > 0) whole_.narrow(0, division_.computed, zeros).zero_();
        const std::int64_t known = std::max(zeros_to_, division_.computed);
        if (mark_rest_ && whole_.is_floating_point()) {
            whole_.narrow(0, known, division_.rows - known)
                .fill_(std::numeric_limits<double>::quiet_NaN());
        }
    }
    pieces_.clear();
    return whole_;
}

void PlanValue::divide(const Division& division) {
    if (n_rows() != division.rows) {
        fail("a compiled model needs as many rows of one tensor as of another, but is given ",
             division.rows, " and ", n_rows(), ".");
    }
    if (!pieces_.empty() && division_ == division) return;
    whole_ = whole().contiguous();
    division_ = division;
}

at::Tensor PlanValue::rows(std::int64_t number) const {
    if (!pieces_.empty()) return pieces_[static_cast<std::size_t>(number)];
    return whole_.narrow(0, division_.begin(number), division_.size(number));
}

}  // namespace torchml
