// SPDX-License-Identifier: Apache-2.0
// A socket that serves a service, as the pins and the agent know it.
#pragma once

#include <cstdint>
#include <string>

#include "core/address.h"

namespace sluice {

// What a UDP socket needs to answer from the address and port that were asked for, where these are
// not the ones it is bound to. As they were at registration.
struct ReplyOptions {
    bool known = false;
    bool original_destination = false;  // IP_RECVORIGDSTADDR: address and port
    bool packet_info = false;           // IP_PKTINFO: the address
    bool nonlocal = false;              // IP_FREEBIND or IP_TRANSPARENT: may send from any address
    bool operator==(const ReplyOptions&) const = default;
};

// What a socket is to its service.
enum class SocketRole : std::uint8_t {
    serving,  // lookups get it
    staged,   // waits for `promote`
    former,   // served before the last `promote`, waits for `demote`
};

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
    SocketRole role = SocketRole::serving;
    ReplyOptions replies{};

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
