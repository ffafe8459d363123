// SPDX-License-Identifier: Apache-2.0
// What the pins alone tell: the bindings, services and sockets that answer now. Reads only.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/bindings.h"
#include "core/config.h"
#include "core/policy.h"
#include "kernel/maps.h"

namespace sluice::kernel {

// The bindings in the half that answers. Owners come back; places and notes are not in the kernel.
Result<Bindings> read_bindings(const Maps& maps);

struct RegisteredSocket {
    std::uint32_t slot = 0;
    std::uint64_t cookie = 0;  // SO_COOKIE
    std::string service;
    Protocol protocol = Protocol::tcp;
    Family family = Family::ipv4;
    bool dual = false;  // an IPv6 socket that serves IPv4 too
    Endpoint local;
    std::int32_t pid = 0;  // 0: unknown
    std::string command;
    std::int64_t since = 0;  // seconds since 1970

    bool serves(Protocol wanted, Family of) const {
        return protocol == wanted && (family == of || dual);
    }
};
// The sockets that are in a service's set. Those that have closed are left out.
Result<std::vector<RegisteredSocket>> read_sockets(const Maps& maps);

// Slots of one (service, class), in the order of the set.
std::vector<std::uint32_t> members_of(const Maps& maps, ServiceId service, std::uint32_t cls);

// "ipv4", "ipv6" or "dual"
std::string family_word(const RegisteredSocket& socket);

}  // namespace sluice::kernel
