// SPDX-License-Identifier: Apache-2.0
// What a valid table may say that nobody can have meant.
#pragma once

#include <vector>

#include "core/bindings.h"

namespace sluice {

// Bindings that never answer: others that are more specific take all of their traffic. In the order
// of the table, at most `most`. Linear in the table times the depth of its nesting.
std::vector<const Binding*> covered_bindings(const Bindings& table, std::size_t most);

}  // namespace sluice
