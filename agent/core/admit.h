// SPDX-License-Identifier: Apache-2.0
// May this socket serve? Facts in, verdict out. What the kernel accepts into a sockmap is more than
// what it can serve, so everything is looked at before.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/address.h"
#include "core/plan.h"
#include "core/registered_socket.h"

namespace sluice {

// What the kernel says of a descriptor (sys/socket_facts.h). Numbers are the kernel's own.
struct SocketFacts {
    bool is_socket = false;
    int domain = 0;            // SO_DOMAIN: AF_INET, AF_INET6, AF_UNIX, …
    int type = 0;              // SO_TYPE: SOCK_STREAM, SOCK_DGRAM, …
    int protocol = 0;          // SO_PROTOCOL: IPPROTO_TCP, IPPROTO_UDP, IPPROTO_MPTCP (262), …
    bool listening = false;    // SO_ACCEPTCONN
    bool connected = false;    // has a peer
    bool v6only = false;       // IPV6_V6ONLY
    std::uint64_t cookie = 0;  // SO_COOKIE
    std::optional<std::uint64_t> netns_cookie;  // SO_NETNS_COOKIE, since 5.14
    std::string device;                         // SO_BINDTODEVICE; empty: none
    std::optional<Endpoint> local;              // getsockname; port 0: not bound
    bool mapped = false;  // an IPv6 socket bound to an IPv4-mapped address; `local` is IPv4 then
    std::optional<std::uint32_t> backlog;  // of a listener
    bool filter = false;                   // SO_ATTACH_FILTER or SO_ATTACH_BPF
    std::uint32_t filter_length = 0;       // in instructions; 0: unknown, as of an eBPF program
    bool transparent = false;              // IP_TRANSPARENT or IPV6_…
    bool freebind = false;                 // IP_FREEBIND or IPV6_…
    bool original_destination = false;     // IP_RECVORIGDSTADDR or IPV6_…: UDP
    bool packet_info = false;              // IP_PKTINFO or IPV6_RECVPKTINFO: UDP
};

enum class SocketFamily : std::uint8_t { ipv4, ipv6, dual };

struct Admitted {
    Protocol protocol = Protocol::tcp;
    SocketFamily family = SocketFamily::ipv4;
    Endpoint local;
    std::uint64_t cookie = 0;
    ReplyOptions replies;
    std::vector<Warning> warnings;
};

// `netns_cookie`: of the dispatcher's namespace, 0 if the kernel has none. Each refusal
// (Failure::refused) has a reason and a hint that names the fix.
Result<Admitted> admit(const SocketFacts& facts, std::uint64_t netns_cookie);

}  // namespace sluice
