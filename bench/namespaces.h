// SPDX-License-Identifier: Apache-2.0
// A world of the driver's own, which goes with it.
#pragma once

#include "core/result.h"

namespace sluice::bench {

// Nobody else's bpffs or network, loopback up, and nothing to clean up afterwards.
Result<> own_namespaces();
// For the calling thread: a network namespace with nothing but loopback, which is up.
Result<> new_network();

}  // namespace sluice::bench
