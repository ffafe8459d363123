// SPDX-License-Identifier: Apache-2.0
#include "support/patience.h"

#include <thread>

namespace sluice::testing {

bool eventually(const std::function<bool()>& condition) {
    const auto end = std::chrono::steady_clock::now() + patience;
    while (!condition()) {
        if (std::chrono::steady_clock::now() > end) return false;
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return true;
}

}  // namespace sluice::testing
