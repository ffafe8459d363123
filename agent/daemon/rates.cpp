// SPDX-License-Identifier: Apache-2.0
#include "daemon/rates.h"

namespace sluice {
namespace {

// A row of a service: what matched it, or came to it as a fallback.
Totals read_row(const kernel::Dataplane& plane, std::uint32_t target) {
    Totals sum;
    for (std::uint32_t cls = 0; cls < SLUICE_CLASSES; ++cls) {
        const auto row = kernel::read_counters(plane.dispatcher().maps(), target, cls);
        if (!row) continue;  // a read that fails leaves a gap in figures, nothing else
        sum.assigned += row->assigned;
        sum.rejected += row->rejected;
        sum.unavailable += row->unavailable;
        sum.passed += row->passed;
        sum.errors += row->error_type + row->error_protocol + row->error_family + row->error_other;
    }
    const bool service = target < SLUICE_MAX_SERVICES;
    sum.lookups = service ? sum.assigned + sum.unavailable : sum.rejected + sum.passed;
    return sum;
}

double per_second(std::uint64_t now, std::uint64_t before, double seconds) {
    return now < before ? 0 : static_cast<double>(now - before) / seconds;
}

}  // namespace

void Rates::sample(const kernel::Dataplane& plane, Clock::time_point now) {
    Sample sample{now, {}};
    for (const auto& [name, id] : plane.services().all()) sample.rows[name] = read_row(plane, id);
    sample.rows["(reject)"] = read_row(plane, SLUICE_TARGET_REJECT);
    sample.rows["(pass)"] = read_row(plane, SLUICE_TARGET_PASS);
    sample.rows["(none)"] = read_row(plane, SLUICE_TARGET_NONE);
    before_ = std::move(last_);
    last_ = std::move(sample);
}

Totals Rates::totals(const std::string& row) const {
    if (!last_) return {};
    const auto at = last_->rows.find(row);
    return at == last_->rows.end() ? Totals{} : at->second;
}

std::optional<Rate> Rates::rate(const std::string& row) const {
    if (!before_ || !last_) return std::nullopt;
    const auto now = last_->rows.find(row), then = before_->rows.find(row);
    if (now == last_->rows.end() || then == before_->rows.end()) return std::nullopt;
    const double seconds = std::chrono::duration<double>(last_->at - before_->at).count();
    if (seconds <= 0) return std::nullopt;
    return Rate{per_second(now->second.lookups, then->second.lookups, seconds),
                per_second(now->second.rejected, then->second.rejected, seconds),
                per_second(now->second.errors, then->second.errors, seconds)};
}

}  // namespace sluice
