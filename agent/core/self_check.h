// SPDX-License-Identifier: Apache-2.0
// What to ask a table in order to find out whether two ways of answering from it agree.
#pragma once

#include <cstdint>
#include <vector>

#include "core/bindings.h"

namespace sluice {

struct CheckQuestion {
    Protocol protocol = Protocol::tcp;
    Endpoint to;
};

// Most on the boundaries of some binding: the first and last address of its prefix and those just
// outside, the first and last port and those just outside. The rest anywhere. The same for the same
// seed.
std::vector<CheckQuestion> check_questions(const Bindings& bindings, std::size_t count,
                                           std::uint64_t seed);

struct SelfCheck {
    std::size_t questions = 0;    // 0: the index does not answer, there is nothing to compare
    std::size_t differences = 0;  // questions that index and tries answer differently
    std::string first;            // of them, in words; "" without
};

}  // namespace sluice
