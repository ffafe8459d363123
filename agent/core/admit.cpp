// SPDX-License-Identifier: Apache-2.0
#include "core/admit.h"

#include <algorithm>
#include <netinet/in.h>
#include <sys/socket.h>

namespace sluice {
namespace {

constexpr int mptcp = 262;    // IPPROTO_MPTCP, which glibc 2.31 does not know
constexpr int udplite = 136;  // IPPROTO_UDPLITE

std::unexpected<Error> refuse(std::string why, std::string hint) {
    return fail(Error(Failure::invalid, std::move(why)).hint(std::move(hint)));
}

std::string name_of_domain(int domain) {
    switch (domain) {
        case AF_UNIX:
            return "a unix socket";
        case AF_NETLINK:
            return "a netlink socket";
        case AF_PACKET:
            return "a packet socket";
        case AF_VSOCK:
            return "a vsock socket";
        default:
            return "a socket of address family " + std::to_string(domain);
    }
}

constexpr const char* what_serves =
    "register a listening TCP socket, or a bound and unconnected UDP socket";

// The kernel's families, types and protocols that a binding can name.
Result<Protocol> judge_kind(const SocketFacts& facts) {
    if (!facts.is_socket) return refuse("it is not a socket", what_serves);
    if (facts.domain != AF_INET && facts.domain != AF_INET6)
        return refuse("it is " + name_of_domain(facts.domain) + ", not an IPv4 or IPv6 one",
                      what_serves);
    if (facts.type == SOCK_RAW) return refuse("it is a raw socket", what_serves);
    if (facts.protocol == mptcp)
        return refuse("it is an MPTCP socket, which the kernel does not steer",
                      "make it with plain TCP; Go programs: GODEBUG=multipathtcp=0");
    if (facts.protocol == udplite)
        return refuse("it is a UDP-Lite socket, which the kernel does not steer",
                      "make it with plain UDP (IPPROTO_UDP)");
    if (facts.type == SOCK_STREAM && facts.protocol == IPPROTO_TCP) return Protocol::tcp;
    if (facts.type == SOCK_DGRAM && facts.protocol == IPPROTO_UDP) return Protocol::udp;
    return refuse("it is a socket of type " + std::to_string(facts.type) + ", protocol " +
                      std::to_string(facts.protocol) + ", not TCP or UDP",
                  what_serves);
}

Result<> judge_state(const SocketFacts& facts, Protocol protocol) {
    if (protocol == Protocol::tcp) {
        if (facts.connected)
            return refuse("it is one TCP connection, not a listener",
                          "register the socket that accept() was called on");
        if (!facts.listening)
            return refuse("it is a TCP socket that does not listen", "call listen() first");
    } else {
        if (facts.connected)
            return refuse("it is a connected UDP socket: it gets only its peer's packets",
                          "register the unconnected socket that first packets arrive at");
        if (!facts.local || facts.local->port == 0)
            return refuse("it is a UDP socket that is not bound", "call bind() first");
    }
    if (!facts.local) return refuse("it has no local address", "call bind() first");
    return {};
}

std::string device_of(const SocketFacts& facts) {
    if (!facts.bound_device.empty()) return facts.bound_device;
    return "number " + std::to_string(facts.bound_ifindex);
}

// Where the socket lives. It fills `warnings` when the kernel does not tell.
Result<> judge_place(const SocketFacts& facts, const NetnsIdentity& own,
                     std::vector<Warning>& warnings) {
    const bool by_cookie = facts.netns.cookie && own.cookie;
    const bool by_inode = facts.netns.inode && own.inode;
    const bool elsewhere = by_cookie  ? *facts.netns.cookie != *own.cookie
                           : by_inode ? *facts.netns.inode != *own.inode
                                      : false;
    if (elsewhere)
        return refuse(
            "it is a socket of another network namespace: clients would time out",
            "make it in the namespace that sluiced serves, or run an instance of sluiced there");
    if (facts.bound_ifindex != 0 || !facts.bound_device.empty())
        return refuse(
            "it is bound to the device " + device_of(facts) + ": packets of others would be lost",
            "make it without SO_BINDTODEVICE (systemd: without BindToDevice=)");
    if (!by_cookie && !by_inode)
        warnings.push_back({"netns-unknown",
                            "this kernel does not say whose network namespace the socket is of; in "
                            "another one its clients would time out",
                            ""});
    return {};
}

bool is_v4_mapped(const Address& address) {
    const auto& b = address.bytes;
    return address.family == Family::ipv6 && b[10] == 0xff && b[11] == 0xff &&
           std::all_of(b.begin(), b.begin() + 10, [](auto byte) { return byte == 0; });
}

// The kernel hands an IPv6 socket IPv4 traffic unless it is V6ONLY, and sets V6ONLY itself on what
// is bound to one IPv6 address. Bound to an IPv4-mapped address it gets both
// (sys_socket_facts_test.cpp).
SocketFamily family_of(const SocketFacts& facts) {
    if (facts.domain == AF_INET) return SocketFamily::ipv4;
    const bool one_ipv6_address =
        facts.local->address.bytes != Address{}.bytes && !is_v4_mapped(facts.local->address);
    return facts.ipv6_only || one_ipv6_address ? SocketFamily::ipv6 : SocketFamily::dual;
}

void warn_of_replies(const SocketFacts& facts, SocketFamily family,
                     std::vector<Warning>& warnings) {
    if (!facts.recv_pktinfo && !facts.recv_original_destination)
        warnings.push_back(
            {"udp-pktinfo",
             "the socket does not ask which address a packet was sent to, so replies may "
             "leave from another one",
             "set IP_PKTINFO or IPV6_RECVPKTINFO, and reply with it"});
    if (serves(family, Family::ipv6) && !facts.freebind && !facts.transparent)
        warnings.push_back(
            {"udp-freebind",
             "the kernel refuses IPv6 replies from an address that is only routed to "
             "this host",
             "set IPV6_FREEBIND"});
}

void warn_of_mapped_address(const SocketFacts& facts, std::vector<Warning>& warnings) {
    if (is_v4_mapped(facts.local->address))
        warnings.push_back(
            {"v4-mapped",
             "the socket is bound to an IPv4-mapped address; the kernel hands it IPv6 "
             "traffic too, which it cannot answer from there",
             "bind it to :: or make it an IPv4 socket"});
}

}  // namespace

std::string_view to_string(SocketFamily family) {
    switch (family) {
        case SocketFamily::ipv4:
            return "ipv4";
        case SocketFamily::ipv6:
            return "ipv6";
        case SocketFamily::dual:
            break;
    }
    return "dual";
}

bool serves(SocketFamily socket, Family traffic) {
    if (socket == SocketFamily::dual) return true;
    return (socket == SocketFamily::ipv4) == (traffic == Family::ipv4);
}

Result<Admitted> admit(const SocketFacts& facts, const NetnsIdentity& own) {
    auto protocol = judge_kind(facts);
    if (!protocol) return pass_on(protocol);
    if (auto ok = judge_state(facts, *protocol); !ok) return pass_on(ok);
    Admitted admitted;
    if (auto ok = judge_place(facts, own, admitted.warnings); !ok) return pass_on(ok);
    admitted.protocol = *protocol;
    admitted.family = family_of(facts);
    admitted.local = *facts.local;
    admitted.cookie = facts.cookie;
    warn_of_mapped_address(facts, admitted.warnings);
    if (*protocol == Protocol::udp) warn_of_replies(facts, admitted.family, admitted.warnings);
    return admitted;
}

}  // namespace sluice
