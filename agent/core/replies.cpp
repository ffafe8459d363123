// SPDX-License-Identifier: Apache-2.0
#include "core/replies.h"

#include <algorithm>
#include <array>

namespace sluice {
namespace {

bool is_own_port(const RegisteredSocket& socket, const Match& match) {
    return match.ports == Ports::one(socket.local.port);
}

bool is_own_address(const RegisteredSocket& socket, const Match& match) {
    return match.prefix.is_host() && match.prefix.address == socket.local.address;
}

struct Trouble {
    const char* code;
    bool (*has)(const RegisteredSocket&, const Match&);
    const char* consequence;
    const char* fix;
};

constexpr std::array troubles{
    Trouble{"udp-reply-port",
            [](const RegisteredSocket& socket, const Match& match) {
                return !is_own_port(socket, match) && !socket.replies.original_destination;
            },
            "cannot tell which port was asked, answers leave from the bound one",
            "IP_RECVORIGDSTADDR or IPV6_RECVORIGDSTADDR tells it; answer from a second socket that "
            "is bound to it"},
    Trouble{"udp-reply-address",
            [](const RegisteredSocket& socket, const Match& match) {
                return !is_own_address(socket, match) && !socket.replies.original_destination &&
                       !socket.replies.packet_info;
            },
            "cannot tell which address was asked, answers may leave from another",
            "IP_PKTINFO or IPV6_RECVPKTINFO tells it, and the answer's ancillary data names it"},
    // The kernel takes IPv4 addresses that are routed to this host for its own; IPv6 ones it
    // looks up on interfaces (ip6_datagram_send_ctl()). Who is told the original destination
    // answers from a socket of its own, of which nothing is known here.
    Trouble{"udp-reply-nonlocal",
            [](const RegisteredSocket& socket, const Match& match) {
                return match.prefix.address.family == Family::ipv6 &&
                       !is_own_address(socket, match) && !socket.replies.original_destination &&
                       !socket.replies.nonlocal;
            },
            "may not answer from IPv6 addresses that are on no interface",
            "set IPV6_FREEBIND, or the sysctl net.ipv6.ip_nonlocal_bind"},
};

std::string count_words(std::size_t count) {
    return count == 1 ? "a UDP socket" : std::to_string(count) + " UDP sockets";
}

bool serves_any(const RegisteredSocket& socket, std::span<const Match> bindings) {
    return std::ranges::any_of(bindings, [&](const Match& match) {
        return socket.serves(match.protocol, match.prefix.address.family);
    });
}

// Nothing is left to say once a sample has several, or two samples differ.
template <class Several, class Same>
bool says_more(const std::vector<Match>& samples, const Match& match, Several several, Same same) {
    const Match* first = nullptr;
    for (const Match& other : samples) {
        if (other.prefix.address.family != match.prefix.address.family) continue;
        if (several(other) || same(other, match)) return false;
        if (first != nullptr && !same(*first, other)) return false;
        first = &other;
    }
    return true;
}

}  // namespace

std::vector<Warning> judge_replies(const std::string& service,
                                   std::span<const RegisteredSocket> sockets,
                                   std::span<const Match> bindings) {
    std::vector<const RegisteredSocket*> judged;
    for (const RegisteredSocket& socket : sockets)
        if (socket.protocol == Protocol::udp && socket.replies.known &&
            serves_any(socket, bindings))
            judged.push_back(&socket);
    std::vector<Warning> warnings;
    for (const Trouble& trouble : troubles) {
        std::size_t count = 0;
        const Match* example = nullptr;
        for (const RegisteredSocket* socket : judged) {
            const auto at = std::ranges::find_if(bindings, [&](const Match& match) {
                return match.protocol == Protocol::udp &&
                       socket->serves(Protocol::udp, match.prefix.address.family) &&
                       trouble.has(*socket, match);
            });
            if (at == bindings.end()) continue;
            ++count;
            if (example == nullptr) example = &*at;
        }
        if (example == nullptr) continue;
        warnings.push_back({trouble.code,
                            "'" + service + "': " + count_words(count) + " " + trouble.consequence +
                                " (" + to_string(*example) + ")",
                            trouble.fix});
    }
    return warnings;
}

void add_udp_sample(std::vector<Match>& samples, const Match& match) {
    if (match.protocol != Protocol::udp) return;
    const bool port = says_more(
        samples, match, [](const Match& one) { return !one.ports.is_one(); },
        [](const Match& a, const Match& b) { return a.ports == b.ports; });
    const bool address = says_more(
        samples, match, [](const Match& one) { return !one.prefix.is_host(); },
        [](const Match& a, const Match& b) { return a.prefix == b.prefix; });
    if (port || address) samples.push_back(match);
}

}  // namespace sluice
