// SPDX-License-Identifier: Apache-2.0
// How long a test waits for what must happen.
#pragma once

#include <chrono>
#include <functional>

namespace sluice::testing {

inline constexpr std::chrono::seconds patience{30};

// Waits for a condition that nobody announces. False when it does not come true.
bool eventually(const std::function<bool()>& condition);

}  // namespace sluice::testing
