// SPDX-License-Identifier: Apache-2.0
// What this process may do: capabilities(7).
#pragma once

#include <span>
#include <string>

#include "core/result.h"

namespace sluice {

// Of CAP_BPF and CAP_NET_ADMIN, those that are not in the effective set of the calling thread:
// "CAP_BPF and CAP_NET_ADMIN"; "" when it has both. CAP_SYS_ADMIN stands for CAP_BPF.
std::string missing_capabilities();

struct Capability {
    unsigned number;  // linux/capability.h
    const char* name;
};
// To take sockets from other users' processes: pidfd_getfd(2), and /proc/PID/fd.
std::span<const Capability> capabilities_to_take_sockets();

// Gives up all others for good, also for what might be executed later; call it before there are
// other threads. Failure::refused names those that are not there to be kept.
Result<> keep_only(std::span<const Capability> kept);

}  // namespace sluice
