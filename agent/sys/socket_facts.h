// SPDX-License-Identifier: Apache-2.0
// Asks the kernel about a descriptor that may or may not be a socket (socket(7), ip(7), tcp(7)).
#pragma once

#include <cstdint>

#include "core/admit.h"
#include "core/result.h"

namespace sluice {

// Fails only when the descriptor is closed or the kernel does not answer.
Result<SocketFacts> socket_facts(int fd);

// SO_NETNS_COOKIE of the calling thread's namespace; 0 where the kernel has none (before 5.14).
std::uint64_t own_netns_cookie();

}  // namespace sluice
