// SPDX-License-Identifier: Apache-2.0
#include "core/admit.h"

#include <algorithm>
#include <netinet/in.h>
#include <sys/socket.h>

namespace sluice {
namespace {

constexpr int mptcp = 262;  // IPPROTO_MPTCP
constexpr std::uint32_t small_backlog = 16;

std::unexpected<Error> refuse(std::string why, std::string hint) {
    return std::unexpected(Error(Failure::refused, std::move(why)).hint(std::move(hint)));
}

Result<Protocol> judge_protocol(const SocketFacts& facts) {
    if (!facts.is_socket)
        return refuse("the descriptor is not a socket",
                      "pass a listening TCP or a bound UDP socket");
    if (facts.domain != AF_INET && facts.domain != AF_INET6)
        return refuse(facts.domain == AF_UNIX ? "it is a Unix socket" : "it is not an IP socket",
                      "only TCP and UDP sockets over IPv4 or IPv6 can be dispatched to");
    if (facts.protocol == mptcp)
        return refuse("it is an MPTCP listener, which the kernel cannot dispatch to",
                      "make it a plain TCP listener; in Go: GODEBUG=multipathtcp=0, or "
                      "ListenConfig.SetMultipathTCP(false)");
    if (facts.type == SOCK_STREAM && facts.protocol == IPPROTO_TCP) return Protocol::tcp;
    if (facts.type == SOCK_DGRAM && facts.protocol == IPPROTO_UDP) return Protocol::udp;
    return refuse("it is neither TCP nor UDP (type " + std::to_string(facts.type) + ", protocol " +
                      std::to_string(facts.protocol) + ")",
                  "only TCP and UDP sockets can be dispatched to");
}

Result<> judge_state(const SocketFacts& facts, Protocol protocol) {
    const bool bound = facts.local && facts.local->port != 0;
    if (protocol == Protocol::tcp && facts.connected)
        return refuse("it is a connection, not a listener", "pass the listening socket itself");
    if (protocol == Protocol::tcp && !facts.listening)
        return refuse("it does not listen", "call listen() before registering");
    if (protocol == Protocol::udp && !bound)
        return refuse("it is not bound",
                      "bind() it to a local address and port before registering");
    if (protocol == Protocol::udp && facts.connected)
        return refuse("it is connected: it would take datagrams of its one peer only",
                      "register the unconnected socket");
    return {};
}

Result<> judge_place(const SocketFacts& facts, std::uint64_t netns_cookie) {
    if (!facts.device.empty())
        return refuse(
            "it is bound to the device " + facts.device + ": lookups on every other one would fail",
            "do not set SO_BINDTODEVICE");
    if (netns_cookie != 0 && facts.netns_cookie && *facts.netns_cookie != netns_cookie)
        return refuse(
            "it belongs to another network namespace (cookie " +
                std::to_string(*facts.netns_cookie) + ", the dispatcher's is " +
                std::to_string(netns_cookie) + ")",
            "run the service and sluiced in one namespace, or an instance of sluiced in each");
    return {};
}

SocketFamily judge_family(const SocketFacts& facts) {
    if (facts.domain == AF_INET) return SocketFamily::ipv4;
    // The kernel serves IPv4 packets by an IPv6 socket only when it is bound to every address.
    const auto& bytes = facts.local->address.bytes;
    const bool wildcard = std::ranges::all_of(bytes, [](std::uint8_t byte) { return byte == 0; });
    return wildcard && !facts.v6only ? SocketFamily::dual : SocketFamily::ipv6;
}

std::vector<Warning> warnings_about(const SocketFacts& facts) {
    std::vector<Warning> warnings;
    const std::string local = to_string(*facts.local);
    if (facts.backlog && *facts.backlog < small_backlog)
        warnings.push_back({"small-backlog",
                            local + ": a backlog of " + std::to_string(*facts.backlog) +
                                " overflows at once under load",
                            "listen() with a larger backlog"});
    if (facts.filter)
        warnings.push_back(
            {"filter-attached",
             local + ": a socket filter" +
                 (facts.filter_length == 0
                      ? " (eBPF)"
                      : " of " + std::to_string(facts.filter_length) + " instruction(s)") +
                 " is attached: what it drops is lost, no other socket is asked",
             "if it is not meant: SO_DETACH_FILTER"});
    return warnings;
}

}  // namespace

Result<Admitted> admit(const SocketFacts& facts, std::uint64_t netns_cookie) {
    auto protocol = judge_protocol(facts);
    if (!protocol) return pass_on(protocol);
    if (auto ok = judge_state(facts, *protocol); !ok) return pass_on(ok);
    if (auto ok = judge_place(facts, netns_cookie); !ok) return pass_on(ok);
    if (facts.mapped || !facts.local)
        return refuse("it is an IPv6 socket bound to an IPv4-mapped address",
                      "use an IPv4 socket, or bind to ::");
    const ReplyOptions replies{true, facts.original_destination, facts.packet_info,
                               facts.freebind || facts.transparent};
    return Admitted{*protocol, judge_family(facts),  *facts.local, facts.cookie,
                    replies,   warnings_about(facts)};
}

}  // namespace sluice
