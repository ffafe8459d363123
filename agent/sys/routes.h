// SPDX-License-Identifier: Apache-2.0
// Does the kernel deliver a prefix to this host? rtnetlink(7), RTM_GETROUTE.
#pragma once

#include "core/address.h"
#include "core/result.h"

namespace sluice {

// True when the first and the last address of the prefix are routed to type `local` in the calling
// thread's namespace. Without that the dispatcher's hook never runs and clients time out.
Result<bool> is_local(const Prefix& prefix);

}  // namespace sluice
