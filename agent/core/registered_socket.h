// SPDX-License-Identifier: Apache-2.0
// A socket that serves a service, as the pins and the agent know it.
#pragma once

#include <cstdint>
#include <string>

#include "core/address.h"

namespace sluice {

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

inline std::string family_word(const RegisteredSocket& socket) {
    return socket.dual ? "dual" : std::string(to_string(socket.family));
}

// As `ss -e` prints it: hexadecimal, without 0x.
std::string cookie_text(std::uint64_t cookie);

}  // namespace sluice
