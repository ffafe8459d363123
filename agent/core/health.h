// SPDX-License-Identifier: Apache-2.0
// Is every service that has bindings able to serve them? Pure: facts in, judgement out.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/bindings.h"
#include "core/config.h"
#include "sluice/abi.h"

namespace sluice {

// A set of (protocol, family) pairs, by SLUICE_TCP_V4 … of sluice/abi.h.
using ClassMask = std::uint8_t;
ClassMask class_bit(Protocol protocol, Family family);

// What the running bindings ask of one service.
struct ServiceUse {
    std::size_t bindings = 0;
    ClassMask needs = 0;  // classes that its bindings cover
    std::array<std::size_t, SLUICE_CLASSES> by_class{};
    // Of its UDP bindings a few that differ, enough to judge answers by (core/replies.h).
    std::vector<Match> udp_samples{};
};

// What a table holds, counted once a generation.
struct TableUse {
    std::map<std::string, ServiceUse> services;  // those with bindings
    std::size_t config = 0, runtime = 0, rejects = 0, passes = 0;
};
TableUse count_use(const Bindings& effective);

// The sockets of one service, counted.
struct ServiceSockets {
    std::size_t total = 0;
    std::size_t failing = 0;  // the kernel would refuse them
    ClassMask usable = 0;     // classes with at least one usable socket
    std::size_t waiting = 0;  // for `promote` or `demote`; they are in none of the others
};

enum class ServiceState : std::uint8_t { ok, waiting, degraded, parked };
std::string_view to_string(ServiceState state);

struct ServiceHealth {
    ServiceState state = ServiceState::ok;
    std::string message;  // "no usable udp ipv6 socket; 2 bindings refuse"; empty when ok
    std::string brief;    // "no udp ipv6"; empty when ok
};

// `configured`: the service is in the running generation. `early`: the machine has booted within
// the minute, and services may still be starting.
ServiceHealth judge_service(bool configured, bool early, const ServiceUse& use,
                            const ServiceSockets& sockets, const Unavailable& policy);

}  // namespace sluice
