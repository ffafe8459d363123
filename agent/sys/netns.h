// SPDX-License-Identifier: Apache-2.0
// Network namespaces, setns(2).
#pragma once

#include <string>

#include "core/result.h"

namespace sluice {

// Moves the calling thread; call it before there are others. `path`: /run/netns/NAME,
// /proc/PID/ns/net.
Result<> enter_netns(const std::string& path);

}  // namespace sluice
