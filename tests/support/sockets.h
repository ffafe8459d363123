// SPDX-License-Identifier: Apache-2.0
// Real sockets for tests: listeners, UDP servers, and clients that say what they got.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/address.h"
#include "sys/fd.h"

namespace sluice::testing {

Endpoint at(std::string_view text);  // "127.0.0.1:80", "[::1]:80"; port 0: any that is free

struct SocketOptions {
    bool v6only = false;
    bool reuseport = false;
    int backlog = 64;
};
// A bound socket: TCP ones listen. Throws on failure.
Fd serve(Protocol protocol, std::string_view endpoint, SocketOptions options = {});
inline Fd listen_tcp(std::string_view endpoint, SocketOptions options = {}) {
    return serve(Protocol::tcp, endpoint, options);
}
inline Fd bind_udp(std::string_view endpoint, SocketOptions options = {}) {
    return serve(Protocol::udp, endpoint, options);
}

std::uint64_t cookie_of(const Fd& socket);  // SO_COOKIE

// What a client of `to` gets: "connected", "refused", "timeout", or the errno's text.
std::string dial(std::string_view to);
// Connects and says which of the listeners holds the connection: accepts on it and compares.
bool reaches(std::string_view to, const Fd& listener);
// Sends a datagram from an unconnected socket and says whether `server` got it.
bool datagram_reaches(std::string_view to, const Fd& server);

}  // namespace sluice::testing
