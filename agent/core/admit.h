// SPDX-License-Identifier: Apache-2.0
// Which sockets can serve: judged from facts that the kernel told about them
// (agent/sys/socket_facts.h). The kernel takes many a socket into a sockmap that it will never hand
// a packet to; this does not.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/address.h"
#include "core/plan.h"

namespace sluice {

// A network namespace. The cookie is its identity; the inode number is only for kernels
// before 5.14, which tell no cookie, and is comparable only while the namespace is known to live,
// as one's own is.
struct NetnsIdentity {
    std::optional<std::uint64_t> cookie;
    std::optional<std::uint64_t> inode;
    bool operator==(const NetnsIdentity&) const = default;
};

// What the kernel says of a descriptor. With is_socket false nothing else is set.
struct SocketFacts {
    bool is_socket = true;
    int domain = 0;    // AF_INET, …
    int type = 0;      // SOCK_STREAM, …
    int protocol = 0;  // IPPROTO_TCP, …; 262 is MPTCP
    bool listening = false;
    bool connected = false;         // it has a peer
    bool ipv6_only = false;         // the kernel sets it too on what is bound to one IPv6 address
    std::optional<Endpoint> local;  // IP sockets only; port 0: not bound; may be IPv4-mapped
    std::uint64_t cookie = 0;       // unique while the system is up
    NetnsIdentity netns;            // what is unknown is empty
    int bound_ifindex = 0;          // SO_BINDTODEVICE; 0: any device
    std::string bound_device;       // its name, empty when it is unknown
    int backlog = 0;                // listeners: connections that may wait for accept()
    bool transparent = false;       // IP_TRANSPARENT
    bool freebind = false;          // IP_FREEBIND, IPV6_FREEBIND
    bool recv_pktinfo = false;      // IP_PKTINFO, IPV6_RECVPKTINFO
    bool recv_original_destination = false;  // IP_RECVORIGDSTADDR, IPV6_RECVORIGDSTADDR
    bool operator==(const SocketFacts&) const = default;
};

enum class SocketFamily : std::uint8_t { ipv4, ipv6, dual };
std::string_view to_string(SocketFamily family);  // "ipv4", "ipv6", "dual"
bool serves(SocketFamily socket, Family traffic);

// A socket that can serve, and what it serves.
struct Admitted {
    Protocol protocol = Protocol::tcp;
    SocketFamily family = SocketFamily::ipv4;
    Endpoint local;
    std::uint64_t cookie = 0;
    // "udp-pktinfo", "udp-freebind", "v4-mapped", "netns-unknown": it can serve, and may surprise.
    std::vector<Warning> warnings;
};

// `own` is the namespace that the dispatcher is attached to. Failure::invalid with a one-line
// reason and a hint that names the fix.
Result<Admitted> admit(const SocketFacts& facts, const NetnsIdentity& own);

}  // namespace sluice
