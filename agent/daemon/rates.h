// SPDX-License-Identifier: Apache-2.0
// Counters of the dispatcher over time: totals, and rates over the last seconds.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "kernel/dataplane.h"

namespace sluice {

struct Totals {
    std::uint64_t lookups = 0, assigned = 0, rejected = 0, unavailable = 0, passed = 0, errors = 0;
};

struct Rate {
    double lookups = 0, refused = 0, errors = 0;  // per second
};

class Rates {
  public:
    using Clock = std::chrono::steady_clock;
    // Rows are named by service, and "(reject)", "(pass)" and "(none)".
    void sample(const kernel::Dataplane& plane, Clock::time_point now);
    Totals totals(const std::string& row) const;
    // Nothing before the second sample.
    std::optional<Rate> rate(const std::string& row) const;

  private:
    struct Sample {
        Clock::time_point at;
        std::map<std::string, Totals> rows;
    };
    std::optional<Sample> before_, last_;
};

}  // namespace sluice
