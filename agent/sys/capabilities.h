// SPDX-License-Identifier: Apache-2.0
// What this process may do: capabilities(7).
#pragma once

#include <string>

namespace sluice {

// Of CAP_BPF and CAP_NET_ADMIN, those that are not in the effective set of the calling thread:
// "CAP_BPF and CAP_NET_ADMIN"; "" when it has both. CAP_SYS_ADMIN stands for CAP_BPF.
std::string missing_capabilities();

}  // namespace sluice
