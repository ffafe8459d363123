// SPDX-License-Identifier: Apache-2.0
// The addresses of the interfaces of this host. getifaddrs(3)
#pragma once

#include <vector>

#include "core/address.h"
#include "core/result.h"

namespace sluice {

// Of the calling thread's network namespace, loopback's apart; each once, in order.
Result<std::vector<Address>> host_addresses();

}  // namespace sluice
